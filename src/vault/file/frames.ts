import type { Chain } from '../../envelope/chain.ts';
import { decodeFrameHead, FRAME_HEAD_LENGTH, MAX_MESSAGE, type Segment } from '../../envelope/format.ts';
import type { VaultKey } from '../../envelope/key.ts';
import { openFrame } from '../../envelope/seal.ts';
import { headBelongs } from '../../envelope/secrets.ts';
import { CofferError } from '../../errors.ts';
import type { Reader } from '../../files/reader.ts';
import { requireMemory } from './room.ts';

/**
 * Bytes to read at once if frames are smaller: a step is a few kilobytes, and there may be
 * thousands.
 */
const READ_AHEAD = 1024 * 1024;

/** A step whose append never became durable; the file is good up to `offset`. */
export interface Torn {
  readonly frame: number;
  readonly offset: number;
}

/** The frames of a sealed file from a given one on, all of them verified. */
export interface FrameBodies {
  readonly segments: readonly Segment[];
  /** Summary of the last frame; undefined if there is no frame. */
  readonly summary: Buffer | undefined;
  readonly links: readonly Buffer[];
  /** The chain that the next frame continues, if nothing is torn. */
  readonly chain: Chain;
  /** Offset of the end of the last whole frame. */
  readonly end: number;
  /** Length of the first of these frames in bytes. */
  readonly firstFrame: number | undefined;
  readonly torn: Torn | undefined;
}

/**
 * Opens the frames from a given one on. Decrypts in place, so that the file is in memory only once.
 * Throws `UNAUTHENTIC`, `TOO_LARGE`.
 */
export function openFrames(reader: Reader, key: VaultKey, from: { chain: Chain; offset: number }): FrameBodies {
  const { size } = reader.stamp;
  const read = readAhead(reader);
  let { chain, offset } = from;
  let summary: Buffer | undefined;
  let torn: Torn | undefined;
  let firstFrame: number | undefined;
  const segments: Segment[] = [];
  const links: Buffer[] = [];
  while (offset < size) {
    const next = frameAt(size, offset, chain, key, read(offset, Math.min(FRAME_HEAD_LENGTH, size - offset)));
    if ('torn' in next) {
      torn = next.torn;
      break;
    }
    const { content, next: behind } = openFrame(key, chain, read(offset, next.end - offset), 'over');
    for (const segment of content.segments) segments.push(segment);
    summary = content.summary;
    chain = behind;
    links.push(chain.link);
    firstFrame ??= next.end - offset;
    offset = next.end;
  }
  return { segments, summary, links, chain, end: offset, firstFrame, torn };
}

/** Returns a function that reads ranges asked for in ascending order, reading ahead. */
function readAhead(reader: Reader): (offset: number, length: number) => Buffer {
  let start = 0;
  let bytes: Buffer = Buffer.alloc(0);
  return (offset, length) => {
    if (offset < start || offset + length > start + bytes.length) {
      requireMemory(length);
      bytes = reader.at(offset, Math.max(length, Math.min(READ_AHEAD, reader.stamp.size - offset)));
      start = offset;
    }
    return bytes.subarray(offset - start, offset - start + length);
  };
}

/**
 * Locates the frame that begins with the bytes `start`: returns its end, or that it is torn. Throws
 * `UNAUTHENTIC`.
 */
export function frameAt(
  size: number,
  offset: number,
  chain: Chain,
  key: VaultKey,
  start: Buffer,
): { end: number } | { torn: Torn } {
  const torn: Torn = { frame: chain.index, offset };
  if (chain.index > 0 && (isCutOff(start) || start.every((byte) => byte === 0))) return { torn };
  const head = decodeFrameHead(start);
  const end = offset + 4 + head.length;
  // A frame that ends at the end of the file is opened anyway, and opening it checks its head.
  if (end !== size && !headBelongs(key, chain, head)) {
    throw new CofferError('UNAUTHENTIC', `frame ${chain.index} is not what was sealed there`);
  }
  if (end <= size) return { end };
  if (chain.index > 0) return { torn };
  throw new CofferError('UNAUTHENTIC', 'it ends inside its first frame');
}

/**
 * Tells whether the file ends inside a frame head. Bytes that can't begin a head, with a length
 * that no frame has, are not a torn one.
 */
function isCutOff(start: Buffer): boolean {
  if (start.length >= FRAME_HEAD_LENGTH) return false;
  const length = Buffer.alloc(4);
  start.copy(length, 0, 0, 4);
  return length.readUInt32BE() <= MAX_MESSAGE;
}
