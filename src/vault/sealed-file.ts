import { dirname } from 'node:path';
import { encodeHeader } from '../envelope/format.ts';
import type { VaultKey } from '../envelope/key.ts';
import { type Chain, firstLink, sealFrame } from '../envelope/seal.ts';
import { appendFile, appendFileSync } from '../files/append.ts';
import { replaceFile, replaceFileSync, type Stamp, sweepTemps } from '../files/replace.ts';
import { Body, pack } from './body.ts';
import type { Opened, Torn } from './open.ts';
import { quarantineTorn } from './quarantine.ts';

/** From this many plain bytes on a step is appended as a frame of its own instead of rewriting the file. */
const APPEND_FROM = 128 * 1024;

/** One save: new whole lines (NDJSON), and the summary as it is with them. */
export interface Step {
  readonly lines: Uint8Array;
  readonly summary: Uint8Array;
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
  #summary: Uint8Array = Buffer.alloc(0);
  /** Lines that are in the body and not on disk. */
  #pending: Uint8Array[] = [];
  #draft: Uint8Array | undefined;
  #unwritten = false;
  #generation = 0n;
  /** What is on disk was made durable here; of what was only opened that is not known. */
  #flushed = false;
  #folded = false;
  #end: End | undefined;
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
   * Goes on from what was opened, and hands each segment's plain lines to `onLines`, in order. `marked` is given where that is
   * not what was seen of this file, and is the generation that was: the next save overwrites then, and is later than both. It
   * overwrites too what is sealed with a retiring key.
   */
  adopt(opened: Opened, onLines: (lines: Buffer) => void, marked?: bigint): void {
    for (const segment of opened.segments) onLines(this.#body.addSegment(segment));
    this.#summary = opened.summary;
    const { generation } = opened.header;
    this.#generation = marked !== undefined && marked > generation ? marked : generation;
    this.#torn = opened.torn;
    if (!opened.torn && marked === undefined && opened.key.id === this.#key.id) this.#end = opened;
  }

  /**
   * How far the file on disk has come, for the marks against rollback. Undefined where that is not known to be durable: before
   * the first save made here, while one is in flight, and after a failure.
   */
  get mark(): Mark | undefined {
    const chain = this.#flushed ? this.#end?.chain : undefined;
    return chain && { generation: this.#generation, frames: chain.index, link: chain.link };
  }

  /** Whether the last save put appended frames into one: the moment to mark how far the file has come. */
  get folded(): boolean {
    return this.#folded;
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
    if (end) {
      const frame = this.#sealPending(end);
      this.#appended(end, frame, appendFileSync(this.path, end.stamp, frame.bytes));
    } else {
      const { header, frame } = this.#sealWhole();
      this.#overwritten(frame, replaceFileSync(this.path, [header, frame.bytes]));
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
      if (end) {
        const frame = this.#sealPending(end);
        this.#written();
        const stamp = await appendFile(this.path, end.stamp, frame.bytes);
        if (!overtaken()) this.#appended(end, frame, stamp);
      } else {
        const { header, frame } = this.#sealWhole();
        this.#written();
        const stamp = await replaceFile(this.path, [header, frame.bytes], { abandoned: overtaken });
        if (overtaken()) return;
        this.#overwritten(frame, stamp);
        this.#folded = folds;
      }
    } catch (error) {
      if (overtaken()) return; // the final save has made this step durable
      this.#unwritten = true;
      throw error;
    } finally {
      this.#inFlight = false;
    }
  }

  #take(step: Step): void {
    this.#summary = step.summary;
    this.#draft = step.draft;
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

  #sealPending(end: End): SealedFrame {
    const lines = this.#draft ? [...this.#pending, this.#draft] : this.#pending;
    return sealFrame(this.#key, end.chain, { summary: Buffer.from(this.#summary), segments: pack(lines) });
  }

  #sealWhole(): { header: Buffer; frame: SealedFrame } {
    if (this.#torn) quarantineTorn(this.path, this.fileId, this.#torn);
    this.#torn = undefined;
    this.#generation += 1n;
    const { fileId } = this;
    const header = encodeHeader({ kind: 'session', keyId: this.#key.id, fileId, generation: this.#generation });
    const content = { summary: Buffer.from(this.#summary), segments: this.#body.toSegments(this.#draft) };
    return { header, frame: sealFrame(this.#key, firstLink(header), content) };
  }

  #overwritten(frame: SealedFrame, stamp: Stamp): void {
    this.#end = { stamp, chain: frame.next, firstFrame: frame.bytes.length, laterFrames: 0 };
    this.#flushed = true;
  }

  #appended(end: End, frame: SealedFrame, stamp: Stamp): void {
    const laterFrames = end.laterFrames + frame.bytes.length;
    this.#end = { stamp, chain: frame.next, firstFrame: end.firstFrame, laterFrames };
    this.#flushed = true;
  }
}

type SealedFrame = ReturnType<typeof sealFrame>;
