import { dirname } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Chain } from '../../envelope/chain.ts';
import type { Content } from '../../envelope/format.ts';
import type { VaultKey } from '../../envelope/key.ts';
import { type SealedFrame, sealFrame, sealFrameInSlices } from '../../envelope/seal.ts';
import { sweepTemps } from '../../files/replace/temporary.ts';
import { type Body, pack, packStep } from './body.ts';
import { type RollbackMark, SealedEnd } from './end.ts';
import type { OpenedFile } from './open.ts';
import { Plaintext, type Step } from './plaintext.ts';

export type { RollbackMark } from './end.ts';
export type { Step } from './plaintext.ts';

/** Frames of at least this many bytes are sealed in slices. */
const SLICED_FROM = 512 * 1024;

/**
 * A sealed file open for writing, by the one process that holds its lease. A save is durable when
 * its promise resolves, never before; saves run one after another. The content of a failed save
 * stays in memory, and is written by the next one.
 */
export class SealedFile {
  readonly path: string;
  readonly fileId: string;
  readonly #key: VaultKey;
  readonly #plaintext = new Plaintext();
  readonly #end: SealedEnd;
  #folded = false;
  #queue: Promise<void> = Promise.resolve();
  #inFlight = false;
  /** Number of final saves. */
  #finals = 0;

  constructor(path: string, fileId: string, key: VaultKey) {
    this.path = path;
    this.fileId = fileId;
    this.#key = key;
    this.#end = new SealedEnd(path, fileId);
  }

  /**
   * Continues from an opened file, and passes the plain lines of each segment to `onLines`, in
   * order; `spare` if they aren't needed here. `marked` is the generation of the rollback mark, if
   * the file doesn't match it: the next save then overwrites the file, with a generation above
   * both. A file sealed with a retiring key is overwritten too.
   */
  adopt(opened: OpenedFile, onLines: (lines: Buffer, spare: boolean) => void, marked?: bigint): void {
    this.#plaintext.adopt(opened, onLines);
    this.#end.adopt(opened, marked, marked === undefined && opened.key.id === this.#key.id);
  }

  /**
   * How far the file on disk has come, for its rollback mark. Undefined while that isn't known to
   * be durable: before the first save by this process, during a save, and after a failed one.
   */
  get mark(): RollbackMark | undefined {
    return this.#end.mark;
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
    return this.#plaintext.body.copy();
  }

  /** Closes the file; a later save opens it again. */
  release(): void {
    this.#end.release();
  }

  /**
   * Makes a step durable. Throws `NOT_SAVED`, `DURABILITY_UNKNOWN`; the step stays in memory for
   * the next save.
   */
  save(step: Step): Promise<void> {
    this.#plaintext.take(step);
    return this.#enqueue(() => (this.#plaintext.isWritten ? Promise.resolve() : this.#write()));
  }

  /**
   * Replaces the whole content with one step, by an overwrite, so that nothing of it stays in the
   * file. Throws as {@link save}.
   */
  rewrite(step: Step): Promise<void> {
    this.#plaintext.replace(step);
    return this.#enqueue(() => {
      this.#end.forget();
      return this.#write();
    });
  }

  /** Folds the file into one frame, if it has more. Throws as {@link save}. */
  fold(): Promise<void> {
    return this.#enqueue(() => {
      if (!this.#end.hasLater && this.#plaintext.isWritten) return Promise.resolve();
      this.#end.forget();
      return this.#write();
    });
  }

  /**
   * Saves a step like {@link save}, but synchronously: the final save. It overtakes a save in
   * flight, which can then no longer put an older generation in place of this one.
   */
  saveSync(step: Step): void {
    this.#plaintext.take(step);
    const { body, draft, unsealed, summary } = this.#plaintext;
    const place = this.#end.next(body, this.#key.id);
    const segments = place.how === 'append' ? pack(unsealed) : body.toSegments(draft);
    this.#end.writeSync(place, sealFrame(this.#key, place.chain, { summary, segments }));
    this.#finals++;
    this.#plaintext.written();
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
    this.#folded = false;
    this.#inFlight = true;
    try {
      await this.#seal(overtaken);
    } catch (error) {
      if (overtaken()) return; // the final save has made this step durable
      this.#plaintext.failed();
      throw error;
    } finally {
      this.#inFlight = false;
    }
  }

  /** Seals and writes what isn't on disk; a final save may overtake it at any await. */
  async #seal(overtaken: () => boolean): Promise<void> {
    const { body, draft, unsealed, summary } = this.#plaintext;
    const place = this.#end.next(body, this.#key.id);
    this.#plaintext.written();
    const packed = place.how === 'append' ? packStep(unsealed) : body.toSegmentsAside(draft);
    const segments = packed instanceof Promise ? await packed : packed;
    if (overtaken()) return;
    const frame = await this.#frame(place.chain, { summary, segments });
    if (overtaken()) return;
    const isEnd = await this.#end.write(place, frame, overtaken);
    if (isEnd && place.how === 'overwrite') this.#folded = place.folds;
  }

  /**
   * Seals large frames in slices, to keep the event loop free; for smaller ones waiting for the
   * event loop would cost more than the sealing.
   */
  async #frame(chain: Chain, content: Content): Promise<SealedFrame> {
    const length = content.segments.reduce((sum, { stored }) => sum + stored.length, 0);
    if (length < SLICED_FROM) return sealFrame(this.#key, chain, content);
    const slices = sealFrameInSlices(this.#key, chain, content);
    for (;;) {
      const { done, value } = slices.next();
      if (done) return value;
      await nextTurn();
    }
  }
}
