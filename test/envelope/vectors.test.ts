import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { decodeFrameHead, encodeHeader, HEADER_LENGTH } from '../../src/envelope/format.ts';
import { VaultKey } from '../../src/envelope/key.ts';
import { firstLink, sealFrame } from '../../src/envelope/seal.ts';
import {
  expectRefusal,
  openFile,
  PYTHON,
  type RefusedVector,
  readVectors,
  requirePython,
  VECTORS,
  type Vector,
} from './support.ts';

const opened = readVectors<Vector>(join(VECTORS, 'opened'));
const refused = readVectors<RefusedVector>(join(VECTORS, 'refused'));

/** Expects that a vector opens to exactly what it says. */
function expectOpens(vector: Vector): void {
  const key = VaultKey.from(Buffer.from(vector.key, 'hex'));
  const { header, contents, events } = openFile(key, Buffer.from(vector.file, 'base64'));
  const { kind, keyId, fileId, frames } = vector;
  expect(header).toEqual({ kind, keyId, fileId, generation: BigInt(vector.generation) });
  expect(key.id).toBe(keyId);
  expect(contents.map((content) => content.summary.toString())).toEqual(frames.map((frame) => frame.summary));
  expect(contents.map((content) => content.segments.map(({ codec }) => codec))).toEqual(frames.map((f) => f.codecs));
  expect(events).toEqual(frames.map((frame) => frame.events));
}

/** Seals a vector's content again, with the salts it has. */
function sealAgain(vector: Vector): Buffer {
  const key = VaultKey.from(Buffer.from(vector.key, 'hex'));
  const file = Buffer.from(vector.file, 'base64');
  const { header, contents } = openFile(key, file);
  const parts = [encodeHeader(header)];
  let chain = firstLink(file.subarray(0, HEADER_LENGTH));
  let offset = HEADER_LENGTH;
  for (const content of contents) {
    const { bytes, next } = sealFrame(key, chain, content, decodeFrameHead(file.subarray(offset)).salt);
    parts.push(bytes);
    chain = next;
    offset += bytes.length;
  }
  return Buffer.concat(parts);
}

describe('fixed vectors', () => {
  it('are all there', () => {
    expect(opened.map(([name]) => name)).toEqual([
      'chunk-boundary',
      'empty-body',
      'index-file',
      'multi-chunk',
      'newer-events',
      'no-padding',
      'one-frame',
      'stored-segment',
      'three-frames',
      'zstd-segment',
    ]);
    expect(refused).toHaveLength(16);
  });

  it.each(opened)('%s opens to what it says', (_, vector) => {
    expectOpens(vector);
  });

  it.each(opened)('%s comes out of our own sealing byte for byte', (_, vector) => {
    expect(sealAgain(vector).equals(Buffer.from(vector.file, 'base64'))).toBe(true);
  });

  it.each(refused)('%s is refused, although it was sealed with the key', (_, vector) => {
    const key = VaultKey.from(Buffer.from(vector.key, 'hex'));
    expectRefusal(() => openFile(key, Buffer.from(vector.file, 'base64')), vector.refused);
  });

  it('can be made again', (context) => {
    requirePython(context);
    const folder = mkdtempSync(join(tmpdir(), 'coffer-vectors-'));
    try {
      execFileSync(PYTHON, [join(VECTORS, 'make.py'), folder]);
      const again = readVectors<Vector>(join(folder, 'opened'));
      for (const [, vector] of again) expectOpens(vector);
      const named = (vectors: [string, Vector][]): unknown => vectors.map(([name, { file, ...rest }]) => [name, rest]);
      expect(named(again)).toEqual(named(opened));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
