import { dirname } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Chain, firstLink } from '../../envelope/chain.ts';
import { type Content, encodeHeader } from '../../envelope/format.ts';
import type { VaultKey } from '../../envelope/key.ts';
import { type SealedFrame, sealFrame, sealFrameInSlices } from '../../envelope/seal.ts';
import { FileEnd, type Pace } from '../../files/append.ts';
import { replaceFile, replaceFileSync, type Stamp, sweepTemps } from '../../files/replace.ts';
import { Body, pack, packStep } from './body.ts';
import type { Opened, Torn } from './open.ts';
import { quarantineTorn } from './quarantine.ts';

/**
 * From this many plain bytes on a step is appended as a frame of its own instead of rewriting the file. An append takes less at any
 * size, folds included; up to here an overwrite takes the same whatever the size (1.1 ms where an append takes 0.4), and
 * shows nobody how many steps there were, how long, and when. From here on compressing all of it again begins to count.
 */
const APPEND_FROM = 32 * 1024;
/** From this many bytes on a frame is sealed in slices. */
const SLICED_FROM = 512 * 1024;

/** One save: new whole lines (NDJSON), and the summary as it is with them. */
export interface Step {
  /** The lines of another file, which this one begins with: a copy of their own. */
  readonly base?: Body | undefined;
  readonly lines: Uint8Array;
  readonly summary: Buffer;
  /** Lines that the next save replaces: the part of a reply that has arrived so far. Not kept in memory. */
  readonly draft?: Uint8Array;
}

/** How far a sealed file had come when it was last looked at. */
export interface Mark {
  readonly generation: bigint;
  /** How many frames it had. */
  readonly frames: number;
  /** H(n) of the last of them, 32 bytes. */
  readonly link: Buffer;
}

/** Where the file on disk ends and how its frames go on; unknown before the first save, while one is in flight, and after a failure. */
interface End {
  readonly generation: bigint;
  readonly stamp: Stamp;
  readonly chain: Chain;
  readonly firstFrame: number;
  readonly laterFrames: number;
}

/**
 * A sealed file open for writing, by the one process that holds its lease.
 * A save is durable when its promise resolves, never before; saves run one after another.
 * What a failed save was to write stays in memory and goes with the next one.
 */
export class SealedFile {
  readonly path: string;
  readonly fileId: string;
  readonly #key: VaultKey;
  #body = new Body();
  #summary: Buffer = Buffer.alloc(0);
  /** Lines that are in the body and not on disk. */
  #pending: Uint8Array[] = [];
  /** What the next save replaces, if there is any. */
  #draft: readonly Uint8Array[] = [];
  #unwritten = false;
  #generation = 0n;
  /** What is on disk was made durable here; of what was only opened that is not known. */
  #flushed = false;
  #folded = false;
  #end: End | undefined;
  /** The file, open at its end; undefined until something is appended. */
  #appender: FileEnd | undefined;
  readonly #pace: Pace = { quick: 0 };
  #torn: Torn | undefined;
  #queue: Promise<void> = Promise.resolve();
  #inFlight = false;
  #finals = 0;

  constructor(path: string, fileId: string, key: VaultKey) {
    this.path = path;
    this.fileId = fileId;
    this.#key = key;
  }

