import { spawnSync } from 'node:child_process';
import { createHash, createSecretKey, type KeyObject } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { type Chain, firstLink } from '../../src/envelope/chain.ts';
import {
  type Content,
  decodeFrameHead,
  decodeHeader,
  encodeHeader,
  HEADER_LENGTH,
  type Header,
} from '../../src/envelope/format.ts';
import { VaultKey } from '../../src/envelope/key.ts';
import { openFrame, sealFrame } from '../../src/envelope/seal.ts';
import { packSegment, unpackSegment } from '../../src/envelope/segment.ts';
import { CofferError, type ErrorCode } from '../../src/errors.ts';

/** The Python that Debian's packages belong to, regardless of PATH. */
export const PYTHON = '/usr/bin/python3';
export const VECTORS: string = join(import.meta.dirname, '../vectors');
export const READER: string = join(import.meta.dirname, '../../docs/read_vault.py');

/** The part of vitest's test context that a skip needs. */
interface Skippable {
  skip(note?: string): never;
}

/**
 * Skips the running test with a note on how to install what is missing. Fails it instead if
 * COFFER_TEST_REQUIRE contains `vectors` or `keychain`.
 */
export function requirePart(context: Skippable, present: boolean, packages: string): void {
  if (present) return;
  const note = `missing; install with: apt-get install -y ${packages}`;
  const required = (process.env['COFFER_TEST_REQUIRE'] ?? '').split(',');
  if (required.includes('vectors') || required.includes('keychain')) throw new Error(note);
  context.skip(note);
}

/** Skips the running test if Debian's Python or one of its two packages is missing. */
export function requirePython(context: Skippable): void {
  pythonWorks ??= spawnSync(PYTHON, ['-c', 'import cryptography, zstandard']).status === 0;
  requirePart(context, pythonWorks, 'python3-cryptography python3-zstandard');
}

/**
 * Reads a file of Debian's python3-cryptography-vectors; skips the running test if it is missing.
 */
export function readDebianVectors(context: Skippable, name: string): string {
  const path = join('/usr/lib/python3/dist-packages/cryptography_vectors', name);
  requirePart(context, existsSync(path), 'python3-cryptography-vectors');
  return readFileSync(path, 'utf8');
}

/** A fixed vector that opens, as test/vectors/README.md describes it. */
export interface Vector {
  readonly key: string;
  readonly keyId: string;
  readonly kind: string;
  readonly fileId: string;
  readonly generation: string;
  readonly frames: readonly { summary: string; plainLength: number; codecs: number[]; events: string }[];
  readonly file: string;
}

/** A fixed vector that must not open. */
export interface RefusedVector {
  readonly about: string;
  readonly key: string;
  readonly refused: ErrorCode;
  readonly file: string;
}

/** Reads all vectors of a folder, as pairs of name and vector. */
export function readVectors<V>(folder: string): [string, V][] {
  const names = readdirSync(folder).sort();
  return names.map((name) => [name.replace('.json', ''), JSON.parse(readFileSync(join(folder, name), 'utf8'))]);
}

/** Returns a key that is the same in every run, so that a failure is reproducible. */
export function keyOf(name: string): VaultKey {
  return VaultKey.from(createHash('sha256').update(name).digest());
}

/** Returns an input key of 32 bytes, the same in every run. */
export function inputKeyOf(name: string): KeyObject {
  return createSecretKey(createHash('sha256').update(name).digest());
}

/** Returns content with a small summary and one segment of lines. */
export function contentOf(lines: string): Content {
  return { summary: Buffer.from('{"id":"2026-11-20_14-30"}'), segments: [packSegment(Buffer.from(lines))] };
}

/** A sealed file: its header, and one frame per content. */
export class SealedFile {
  readonly header: Buffer;
  readonly frames: Buffer[] = [];
  /** The position of every frame, and the one after the last. */
  readonly chains: Chain[];

  constructor(key: VaultKey, contents: readonly Content[], header: Partial<Header> = {}) {
    const fileId = '0123456789abcdef0123456789abcdef';
    this.header = encodeHeader({ kind: 'session', keyId: key.id, fileId, generation: 1n, ...header });
    let chain = firstLink(this.header);
    this.chains = [chain];
    for (const content of contents) {
      const { bytes, next } = sealFrame(key, chain, content);
      this.frames.push(bytes);
      this.chains.push(next);
      chain = next;
    }
  }
}

/**
 * Opens a whole sealed file with {@link openFrame}, frame by frame, and unpacks everything in it.
 */
export function openFile(key: VaultKey, file: Uint8Array): { header: Header; contents: Content[]; events: string[] } {
  const header = decodeHeader(file);
  const contents: Content[] = [];
  const events: string[] = [];
  let chain = firstLink(file.subarray(0, HEADER_LENGTH));
  for (let offset = HEADER_LENGTH; offset < file.length; ) {
    const end = offset + 4 + decodeFrameHead(file.subarray(offset)).length;
    const { content, next } = openFrame(key, chain, file.subarray(offset, end));
    contents.push(content);
    events.push(Buffer.concat(content.segments.map(unpackSegment)).toString());
    chain = next;
    offset = end;
  }
  return { header, contents, events };
}

/**
 * Expects a CofferError with this code and a message in the usual style: lower case, one line, no
 * full stop. The message must contain `words`, to tell two reasons apart.
 */
export function expectRefusal(attempt: () => unknown, code: ErrorCode = 'UNAUTHENTIC', words: string = ''): void {
  let thrown: unknown;
  try {
    attempt();
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(CofferError);
  expect((thrown as CofferError).code).toBe(code);
  expect((thrown as CofferError).message).toMatch(/^[a-z][^\n]*[^.\n]$/);
  expect((thrown as CofferError).message).toContain(words);
}

/** Returns the bytes of buffers that `attempt` allocates and that are not yet collected. */
export function buffersOf(attempt: () => void): number {
  const before = process.memoryUsage().arrayBuffers;
  attempt();
  return process.memoryUsage().arrayBuffers - before;
}

let pythonWorks: boolean | undefined;
