import type { Segment } from '../envelope/format.ts';
import { cutSegments, packSegment, unpackSegment } from '../envelope/segment.ts';

/** How much plaintext one segment holds at most, unless one event alone is larger. */
const SEGMENT_LIMIT = 1024 * 1024;
/** From this size on a segment is kept as it is; smaller ones are joined, because alone they compress badly. */
const SEGMENT_KEPT = 256 * 1024;

/**
 * The lines of one sealed file as they wait in memory to be sealed again: full segments, compressed once
 * and copied by every later overwrite, and the young lines behind them, still plain.
 */
export class Body {
  readonly #segments: Segment[] = [];
  #tail: Uint8Array[] = [];
  #tailLength = 0;

  /** Plain bytes that every overwrite has to compress again. */
  get tailLength(): number {
    return this.#tailLength;
  }

  /** Tells whether some of the lines are in full segments already. */
  get settled(): boolean {
    return this.#segments.length > 0;
  }

  /** Takes over new lines (NDJSON, whole lines); the caller must not change the bytes afterwards. */
  addLines(lines: Uint8Array): void {
    this.#tail.push(lines);
    this.#tailLength += lines.length;
    if (this.#tailLength >= SEGMENT_LIMIT) this.#settle();
  }

  /** Takes over a segment read from a file, and gives its plain lines. */
  addSegment(segment: Segment): Buffer {
    const lines = unpackSegment(segment);
    if (this.#tailLength === 0 && segment.plainLength >= SEGMENT_KEPT) this.#segments.push(segment);
    else this.addLines(lines);
    return lines;
  }

  /** All lines as segments, `more` (lines that are not kept here) behind them. */
  toSegments(more?: Uint8Array): Segment[] {
    const young = more ? [...this.#tail, more] : this.#tail;
    return [...this.#segments, ...pack(young)];
  }

  #settle(): void {
    this.#segments.push(...pack(this.#tail));
    this.#tail = [];
    this.#tailLength = 0;
  }
}

/** Packs lines into compressed segments of at most a mebibyte. */
export function pack(lines: readonly Uint8Array[]): Segment[] {
  return cutSegments(Buffer.concat(lines), SEGMENT_LIMIT).map(packSegment);
}
