import { type Chain, firstLink } from '../../envelope/chain.ts';
import { encodeHeader } from '../../envelope/format.ts';
import type { SealedFrame } from '../../envelope/seal.ts';
import { FileEnd, type Pace } from '../../files/append.ts';
import { replaceFile, replaceFileSync, type Stamp } from '../../files/replace/replace.ts';
import type { Body } from './body.ts';
import type { OpenedFile, Torn } from './open.ts';
import { quarantineTorn } from './quarantine.ts';

/**
 * A step is appended as a frame of its own, instead of the file being rewritten, if the file has at
 * least this many bytes of plaintext. An append is faster at any size, folds included. But up to
 * here an overwrite takes a constant 1.1 ms (an append 0.4), and hides how many steps there were,
 * how long they are, and when they came. Beyond it, the time to compress everything again begins to
 * matter.
 */
const APPEND_FROM = 32 * 1024;

/** The rollback mark of a sealed file: how far it had come when last seen. */
export interface RollbackMark {
  readonly generation: bigint;
  /** Number of frames. */
  readonly frames: number;
  /** H(n) of the last frame, 32 bytes. */
  readonly link: Buffer;
}

/** The frames of a file on disk, as far as they are known. */
interface Frames {
  readonly generation: bigint;
  readonly stamp: Stamp;
  readonly chain: Chain;
  readonly firstFrame: number;
  readonly laterFrames: number;
}

/** An append, and the frames that it follows. */
export interface Append {
  readonly how: 'append';
  readonly after: Frames;
  readonly chain: Chain;
}

/** The beginning of the next overwrite; its frame follows the header. */
export interface Overwrite {
  readonly how: 'overwrite';
  readonly generation: bigint;
  readonly header: Buffer;
  readonly chain: Chain;
  /** Whether this replaces appended frames by one. */
  readonly folds: boolean;
}

/**
 * The end of a sealed file on disk. Decides whether the next frame is appended or overwrites the
 * file, and writes it. What is on disk is unknown before the first save, during a save, and after a
 * failed one: nothing may follow a failed append, so the next save then overwrites the file.
 */
export class SealedEnd {
  readonly #path: string;
  readonly #fileId: string;
  #frames: Frames | undefined;
  #generation = 0n;
  /** Whether this process made durable what is on disk; unknown for a file that was only opened. */
  #flushed = false;
  #torn: Torn | undefined;
  /** The file, open at its end; undefined until something is appended. */
  #appender: FileEnd | undefined;
  readonly #pace: Pace = { quick: 0 };

  constructor(path: string, fileId: string) {
    this.#path = path;
    this.#fileId = fileId;
  }

  /**
   * Continues from an opened file, with a generation above that of its rollback mark, `marked`. It
   * is overwritten next if it is torn or unless `appendable`.
   */
  adopt(opened: OpenedFile, marked: bigint | undefined, appendable: boolean): void {
    const { generation } = opened.header;
    this.#generation = marked !== undefined && marked > generation ? marked : generation;
    this.#torn = opened.torn;
    if (!opened.torn && appendable) this.#frames = { ...opened, generation };
  }

  /** How far the file has come; undefined while that isn't known to be durable. */
  get mark(): RollbackMark | undefined {
    const frames = this.#flushed ? this.#frames : undefined;
    return frames && { generation: frames.generation, frames: frames.chain.index, link: frames.chain.link };
  }

  /** Whether the file is known to have more than one frame. */
  get hasLater(): boolean {
    return this.#frames !== undefined && this.#frames.laterFrames > 0;
  }

  /** Forgets what is on disk, so that the next save overwrites the file. */
  forget(): void {
    this.#frames = undefined;
  }

  /** Closes the file; a later append opens it again. */
  release(): void {
    this.#appender?.[Symbol.dispose]();
    this.#appender = undefined;
  }

  /**
   * Decides how the next save of `body` is written, with a header that names `keyId` if it is an
   * overwrite. Quarantines a torn file before it is overwritten. What is on disk is unknown until
   * the save is done.
   */
  next(body: Body, keyId: string): Append | Overwrite {
    const after = this.#appendsTo(body);
    const folds = this.hasLater;
    this.forget();
    if (after) return { how: 'append', after, chain: after.chain };
    this.release();
    if (this.#torn) quarantineTorn(this.#path, this.#fileId, this.#torn);
    this.#torn = undefined;
    this.#generation += 1n;
    const generation = this.#generation;
    const header = encodeHeader({ kind: 'session', keyId, fileId: this.#fileId, generation });
    return { how: 'overwrite', generation, header, chain: firstLink(header), folds };
  }

  /**
   * Writes a frame where {@link next} said, and returns whether it is the end of the file now: it
   * isn't if a final save has overtaken it. Durable when it resolves. Throws `NOT_SAVED`,
   * `DURABILITY_UNKNOWN`.
   */
  async write(place: Append | Overwrite, frame: SealedFrame, overtaken: () => boolean): Promise<boolean> {
    const stamp =
      place.how === 'append'
        ? await this.#opened(place.after).append(frame.bytes)
        : await replaceFile(this.#path, [place.header, frame.bytes], { abandoned: overtaken });
    if (overtaken()) return false;
    this.#wrote(place, frame, stamp);
    return true;
  }

  /** Writes a frame like {@link write}, but synchronously. Durable when it returns. */
  writeSync(place: Append | Overwrite, frame: SealedFrame): void {
    const stamp =
      place.how === 'append'
        ? this.#opened(place.after).appendSync(frame.bytes)
        : replaceFileSync(this.#path, [place.header, frame.bytes]);
    this.#wrote(place, frame, stamp);
  }

  /**
   * Returns the frames to append to if overwriting would be expensive: in a large file whose later
   * frames are smaller than its first.
   */
  #appendsTo(body: Body): Frames | undefined {
    const frames = this.#frames;
    const large = body.settled || body.tailLength >= APPEND_FROM;
    // Another process appended frames and did not fold them. Its flush may have failed, and nothing
    // may follow a failed append.
    const unsure = !this.#flushed && this.hasLater;
    return large && frames && !unsure && frames.laterFrames < frames.firstFrame ? frames : undefined;
  }

  #opened(frames: Frames): FileEnd {
    this.#appender ??= new FileEnd(this.#path, frames.stamp, this.#pace);
    return this.#appender;
  }

  #wrote(place: Append | Overwrite, frame: SealedFrame, stamp: Stamp): void {
    const { length } = frame.bytes;
    const chain = frame.next;
    this.#frames =
      place.how === 'append'
        ? { ...place.after, stamp, chain, laterFrames: place.after.laterFrames + length }
        : { generation: place.generation, stamp, chain, firstFrame: length, laterFrames: 0 };
    this.#flushed = true;
  }
}
