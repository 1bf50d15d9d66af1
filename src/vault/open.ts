import { basename } from 'node:path';
import {
  decodeFrameHead,
  decodeHeader,
  FRAME_HEAD_LENGTH,
  type FrameHead,
  HEADER_LENGTH,
  type Header,
  type Kind,
  MAX_MESSAGE,
  type Segment,
} from '../envelope/format.ts';
import type { VaultKey } from '../envelope/key.ts';
import {
  type Chain,
  firstLink,
  headBelongs,
  nextLink,
  openFrame,
  openSummary,
  SUMMARY_REACH,
} from '../envelope/seal.ts';
import { CofferError, isCofferError } from '../errors.ts';
import { openReader, type Reader } from '../files/reader.ts';
import type { Stamp } from '../files/replace.ts';

/*
 * Opening never writes. Only a frame behind the first can be torn: its head verifies and the file ends
 * inside it, or the head itself is cut off or zero. Everything else that does not open is unauthentic.
 */

/** A step that began to be appended and never became durable: the file is good up to `offset`. */
export interface Torn {
  readonly frame: number;
  readonly offset: number;
}

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
    const bytes = reader.at(0, size);
    const { header, key } = checkHeader(bytes, expected, vaultKey, retiring);
    let chain = firstLink(bytes.subarray(0, HEADER_LENGTH));
    let summary: Buffer | undefined;
    let torn: Torn | undefined;
    let firstFrame = 0;
    const segments: Segment[] = [];
    const links: Buffer[] = [];
    let offset = HEADER_LENGTH;
    while (offset < bytes.length) {
      const next = frameAt(bytes.length, offset, chain, key, bytes.subarray(offset, offset + FRAME_HEAD_LENGTH));
      if ('torn' in next) {
        torn = next.torn;
        break;
      }
      const opened = openFrame(key, chain, bytes.subarray(offset, next.end));
      for (const segment of opened.content.segments) segments.push(segment);
      summary = opened.content.summary;
      chain = opened.next;
      links.push(chain.link);
      if (firstFrame === 0) firstFrame = next.end - offset;
      offset = next.end;
    }
    if (!summary) throw new CofferError('UNAUTHENTIC', 'there is no frame in it');
    const laterFrames = offset - HEADER_LENGTH - firstFrame;
    const { stamp } = reader;
    return { header, key, summary, segments, chain, links, end: offset, firstFrame, laterFrames, torn, stamp };
  });
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
    const next = frameAt(size, offset, chain, key, read(offset, Math.min(FRAME_HEAD_LENGTH, size - offset)));
    if ('torn' in next) {
      torn = next.torn;
      break;
    }
    last = { chain, offset };
    chain = nextLink(chain, next.head);
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

function frameAt(
  size: number,
  offset: number,
  chain: Chain,
  key: VaultKey,
  start: Buffer,
): { head: FrameHead; end: number } | { torn: Torn } {
  const torn: Torn = { frame: chain.index, offset };
  if (chain.index > 0 && (isCutOff(start) || start.every((byte) => byte === 0))) return { torn };
  const head = decodeFrameHead(start);
  const end = offset + 4 + head.length;
  // The frame that ends where the file does is opened in any case, and opening it checks its head.
  if (end !== size && !headBelongs(key, chain, head)) {
    throw new CofferError('UNAUTHENTIC', `frame ${chain.index} is not what was sealed there`);
  }
  if (end <= size) return { head, end };
  if (chain.index > 0) return { torn };
  throw new CofferError('UNAUTHENTIC', 'it ends inside its first frame');
}

/** A head that the file ends in; what could not be the start of one (a length no frame has) is no torn head. */
function isCutOff(start: Buffer): boolean {
  if (start.length >= FRAME_HEAD_LENGTH) return false;
  const length = Buffer.alloc(4);
  start.copy(length, 0, 0, 4);
  return length.readUInt32BE() <= MAX_MESSAGE;
}

function within(start: Buffer, offset: number, length: number): Buffer | undefined {
  return offset + length <= start.length ? start.subarray(offset, offset + length) : undefined;
}
