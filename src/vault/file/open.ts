import { basename } from 'node:path';
import { type Chain, firstLink, nextLink } from '../../envelope/chain.ts';
import {
  decodeHeader,
  FRAME_HEAD_LENGTH,
  HEADER_LENGTH,
  type Header,
  type Kind,
  type Segment,
} from '../../envelope/format.ts';
import type { VaultKey } from '../../envelope/key.ts';
import { openSummary, SUMMARY_REACH } from '../../envelope/seal.ts';
import { CofferError, isCofferError } from '../../errors.ts';
import { openReader, type Reader } from '../../files/reader.ts';
import type { Stamp } from '../../files/replace.ts';
import { type Frames, frameAt, openFrames, type Torn } from './frames.ts';

export type { Torn } from './frames.ts';

/*
 * Opening never writes. Only a frame behind the first can be torn: its head verifies and the file ends
 * inside it, or the head itself is cut off or zero. Everything else that does not open is unauthentic.
 */

/** What a list needs of a sealed file: its last frame's summary (JSON, only its first chunk is verified). */
export interface Head {
  readonly header: Header;
  readonly summary: Buffer;
  readonly torn: Torn | undefined;
  /** H(n) of every frame, in order: what a mark against rollback is compared with. Not known is one that a walk went on behind. */
  readonly links: readonly (Buffer | undefined)[];
  /** Where its last whole frame ends. */
  readonly end: number;
}

/** How far a file's frames were walked when it was last looked at. */
export interface Walked extends Pick<Head, 'links' | 'end'> {
  readonly header: Pick<Header, 'generation'>;
}

/** A whole sealed file, every frame of it verified. */
export interface Opened extends Head {
  /** The key it is sealed with: the vault's, or while a rotation goes on the retiring one. */
  readonly key: VaultKey;
  readonly segments: readonly Segment[];
  /** Where the next frame would go on, if nothing is torn. */
  readonly chain: Chain;
  /** Bytes of the first frame and of all frames behind it. */
  readonly firstFrame: number;
  readonly laterFrames: number;
  readonly stamp: Stamp;
}

/** What a sealed file must be, besides genuine. */
export interface Expected {
  readonly kind: Kind;
  /** Undefined where its name says nothing of it. */
  readonly fileId: string | undefined;
  /** The most bytes it may have; nothing is read of a larger one. */
  readonly limit?: number;
}

/**
 * Opens and verifies a whole sealed file of a session, sealed with `key` or with the `retiring` one.
 * Throws `UNAUTHENTIC`, `NEWER_VERSION`, `KEY_OTHER`, `SESSION_NOT_FOUND`.
 */
export function openSealedFile(path: string, fileId: string, key: VaultKey, retiring?: VaultKey): Opened {
  return openExpected(path, { kind: 'session', fileId }, key, retiring);
}

/** The same for a sealed file of any kind and name. */
export function openExpected(path: string, expected: Expected, vaultKey: VaultKey, retiring?: VaultKey): Opened {
  const name = expected.fileId ?? basename(path);
  using reader = open(path, name);
  return explain(name, () => {
    const { size } = reader.stamp;
    if (size > (expected.limit ?? size))
      throw new CofferError('UNAUTHENTIC', `it is larger than coffer makes it: ${size} bytes`);
    const start = reader.at(0, Math.min(size, HEADER_LENGTH));
    const { header, key } = checkHeader(start, expected, vaultKey, retiring);
    const frames = openFrames(reader, key, { chain: firstLink(start), offset: HEADER_LENGTH });
    const { summary, firstFrame = 0, end } = frames;
    if (!summary) throw new CofferError('UNAUTHENTIC', 'there is no frame in it');
    const laterFrames = end - HEADER_LENGTH - firstFrame;
    return { header, key, ...frames, summary, firstFrame, laterFrames, stamp: reader.stamp };
  });
}

