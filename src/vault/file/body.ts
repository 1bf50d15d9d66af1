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

/** The most plaintext in one segment, in bytes; a single larger event gets a segment of its own. */
const SEGMENT_LIMIT = 1024 * 1024;
/**
 * Segments of at least this many bytes are kept as they are; smaller ones are joined, because on
 * their own they compress badly.
 */
const SEGMENT_KEPT = 256 * 1024;
/**
 * Lines of at least this many bytes are compressed off the main thread: the round trip takes as
 * long as compressing some 16 KiB.
 */
const ASIDE_FROM = 64 * 1024;
/** The lines of a step are compressed before an append if they have at least this many bytes. */
const PACKED_FROM = 4 * 1024;

/**
 * The lines of one sealed file, kept in memory to be sealed again: full segments, compressed once
 * and copied by every later overwrite, followed by the newest lines, not yet compressed.
 */
export class Body {
  #segments: Segment[] = [];
  #tail: Uint8Array[] = [];
  #tailLength = 0;

  /** Bytes of plain lines that the next overwrite has to compress. */
  get tailLength(): number {
    return this.#tailLength;
  }

  /** Whether some of the lines are in full segments already. */
  get settled(): boolean {
    return this.#segments.length > 0;
  }

  /**
   * Takes over new lines (NDJSON, whole lines); the caller must not change the buffer afterwards.
   */
  addLines(lines: Uint8Array): void {
    this.#tail.push(unpooled(lines));
    this.#tailLength += lines.length;
  }

  /** Takes over a segment read from a file, and returns its plain lines. */
  addSegment(segment: Segment): Buffer {
    const lines = unpackSegment(segment);
    if (this.#tailLength === 0 && segment.plainLength >= SEGMENT_KEPT) this.#segments.push(segment);
    else this.addLines(lines);
    return lines;
  }

  /** Returns an independent copy; compressed segments are shared. */
  copy(): Body {
    const copy = new Body();
    copy.#segments = [...this.#segments];
    copy.#tail = [...this.#tail];
    copy.#tailLength = this.#tailLength;
    return copy;
  }

  /**
   * Returns all lines as segments, followed by `more`, lines that aren't kept here. Compresses
   * synchronously, for final saves, which can't wait.
   */
  toSegments(more: readonly Uint8Array[] = []): Segment[] {
    return [...this.#segments, ...pack([...this.#tail, ...more])];
  }

  /**
   * Returns all lines as segments like {@link toSegments}, but compresses large amounts off the
   * main thread. Keeps segments that became full. Doesn't include lines added meanwhile.
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
 * Packs the lines of one step for an append. Small steps are stored uncompressed until the next
 * fold compresses them with the others: compression takes a fifth of the time of an append, and on
 * their own they hardly shrink.
 */
export function packStep(lines: readonly Uint8Array[]): Segment[] | Promise<Segment[]> {
  const length = lengthOf(lines);
  if (length >= ASIDE_FROM) return packAside(lines);
  return length === 0 || length >= PACKED_FROM ? pack(lines) : [storeSegment(joined(lines))];
}

/** Packs lines into compressed segments of at most 1 MiB. */
export function pack(lines: readonly Uint8Array[]): Segment[] {
  return piecesOf(lines).map((piece) => packSegment(joined(piece)));
}

async function packAside(lines: readonly Uint8Array[]): Promise<Segment[]> {
  if (lengthOf(lines) < ASIDE_FROM) return pack(lines);
  const segments: Segment[] = [];
  for (const piece of piecesOf(lines)) segments.push(await packSegmentAside(joined(piece), compressAside));
  return segments;
}

/**
 * Groups lines into pieces of at most 1 MiB without copying; a longer line becomes a piece of its
 * own.
 */
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

/**
 * Copies short lines out of Node's buffer pool, all of which they would otherwise keep in memory.
 */
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

/**
 * Hand-written instead of `promisify`, so that a command that only lists doesn't load `node:util`.
 */
const compressAside: CompressAside = (lines, options) => {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  zstdCompress(lines, options, (error, packed) => (error ? reject(error) : resolve(packed)));
  return promise;
};
