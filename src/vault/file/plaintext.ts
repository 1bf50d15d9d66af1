import { Body } from './body.ts';
import type { OpenedFile } from './open.ts';

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

/**
 * The plaintext of a sealed file in memory: all lines, saved or not, and the summary. The lines of
 * a failed save stay, and are part of the next one.
 */
export class Plaintext {
  #body = new Body();
  #summary: Buffer = Buffer.alloc(0);
  /** Lines that are in the body but not on disk. */
  #pending: Uint8Array[] = [];
  #draft: readonly Uint8Array[] = [];
  #isWritten = true;

  /**
   * Takes over the lines of an opened file, and passes those of each segment to `onLines`, in
   * order; `spare` if they aren't needed here.
   */
  adopt(opened: OpenedFile, onLines: (lines: Buffer, spare: boolean) => void): void {
    for (const segment of opened.segments) {
      const { tailLength } = this.#body;
      const lines = this.#body.addSegment(segment);
      onLines(lines, segment.codec === 1 && this.#body.tailLength === tailLength);
    }
    this.#summary = opened.summary;
  }

  /** Adds the lines of a step, and replaces the summary and the draft. */
  take(step: Step): void {
    if (step.base) this.#body = step.base;
    this.#summary = step.summary;
    this.#draft = step.draft ? [step.draft] : [];
    this.#isWritten = false;
    if (step.lines.length === 0) return;
    this.#body.addLines(step.lines);
    this.#pending.push(step.lines);
  }

  /** Replaces everything with one step. */
  replace(step: Step): void {
    this.#body = new Body();
    this.#pending = [];
    this.take(step);
  }

  /** All lines without the draft. */
  get body(): Body {
    return this.#body;
  }

  get summary(): Buffer {
    return this.#summary;
  }

  /** Lines that the next save replaces. */
  get draft(): readonly Uint8Array[] {
    return this.#draft;
  }

  /** Lines that an append writes: those not on disk, and the draft. */
  get unsealed(): Uint8Array[] {
    return [...this.#pending, ...this.#draft];
  }

  /** Whether nothing was added since the last save began, and that save didn't fail. */
  get isWritten(): boolean {
    return this.#isWritten;
  }

  /** Notes that everything is being written, or was. */
  written(): void {
    this.#pending = [];
    this.#isWritten = true;
  }

  /** Notes that a save failed. */
  failed(): void {
    this.#isWritten = false;
  }
}