/** Opens only the summary of a sealed file's first frame; nothing else of it is verified. Throws as {@link openSealedFile}. */
export function openFirstSummary(path: string, expected: Expected, vaultKey: VaultKey, retiring?: VaultKey): Buffer {
  const name = expected.fileId ?? basename(path);
  using reader = open(path, name);
  return explain(name, () => {
    const start = reader.at(0, Math.min(reader.stamp.size, HEADER_LENGTH + SUMMARY_REACH));
    const { key } = checkHeader(start, expected, vaultKey, retiring);
    return openSummary(key, firstLink(start.subarray(0, HEADER_LENGTH)), start.subarray(HEADER_LENGTH));
  });
}

/** How far a file was opened: what it takes to open by itself what is appended to it. */
export type OpenedTo = Pick<Opened, 'header' | 'chain' | 'links' | 'end' | 'firstFrame' | 'stamp'>;

/**
 * Opens and verifies only what was appended to a file since it was opened. Undefined where it is no longer that very file, grown or
 * as it was, or where what is behind does not verify: opening all of it tells what is wrong. Throws as {@link openSealedFile} for whatever stands in its place.
 */
export function openAppended(
  path: string,
  fileId: string,
  before: OpenedTo,
  vaultKey: VaultKey,
  retiring?: VaultKey,
): Opened | undefined {
  using reader = open(path, fileId);
  const { dev, ino, size } = reader.stamp;
  if (dev !== before.stamp.dev || ino !== before.stamp.ino || size < before.end) return undefined;
  return explain(fileId, () => {
    const start = reader.at(0, HEADER_LENGTH);
    const { header, key } = checkHeader(start, { kind: 'session', fileId }, vaultKey, retiring);
    if (header.generation !== before.header.generation || header.keyId !== before.header.keyId) return undefined;
    const frames = tryFrames(reader, key, { chain: before.chain, offset: before.end });
    if (!frames) return undefined;
    const { firstFrame } = before;
    const laterFrames = frames.end - HEADER_LENGTH - firstFrame;
    const links = [...before.links, ...frames.links];
    const summary = frames.summary ?? Buffer.alloc(0);
    return { header, key, ...frames, summary, links, firstFrame, laterFrames, stamp: reader.stamp };
  });
}

function tryFrames(reader: Reader, key: VaultKey, from: { chain: Chain; offset: number }): Frames | undefined {
  try {
    return openFrames(reader, key, from);
  } catch (error) {
    if (!isCofferError(error, 'UNAUTHENTIC')) throw error;
    return undefined; // opening all of it tells what is wrong
  }
}

/**
 * Opens only what a list needs: walks the frames by their heads and opens the first chunk of the last one. Where the file only grew
 * since it was `before`, it walks on from there. Throws as {@link openSealedFile}; what it gives is not the whole file verified.
 */
export function openHead(path: string, fileId: string, vaultKey: VaultKey, retiring?: VaultKey, before?: Walked): Head {
  using reader = open(path, fileId);
  return explain(fileId, () => {
    const reach = before ? HEADER_LENGTH : HEADER_LENGTH + SUMMARY_REACH;
    const start = reader.at(0, Math.min(reader.stamp.size, reach));
    const { header, key } = checkHeader(start, { kind: 'session', fileId }, vaultKey, retiring);
    const grown = before && walkOn(reader, start, header, key, before);
    const chain = firstLink(start.subarray(0, HEADER_LENGTH));
    const head = grown ?? walk(reader, start, key, { chain, offset: HEADER_LENGTH, links: [] });
    if (!head) throw new CofferError('UNAUTHENTIC', 'there is no frame in it');
    return { header, ...head };
  });
}

/** A frame behind what was walked opens only where that is what it was sealed behind. What is wrong, a walk from the start tells. */
function walkOn(reader: Reader, start: Buffer, header: Header, key: VaultKey, before: Walked): Walk | undefined {
  const { end, links } = before;
  const link = links.at(-1);
  if (!link || before.header.generation !== header.generation || end >= reader.stamp.size) return undefined;
  try {
    return walk(reader, start, key, { chain: { link, index: links.length }, offset: end, links });
  } catch (error) {
    if (!isCofferError(error, 'UNAUTHENTIC')) throw error;
    return undefined;
  }
}

type Walk = Omit<Head, 'header'>;