  /**
   * Goes on from what was opened, and hands each segment's plain lines to `onLines`, in order, `spare` where they are not needed here.
   * `marked` is given where that is not what was seen of this file, and is the generation that was: the next save overwrites then, and
   * is later than both. It overwrites too what is sealed with a retiring key.
   */
  adopt(opened: Opened, onLines: (lines: Buffer, spare: boolean) => void, marked?: bigint): void {
    for (const segment of opened.segments) {
      const { tailLength } = this.#body;
      const lines = this.#body.addSegment(segment);
      onLines(lines, segment.codec === 1 && this.#body.tailLength === tailLength);
    }
    this.#summary = opened.summary;
    const { generation } = opened.header;
    this.#generation = marked !== undefined && marked > generation ? marked : generation;
    this.#torn = opened.torn;
    if (!opened.torn && marked === undefined && opened.key.id === this.#key.id) this.#end = { ...opened, generation };
  }

  /**
   * How far the file on disk has come, for the marks against rollback. Undefined where that is not known to be durable: before
   * the first save made here, while one is in flight, and after a failure.
   */
  get mark(): Mark | undefined {
    const end = this.#flushed ? this.#end : undefined;
    return end && { generation: end.generation, frames: end.chain.index, link: end.chain.link };
  }

  /** Whether the last save put appended frames into one: the moment to mark how far the file has come. */
  get folded(): boolean {
    return this.#folded;
  }

  /** All lines handed over so far, saved or not, for another file to begin with. */
  get lines(): Body {
    return this.#body.copy();
  }

  /** Lets go of the file itself; a later save opens it again. */
  release(): void {
    this.#appender?.[Symbol.dispose]();
    this.#appender = undefined;
  }

  /** Makes a step durable. Throws `NOT_SAVED`, `DURABILITY_UNKNOWN`; the step stays in memory for the next save. */
  save(step: Step): Promise<void> {
    this.#take(step);
    return this.#enqueue(() => (this.#unwritten ? this.#write() : Promise.resolve()));
  }

  /** Puts a step in place of all that was there: an overwrite, so that nothing of it stays in the file. Throws as {@link save}. */
  rewrite(step: Step): Promise<void> {
    this.#body = new Body();
    this.#pending = [];
    this.#take(step);
    return this.#enqueue(() => {
      this.#end = undefined;
      return this.#write();
    });
  }

