import { zstdCompress } from 'node:zlib';
import type { Segment } from '../../envelope/format.ts';
import {
  type CompressAside,
  cutSegments,
  packSegment,
  packSegmentAside,
  storeSegment,
  unpackSegment,
} from '../../envelope/segment.ts';

/** How much plaintext one segment holds at most, unless one event alone is larger. */
const SEGMENT_LIMIT = 1024 * 1024;
/** From this size on a segment is kept as it is; smaller ones are joined, because alone they compress badly. */
const SEGMENT_KEPT = 256 * 1024;
/** From this size on lines are compressed off the main thread: a way there and back takes as long as compressing some 16 KiB. */
const ASIDE_FROM = 64 * 1024;
/** From this size on the lines of a step are compressed before they are appended. */
const PACKED_FROM = 4 * 1024;

/**
 * The lines of one sealed file as they wait in memory to be sealed again: full segments, compressed once
 * and copied by every later overwrite, and the young lines behind them, still plain.
 */
export class Body {
  #segments: Segment[] = [];
  #tail: Uint8Array[] = [];
  #tailLength = 0;

  /** Plain bytes that the next overwrite has to compress. */
  get tailLength(): number {
    return this.#tailLength;
  }

  /** Tells whether some of the lines are in full segments already. */
  get settled(): boolean {
    return this.#segments.length > 0;
  }

  /** Takes over new lines (NDJSON, whole lines); the caller must not change the bytes afterwards. */
  addLines(lines: Uint8Array): void {
    this.#tail.push(unpooled(lines));
    this.#tailLength += lines.length;
  }

  /** Takes over a segment read from a file, and gives its plain lines. */
  addSegment(segment: Segment): Buffer {
    const lines = unpackSegment(segment);
    if (this.#tailLength === 0 && segment.plainLength >= SEGMENT_KEPT) this.#segments.push(segment);
    else this.addLines(lines);
    return lines;
  }

  /** The same lines once more, to go on from by themselves; what is compressed is shared. */
  copy(): Body {
    const copy = new Body();
    copy.#segments = [...this.#segments];
    copy.#tail = [...this.#tail];
    copy.#tailLength = this.#tailLength;
    return copy;
  }

  /** All lines as segments, `more` (lines that are not kept here) behind them. For an end that can't wait. */
  toSegments(more: readonly Uint8Array[] = []): Segment[] {
    return [...this.#segments, ...pack([...this.#tail, ...more])];
  }

  /**
   * The same, compressed off the main thread where it is much. What has become a full segment stays one. Lines that are
   * added meanwhile are not among them.
   */
  async toSegmentsAside(more: readonly Uint8Array[] = []): Promise<Segment[]> {
    const taken = this.#tail.length;
    const pieces = piecesOf(this.#tail);
    const last = pieces.pop() ?? [];
    const full: Segment[] = [];
    for (const piece of pieces) full.push(await packSegmentAside(joined(piece), compressAside));
    this.#segments.push(...full);
    this.#tail = [...last, ...this.#tail.slice(taken)];
    this.#tailLength = lengthOf(this.#tail);
    const segments = [...this.#segments];
    return [...segments, ...(await packAside([...last, ...more]))];
  }
}

/**
 * The lines of one step, as they are appended. A few stay as they are until the next fold compresses them with all the others:
 * that takes a fifth of an append, and by themselves they hardly shrink.
 */
export function packStep(lines: readonly Uint8Array[]): Segment[] | Promise<Segment[]> {
  const length = lengthOf(lines);
  if (length >= ASIDE_FROM) return packAside(lines);
  return length === 0 || length >= PACKED_FROM ? pack(lines) : [storeSegment(joined(lines))];
}

/** Packs lines into compressed segments of at most a mebibyte. */
export function pack(lines: readonly Uint8Array[]): Segment[] {
  return piecesOf(lines).map((piece) => packSegment(joined(piece)));
}

async function packAside(lines: readonly Uint8Array[]): Promise<Segment[]> {
  if (lengthOf(lines) < ASIDE_FROM) return pack(lines);
  const segments: Segment[] = [];
  for (const piece of piecesOf(lines)) segments.push(await packSegmentAside(joined(piece), compressAside));
  return segments;
}

/** Groups lines into pieces of at most a mebibyte, without copying a byte; a longer line is a piece by itself. */
function piecesOf(lines: readonly Uint8Array[]): Uint8Array[][] {
  const pieces: Uint8Array[][] = [];
  let room = 0;
  for (const part of lines.flatMap((whole) => cutSegments(whole, SEGMENT_LIMIT))) {
    if (part.length > room) {
      pieces.push([]);
      room = SEGMENT_LIMIT;
    }
    pieces.at(-1)?.push(part);
    room -= part.length;
  }
  return pieces;
}

/** Short lines lie in a pool of Node's, all of which they would keep in memory for as long as they are young. */
function unpooled(lines: Uint8Array): Uint8Array {
  if (lines.length * 2 >= lines.buffer.byteLength) return lines;
  const own = Buffer.allocUnsafeSlow(lines.length);
  own.set(lines);
  return own;
}

function joined(piece: readonly Uint8Array[]): Uint8Array {
  const [only, second] = piece;
  return only && !second ? only : Buffer.concat(piece);
}

function lengthOf(lines: readonly Uint8Array[]): number {
  return lines.reduce((sum, part) => sum + part.length, 0);
}

/** By hand, because a start that only lists loads nothing for it. */
const compressAside: CompressAside = (lines, options) => {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  zstdCompress(lines, options, (error, packed) => (error ? reject(error) : resolve(packed)));
  return promise;
};
