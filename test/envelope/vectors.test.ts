import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { firstLink, nextLink } from '../../src/envelope/chain.ts';
import { decodeFrameHead, encodeHeader, HEADER_LENGTH } from '../../src/envelope/format.ts';
import { hkdfExpand, VaultKey } from '../../src/envelope/key.ts';
import { sealFrame } from '../../src/envelope/seal.ts';
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

/** Expects that a vector opens to exactly its stated content. */
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

/** Seals a vector's content again, with the same salts. */
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
  it('are complete', () => {
    expect(opened.map(([name]) => name)).toEqual([
      'chunk-boundary',
      'empty-body',
      'index-file',
      'multi-chunk',
      'newer-events',
      'no-padding',
      'one-frame',
      'seen-file',
      'stored-segment',
      'three-frames',
      'zstd-left-behind',
      'zstd-segment',
    ]);
    expect(refused).toHaveLength(17);
  });

  it.each(opened)('%s opens to its stated content', (_, vector) => {
    expectOpens(vector);
  });

  it.each(opened)('%s is reproduced byte for byte by our own sealing', (_, vector) => {
    expect(sealAgain(vector).equals(Buffer.from(vector.file, 'base64'))).toBe(true);
  });

  it.each(refused)('%s is refused, although it was sealed with the key', (_, vector) => {
    const key = VaultKey.from(Buffer.from(vector.key, 'hex'));
    expectRefusal(() => openFile(key, Buffer.from(vector.file, 'base64')), vector.refused);
  });

  it('include the worked example of docs/format.md, value by value', () => {
    const page = readFileSync(join(import.meta.dirname, '../../docs/format.md'), 'utf8');
    const vector = new Map(opened).get('stored-segment')!;
    const key = VaultKey.from(Buffer.from(vector.key, 'hex'));
    const file = Buffer.from(vector.file, 'base64');
    const head = decodeFrameHead(file.subarray(HEADER_LENGTH));
    const first = firstLink(file.subarray(0, HEADER_LENGTH));
    const label = Buffer.from('c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0');
    const context = [Buffer.from('coffer/v1/frame\0'), first.link, Buffer.alloc(8), file.subarray(52, 56)];
    const output = hkdfExpand('sha512', key.frameKey, [label, head.salt, ...context], 76);
    for (const [what, bytes] of Object.entries({
      key: key.bytes(),
      keyId: Buffer.from(key.id, 'hex'),
      frameKey: key.frameKey.export(),
      magic: file.subarray(0, 8),
      fileId: file.subarray(28, 44),
      generation: file.subarray(44, 52),
      firstLink: first.link,
      length: file.subarray(52, 56),
      salt: head.salt,
      commitment: head.commitment,
      label: context[0]!,
      chunkKey: output.subarray(0, 32),
      nonce: output.subarray(32, 44),
      chunk: file.subarray(112, 128),
      tag: file.subarray(-16),
      nextLink: nextLink(first, file.subarray(HEADER_LENGTH)).link,
    })) {
      expect.soft(page, what).toContain(`\`${bytes.toString('hex')}\``);
    }
    expect(page).toContain(vector.frames[0]!.summary);
    expect(page).toContain(vector.frames[0]!.events.trimEnd());
    const { slot } = JSON.parse(readFileSync(join(VECTORS, 'slot.json'), 'utf8'));
    for (const field of [slot.salt, slot.wrapped]) expect(page).toContain(field);
  });

  it('can be generated again', (context) => {
    requirePython(context);
    const folder = mkdtempSync(join(tmpdir(), 'coffer-vectors-'));
    try {
      execFileSync(PYTHON, [join(VECTORS, 'make.py'), folder]);
      const again = readVectors<Vector>(join(folder, 'opened'));
      for (const [, vector] of again) expectOpens(vector);
      const named = (vectors: [string, Vector][]): unknown => vectors.map(([name, { file, ...rest }]) => [name, rest]);
      expect(named(again)).toEqual(named(opened));
      for (const name of ['recovery-slot.json', 'record.json']) {
        const made = [folder, VECTORS].map((from) => readFileSync(join(from, name), 'utf8'));
        expect(made[0]).toBe(made[1]);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
