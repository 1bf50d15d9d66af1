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
import type { Stamp } from '../../files/replace/replace.ts';
import { type FrameBodies, frameAt, openFrames, type Torn } from './frames.ts';

export type { Torn } from './frames.ts';

/*
 * Opening never writes. Only a frame after the first can be torn: its head verifies and the file
 * ends inside it, or the head itself is cut off or zero. Everything else that does not open is
 * unauthentic.
 */

/**
 * The part of a sealed file that a list needs: the summary of its last frame (JSON; only its first
 * chunk is verified).
 */
export interface Head {
  readonly header: Header;
  readonly summary: Buffer;
  readonly torn: Torn | undefined;
  /**
   * H(n) of every frame, in order, to compare with a rollback mark; undefined for frames that a
   * walk continued after without knowing their link.
   */
  readonly links: readonly (Buffer | undefined)[];
  /** Offset of the end of the last whole frame. */
  readonly end: number;
}

/** How far a file's frames had been walked when it was last examined. */
export interface Walked extends Pick<Head, 'links' | 'end'> {
  readonly header: Pick<Header, 'generation'>;
}

/** A whole sealed file, every frame of it verified. */
export interface OpenedFile extends Head {
  /** The key it is sealed with: the vault key or, during a rotation, the retiring one. */
  readonly key: VaultKey;
  readonly segments: readonly Segment[];
  /** The chain that the next frame continues, if nothing is torn. */
  readonly chain: Chain;
  /** Bytes of the first frame, and of all later frames together. */
  readonly firstFrame: number;
  readonly laterFrames: number;
  readonly stamp: Stamp;
}

/** Conditions that a sealed file must meet in addition to being authentic. */
export interface Expected {
  readonly kind: Kind;
  /** Undefined if the file's name isn't its file id. */
  readonly fileId: string | undefined;
  /** Maximum size in bytes; a larger file is not read. */
  readonly limit?: number;
}

/**
 * Opens and verifies a whole sealed session file, sealed with `key` or with the `retiring` one.
 * Throws `UNAUTHENTIC`, `NEWER_VERSION`, `KEY_OTHER`, `SESSION_NOT_FOUND`, `TOO_LARGE`.
 */
export function openSealedFile(path: string, fileId: string, key: VaultKey, retiring?: VaultKey): OpenedFile {
  return openExpected(path, { kind: 'session', fileId }, key, retiring);
}

/** Opens a sealed file like {@link openSealedFile}, but of any kind and name. */
export function openExpected(path: string, expected: Expected, vaultKey: VaultKey, retiring?: VaultKey): OpenedFile {
  const name = expected.fileId ?? basename(path);
  using reader = open(path, name);
  return explain(name, () => {
    const { size } = reader.stamp;
    if (size > (expected.limit ?? size))
      throw new CofferError('UNAUTHENTIC', `it is larger than coffer ever writes it: ${size} bytes`);
    const start = reader.at(0, Math.min(size, HEADER_LENGTH));
    const { header, key } = checkHeader(start, expected, vaultKey, retiring);
    const frames = openFrames(reader, key, { chain: firstLink(start), offset: HEADER_LENGTH });
    const { summary, firstFrame = 0, end } = frames;
    if (!summary) throw new CofferError('UNAUTHENTIC', 'it contains no frame');
    const laterFrames = end - HEADER_LENGTH - firstFrame;
    return { header, key, ...frames, summary, firstFrame, laterFrames, stamp: reader.stamp };
  });
}

/**
 * Opens only the summary of a sealed file's first frame; verifies nothing else. Throws as
 * {@link openSealedFile}.
 */