/** Walks the frames from one on; undefined where there is no whole one. */
function walk(
  reader: Reader,
  start: Buffer,
  key: VaultKey,
  from: { chain: Chain; offset: number; links: Head['links'] },
): Walk | undefined {
  const { size } = reader.stamp;
  const read = (offset: number, length: number): Buffer => within(start, offset, length) ?? reader.at(offset, length);
  let { chain, offset } = from;
  const links = [...from.links];
  let last: { chain: Chain; offset: number } | undefined;
  let torn: Torn | undefined;
  while (offset < size) {
    const headBytes = read(offset, Math.min(FRAME_HEAD_LENGTH, size - offset));
    const next = frameAt(size, offset, chain, key, headBytes);
    if ('torn' in next) {
      torn = next.torn;
      break;
    }
    last = { chain, offset };
    chain = nextLink(chain, headBytes);
    links.push(chain.link);
    offset = next.end;
  }
  if (!last) return undefined;
  const frame = read(last.offset, Math.min(offset - last.offset, SUMMARY_REACH));
  return { summary: openSummary(key, last.chain, frame), torn, links, end: offset };
}

/** Reads only the header: whose key, which generation. Throws as {@link openSealedFile} but `KEY_OTHER`. */
export function readHeader(path: string, fileId: string): Header {
  using reader = open(path, fileId);
  return explain(fileId, () => decodeHeader(reader.at(0, Math.min(reader.stamp.size, HEADER_LENGTH))));
}

/** Whether one of the sealed files names one of these keys; undefined if there are none. */
export function isSealedWith(paths: readonly string[], keyIds: readonly string[]): boolean | undefined {
  if (paths.length === 0) return undefined;
  return paths.some((path) => keyIdsOf([path]).some((keyId) => keyIds.includes(keyId)));
}

/** The ids of the keys that sealed files name, from their headers alone. A damaged header names none. */
export function keyIdsOf(paths: readonly string[]): string[] {
  const keyIds = new Set<string>();
  for (const path of paths) {
    try {
      keyIds.add(readHeader(path, basename(path)).keyId);
    } catch (error) {
      if (!isCofferError(error)) throw error; // the file itself is listed as unreadable
    }
  }
  return [...keyIds];
}

function open(path: string, fileId: string): Reader {
  try {
    return openReader(path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') {
      throw new CofferError('SESSION_NOT_FOUND', `there is no file ${fileId} in the vault`, { cause });
    }
    if (isNoFile(cause))
      throw new CofferError('UNAUTHENTIC', `file ${fileId}: something else is in its place`, { cause });
    throw cause;
  }
}

/** A link, a directory, a pipe, a socket; what only can't be read at the moment says nothing of the file. */
function isNoFile(error: unknown): boolean {
  if (!isCofferError(error, 'FAILED')) return false;
  const cause = error.cause as NodeJS.ErrnoException | undefined;
  return cause === undefined || cause.code === 'ELOOP' || cause.code === 'ENXIO';
}

/** Puts the file's name before what the envelope says of its bytes. */
function explain<T>(fileId: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof CofferError)) throw cause;
    throw new CofferError(cause.code, `file ${fileId}: ${cause.message}`, { cause });
  }
}

function checkHeader(
  bytes: Buffer,
  { kind, fileId }: Expected,
  vaultKey: VaultKey,
  retiring: VaultKey | undefined,
): { header: Header; key: VaultKey } {
  const header = decodeHeader(bytes.subarray(0, HEADER_LENGTH));
  const key = [vaultKey, retiring].find((candidate) => candidate?.id === header.keyId);
  if (!key) {
    throw new CofferError('KEY_OTHER', `needs another key: ${header.keyId}, and this vault's is ${vaultKey.id}`);
  }
  if (header.kind !== kind) throw new CofferError('UNAUTHENTIC', `it is no file of a ${kind}: ${header.kind}`);
  if (fileId !== undefined && header.fileId !== fileId) {
    throw new CofferError('UNAUTHENTIC', `belongs under another name: ${header.fileId}`);
  }
  return { header, key };
}

function within(start: Buffer, offset: number, length: number): Buffer | undefined {
  return offset + length <= start.length ? start.subarray(offset, offset + length) : undefined;
}
