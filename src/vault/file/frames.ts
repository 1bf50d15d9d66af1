import type { Chain } from '../../envelope/chain.ts';
import { decodeFrameHead, FRAME_HEAD_LENGTH, MAX_MESSAGE, type Segment } from '../../envelope/format.ts';
import type { VaultKey } from '../../envelope/key.ts';
import { openFrame } from '../../envelope/seal.ts';
import { headBelongs } from '../../envelope/secrets.ts';
import { CofferError } from '../../errors.ts';
import type { Reader } from '../../files/reader.ts';
import { requireMemory } from './room.ts';

/** How much of a file is read at once where its frames are smaller: a step is a few kilobytes, and there may be thousands. */
const REACH = 1024 * 1024;

/** A step that began to be appended and never became durable: the file is good up to `offset`. */
export interface Torn {
  readonly frame: number;
  readonly offset: number;
}

/** The frames of a sealed file from one on, every one of them verified. */
export interface Frames {
  readonly segments: readonly Segment[];
  /** The last frame's; undefined where there is no frame. */
  readonly summary: Buffer | undefined;
  readonly links: readonly Buffer[];
  /** Where the next frame would go on, if nothing is torn. */
  readonly chain: Chain;
  /** Where the last whole frame ends. */
  readonly end: number;
  /** Bytes of the first of these frames. */
  readonly firstFrame: number | undefined;
  readonly torn: Torn | undefined;
}

/** Opens the frames from one on. What is read is opened in its place, so that it is in memory once. Throws `UNAUTHENTIC`, `TOO_LARGE`. */
export function openFrames(reader: Reader, key: VaultKey, from: { chain: Chain; offset: number }): Frames {
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

/** Reads bytes that are asked for in order, more than asked for at once. */
function readAhead(reader: Reader): (offset: number, length: number) => Buffer {
  let start = 0;
  let bytes: Buffer = Buffer.alloc(0);
  return (offset, length) => {
    if (offset < start || offset + length > start + bytes.length) {
      requireMemory(length);
      bytes = reader.at(offset, Math.max(length, Math.min(REACH, reader.stamp.size - offset)));
      start = offset;
    }
    return bytes.subarray(offset - start, offset - start + length);
  };
}

/** Finds the frame whose first bytes are `start`: where it ends, or that it is torn. Throws `UNAUTHENTIC`. */
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
  // The frame that ends where the file does is opened in any case, and opening it checks its head.
  if (end !== size && !headBelongs(key, chain, head)) {
    throw new CofferError('UNAUTHENTIC', `frame ${chain.index} is not what was sealed there`);
  }
  if (end <= size) return { end };
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