  /** Puts everything into one frame, if it is not. Throws as {@link save}. */
  fold(): Promise<void> {
    return this.#enqueue(() => {
      const folded = this.#end === undefined || this.#end.laterFrames === 0;
      if (folded && !this.#unwritten) return Promise.resolve();
      this.#end = undefined;
      return this.#write();
    });
  }

  /**
   * The final save: as {@link save}, synchronously. What is in flight is overtaken: it can no longer put
   * an older generation over this one.
   */
  saveSync(step: Step): void {
    this.#take(step);
    if (!this.#unwritten) return;
    const end = this.#appendsTo();
    this.#end = undefined;
    const segments = end ? pack(this.#unsealed()) : this.#body.toSegments(this.#draft);
    const content = { summary: this.#summary, segments };
    if (end) {
      const frame = sealFrame(this.#key, end.chain, content);
      this.#appended(end, frame, this.#opened(end).appendSync(frame.bytes));
    } else {
      const { header, generation } = this.#nextHeader();
      const frame = sealFrame(this.#key, firstLink(header), content);
      this.#overwritten(generation, frame, replaceFileSync(this.path, [header, frame.bytes]));
    }
    this.#finals++;
    this.#written();
    if (this.#inFlight) sweepTemps(dirname(this.path), (name) => name === this.fileId);
  }

  #enqueue(work: () => Promise<void>): Promise<void> {
    const done = this.#queue.then(work);
    this.#queue = done.catch(() => undefined); // whoever asked for that save has its error; the next one must run all the same
    return done;
  }

  async #write(): Promise<void> {
    const finals = this.#finals;
    const overtaken = (): boolean => this.#finals !== finals;
    const end = this.#appendsTo();
    const folds = !end && this.#end !== undefined && this.#end.laterFrames > 0;
    this.#end = undefined;
    this.#folded = false;
    this.#inFlight = true;
    try {
      if (end) await this.#append(end, overtaken);
      else if (await this.#overwrite(overtaken)) this.#folded = folds;
    } catch (error) {
      if (overtaken()) return; // the final save has made this step durable
      this.#unwritten = true;
      throw error;
    } finally {
      this.#inFlight = false;
    }
  }

  async #append(end: End, overtaken: () => boolean): Promise<void> {
    const lines = this.#unsealed();
    const summary = this.#summary;
    this.#written();
    const packed = packStep(lines);
    const segments = packed instanceof Promise ? await packed : packed;
    const frame = await this.#seal(end.chain, { summary, segments });
    if (overtaken()) return;
    const stamp = await this.#opened(end).append(frame.bytes);
    if (!overtaken()) this.#appended(end, frame, stamp);
  }

  /** Tells whether it came to its end; a final save may overtake it at any point where it waits. */
  async #overwrite(overtaken: () => boolean): Promise<boolean> {
    const { header, generation } = this.#nextHeader();
    const summary = this.#summary;
    this.#written();
    const segments = await this.#body.toSegmentsAside(this.#draft);
    if (overtaken()) return false;
    const frame = await this.#seal(firstLink(header), { summary, segments });
    if (overtaken()) return false;
    const stamp = await replaceFile(this.path, [header, frame.bytes], { abandoned: overtaken });
    if (overtaken()) return false;
    this.#overwritten(generation, frame, stamp);
    return true;
  }

  /** In slices where it is much: what is sealed within a slice is not worth the wait for a turn of its own. */
  async #seal(chain: Chain, content: Content): Promise<SealedFrame> {
    const length = content.segments.reduce((sum, { stored }) => sum + stored.length, 0);
    if (length < SLICED_FROM) return sealFrame(this.#key, chain, content);
    const slices = sealFrameInSlices(this.#key, chain, content);
    for (;;) {
      const { done, value } = slices.next();
      if (done) return value;
      await nextTurn();
    }
  }

  #take(step: Step): void {
    if (step.base) this.#body = step.base;
    this.#summary = step.summary;
    this.#draft = step.draft ? [step.draft] : [];
    this.#unwritten = true;
    if (step.lines.length === 0) return;
    this.#body.addLines(step.lines);
    this.#pending.push(step.lines);
  }

  #written(): void {
    this.#pending = [];
    this.#unwritten = false;
  }

  /** The end to append to, where overwriting would cost: in a large file whose later frames are not yet its larger part. */
  #appendsTo(): End | undefined {
    const end = this.#end;
    const large = this.#body.settled || this.#body.tailLength >= APPEND_FROM;
    // Frames that another process appended and did not fold: a flush of them may have failed, and nothing goes behind what failed.
    const unsure = !this.#flushed && end !== undefined && end.laterFrames > 0;
    return large && end && !unsure && end.laterFrames < end.firstFrame ? end : undefined;
  }

  /** What an append takes along: what is not on disk, and what the next save replaces. */
  #unsealed(): Uint8Array[] {
    return [...this.#pending, ...this.#draft];
  }

  /** The header that the next overwrite begins with, and its generation; what that takes out of the way is kept first. */
  #nextHeader(): { header: Buffer; generation: bigint } {
    this.release();
    if (this.#torn) quarantineTorn(this.path, this.fileId, this.#torn);
    this.#torn = undefined;
    this.#generation += 1n;
    const { fileId } = this;
    const generation = this.#generation;
    return { header: encodeHeader({ kind: 'session', keyId: this.#key.id, fileId, generation }), generation };
  }

  #opened(end: End): FileEnd {
    this.#appender ??= new FileEnd(this.path, end.stamp, this.#pace);
    return this.#appender;
  }

  #overwritten(generation: bigint, frame: SealedFrame, stamp: Stamp): void {
    this.#end = { generation, stamp, chain: frame.next, firstFrame: frame.bytes.length, laterFrames: 0 };
    this.#flushed = true;
  }

  #appended(end: End, frame: SealedFrame, stamp: Stamp): void {
    const laterFrames = end.laterFrames + frame.bytes.length;
    this.#end = { ...end, stamp, chain: frame.next, laterFrames };
    this.#flushed = true;
  }
}
