import { dirname } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Chain, firstLink } from '../../envelope/chain.ts';
import { type Content, encodeHeader } from '../../envelope/format.ts';
import type { VaultKey } from '../../envelope/key.ts';
import { type SealedFrame, sealFrame, sealFrameInSlices } from '../../envelope/seal.ts';
import { FileEnd, type Pace } from '../../files/append.ts';
import { replaceFile, replaceFileSync, type Stamp, sweepTemps } from '../../files/replace.ts';
import { Body, pack, packStep } from './body.ts';
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
/** Frames of at least this many bytes are sealed in slices. */
const SLICED_FROM = 512 * 1024;

/** One save: new whole lines (NDJSON), and the summary that includes them. */
export interface Step {
  /** The lines of another file that this one begins with; owned by this file. */
  readonly base?: Body | undefined;
  readonly lines: Uint8Array;
  readonly summary: Buffer;
  /**
   * Lines that the next save replaces: the part of a reply that has arrived so far. Not kept in
   * memory.
   */
  readonly draft?: Uint8Array;
}

/** The rollback mark of a sealed file: how far it had come when last seen. */
export interface RollbackMark {
  readonly generation: bigint;
  /** Number of frames. */
  readonly frames: number;
  /** H(n) of the last frame, 32 bytes. */
  readonly link: Buffer;
}

/**
 * The end of the file on disk and the state of its frames; unknown before the first save, during a
 * save, and after a failed one.
 */
interface End {
  readonly generation: bigint;
  readonly stamp: Stamp;
  readonly chain: Chain;
  readonly firstFrame: number;
  readonly laterFrames: number;
}

/**
 * A sealed file open for writing, by the one process that holds its lease. A save is durable when
 * its promise resolves, never before; saves run one after another. The content of a failed save
 * stays in memory, and is written by the next one.
 */
export class SealedFile {
  readonly path: string;
  readonly fileId: string;
  readonly #key: VaultKey;
  #body = new Body();
  #summary: Buffer = Buffer.alloc(0);
  /** Lines that are in the body but not on disk. */
  #pending: Uint8Array[] = [];
  /** Lines that the next save replaces. */
  #draft: readonly Uint8Array[] = [];
  #unwritten = false;
  #generation = 0n;
  /** Whether this process made durable what is on disk; unknown for a file that was only opened. */
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
   * Continues from an opened file, and passes the plain lines of each segment to `onLines`, in
   * order; `spare` if they aren't needed here. `marked` is the generation of the rollback mark, if
   * the file doesn't match it: the next save then overwrites the file, with a generation above
   * both. A file sealed with a retiring key is overwritten too.
   */
  adopt(opened: OpenedFile, onLines: (lines: Buffer, spare: boolean) => void, marked?: bigint): void {
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
   * How far the file on disk has come, for its rollback mark. Undefined while that isn't known to
   * be durable: before the first save by this process, during a save, and after a failed one.
   */
  get mark(): RollbackMark | undefined {
    const end = this.#flushed ? this.#end : undefined;
    return end && { generation: end.generation, frames: end.chain.index, link: end.chain.link };
  }

  /**
   * Whether the last save folded appended frames into one: a good moment to update the rollback
   * mark.
   */
  get folded(): boolean {
    return this.#folded;
  }

  /** A copy of all lines so far, saved or not, for another file to begin with. */
  get lines(): Body {
    return this.#body.copy();
  }

  /** Closes the file; a later save opens it again. */
  release(): void {
    this.#appender?.[Symbol.dispose]();
    this.#appender = undefined;
  }

  /**
   * Makes a step durable. Throws `NOT_SAVED`, `DURABILITY_UNKNOWN`; the step stays in memory for
   * the next save.
   */
  save(step: Step): Promise<void> {
    this.#take(step);
    return this.#enqueue(() => (this.#unwritten ? this.#write() : Promise.resolve()));
  }

  /**
   * Replaces the whole content with one step, by an overwrite, so that nothing of it stays in the
   * file. Throws as {@link save}.
   */
  rewrite(step: Step): Promise<void> {
    this.#body = new Body();
    this.#pending = [];
    this.#take(step);
    return this.#enqueue(() => {
      this.#end = undefined;
      return this.#write();
    });
  }

  /** Folds the file into one frame, if it has more. Throws as {@link save}. */
  fold(): Promise<void> {
    return this.#enqueue(() => {
      const folded = this.#end === undefined || this.#end.laterFrames === 0;
      if (folded && !this.#unwritten) return Promise.resolve();
      this.#end = undefined;
      return this.#write();
    });
  }

  /**
   * Saves a step like {@link save}, but synchronously: the final save. It overtakes a save in
   * flight, which can then no longer put an older generation in place of this one.
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
    // The caller of that save gets its error; the next one must still run.
    this.#queue = done.catch(() => undefined);
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

  /** Returns whether the save finished; a final save may overtake it at any await. */
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

  /**
   * Seals large frames in slices, to keep the event loop free; for smaller ones waiting for the
   * event loop would cost more than the sealing.
   */
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

  /**
   * Returns the end to append to if overwriting would be expensive: in a large file whose later
   * frames are smaller than its first.
   */
  #appendsTo(): End | undefined {
    const end = this.#end;
    const large = this.#body.settled || this.#body.tailLength >= APPEND_FROM;
    // Another process appended frames and did not fold them. Its flush may have failed, and nothing
    // may follow a failed append.
    const unsure = !this.#flushed && end !== undefined && end.laterFrames > 0;
    return large && end && !unsure && end.laterFrames < end.firstFrame ? end : undefined;
  }

  /** Lines that an append writes: those not on disk, and those that the next save replaces. */
  #unsealed(): Uint8Array[] {
    return [...this.#pending, ...this.#draft];
  }

  /**
   * Returns the header of the next overwrite, and its generation. Quarantines a torn file first.
   */
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