export function openFirstSummary(path: string, expected: Expected, vaultKey: VaultKey, retiring?: VaultKey): Buffer {
  const name = expected.fileId ?? basename(path);
  using reader = open(path, name);
  return explain(name, () => {
    const start = reader.at(0, Math.min(reader.stamp.size, HEADER_LENGTH + SUMMARY_REACH));
    const { key } = checkHeader(start, expected, vaultKey, retiring);
    return openSummary(key, firstLink(start.subarray(0, HEADER_LENGTH)), start.subarray(HEADER_LENGTH));
  });
}

/** How far a file was opened: all that is needed to open only what is appended to it later. */
export type OpenedTo = Pick<OpenedFile, 'header' | 'chain' | 'links' | 'end' | 'firstFrame' | 'stamp'>;

/**
 * Opens and verifies only what was appended to a file since it was opened. Returns undefined if it
 * is no longer the file that was opened, with or without more at its end, or if the appended part
 * does not verify: opening all of it then reports the reason. Throws as {@link openSealedFile} if
 * something else is in its place.
 */
export function openAppended(
  path: string,
  fileId: string,
  before: OpenedTo,
  vaultKey: VaultKey,
  retiring?: VaultKey,
): OpenedFile | undefined {
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

function tryFrames(reader: Reader, key: VaultKey, from: { chain: Chain; offset: number }): FrameBodies | undefined {
  try {
    return openFrames(reader, key, from);
  } catch (error) {
    if (!isCofferError(error, 'UNAUTHENTIC')) throw error;
    return undefined; // opening the whole file reports the reason
  }
}

/**
 * Opens only what a list needs: walks the frames by their heads, and opens the first chunk of the
 * last one. If the file only grew since `before`, walks on from there. Does not verify the whole
 * file. Throws as {@link openSealedFile}.
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
    if (!head) throw new CofferError('UNAUTHENTIC', 'it contains no frame');
    return { header, ...head };
  });
}

/**
 * Walks on from `before`. A frame opens only after the frame that it was sealed to follow, so a
 * changed file fails here; a walk from the start then reports the reason.
 */
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

/** Walks the frames from a given one on; undefined if there is no whole one. */
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

/**
 * Reads only the header: key id, generation. Throws as {@link openSealedFile}, except `KEY_OTHER`.
 */
export function readHeader(path: string, fileId: string): Header {
  using reader = open(path, fileId);
  return explain(fileId, () => decodeHeader(reader.at(0, Math.min(reader.stamp.size, HEADER_LENGTH))));
}

/**
 * Tells whether any of the sealed files names one of these keys; undefined if there are no files.
 */
export function isSealedWith(paths: readonly string[], keyIds: readonly string[]): boolean | undefined {
  if (paths.length === 0) return undefined;
  return paths.some((path) => keyIdsOf([path]).some((keyId) => keyIds.includes(keyId)));
}

/**
 * Returns the ids of the keys that sealed files name, from their headers alone. Damaged headers are
 * ignored.
 */
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
    if (isNoFile(cause)) throw new CofferError('UNAUTHENTIC', `file ${fileId}: it is not a regular file`, { cause });
    throw cause;
  }
}

/**
 * Tells whether the path holds a link, a directory, a pipe or a socket. An error that may be
 * temporary says nothing about the file.
 */
function isNoFile(error: unknown): boolean {
  if (!isCofferError(error, 'FAILED')) return false;
  const cause = error.cause as NodeJS.ErrnoException | undefined;
  return cause === undefined || cause.code === 'ELOOP' || cause.code === 'ENXIO';
}

/** Prefixes errors about the file's bytes with its name. */
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
  if (header.kind !== kind)
    throw new CofferError('UNAUTHENTIC', `it is not a ${kind} file but a file of kind ${header.kind}`);
  if (fileId !== undefined && header.fileId !== fileId) {
    throw new CofferError('UNAUTHENTIC', `belongs under another name: ${header.fileId}`);
  }
  return { header, key };
}

function within(start: Buffer, offset: number, length: number): Buffer | undefined {
  return offset + length <= start.length ? start.subarray(offset, offset + length) : undefined;
}
