import { type BigIntStats, constants, fdatasyncSync, fstatSync, lstatSync, openSync } from 'node:fs';
import { fdatasync } from './aside.ts';
import { closeUnwritten } from './close.ts';
import { notSaved } from './reason.ts';
import type { Stamp } from './replace.ts';
import { SHORT, writeAll, writeAllSync } from './write.ts';

/** A flush that takes less is quick, and after so many of them in a row the next is expected to be. */
const QUICK_MS = 1;
const QUICK_RUN = 4;

/** What a disk has shown of itself, to be handed from one open end of a file to the next. */
export interface Pace {
  /** How many flushes in a row were quick. */
  quick: number;
}

/**
 * The end of a file that only this process writes, kept open from one append to the next: opening it anew takes a fifth of what an
 * append takes. Whoever appends closes it.
 *
 * An append that failed is never tried again: what stands behind the end is unknown then, and the caller must overwrite the whole
 * file from memory. (After an EIO the next fdatasync would answer "fine" while the disk still holds the old bytes.)
 */
export class FileEnd implements Disposable {
  readonly #path: string;
  #file: number | undefined;
  readonly #pace: Pace;
  #at: Stamp;
  #busy = false;
  #closing = false;

  /** Opens the file at `path`, which must still be the one that `at` names, and end there. Throws `NOT_SAVED`. */
  constructor(path: string, at: Stamp, pace: Pace = { quick: 0 }) {
    this.#path = path;
    this.#at = at;
    this.#pace = pace;
    try {
      this.#file = openSync(path, constants.O_WRONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0));
      mustBe(at, fstatSync(this.#file, { bigint: true }));
    } catch (error) {
      this.#close();
      throw unsaved(path, error);
    }
  }

  /**
   * Adds `bytes` behind the end and returns the file's new stamp. When the promise resolves the bytes are durable and the path
   * still names that file. The caller must leave `bytes` alone until the promise settles. Throws `NOT_SAVED`, and is closed then.
   */
  async append(bytes: Uint8Array): Promise<Stamp> {
    try {
      const file = this.#checked();
      this.#busy = true;
      const size = await writeAll(file, [bytes], this.#at.size);
      await this.#flush(file, bytes.length);
      return this.#confirm(size);
    } catch (error) {
      this.#closing = true;
      throw unsaved(this.#path, error);
    } finally {
      this.#busy = false;
      if (this.#closing) this.#close();
    }
  }

  /** Does what {@link append} does, synchronously: for a signal handler. */
  appendSync(bytes: Uint8Array): Stamp {
    try {
      const file = this.#checked();
      const size = writeAllSync(file, [bytes], this.#at.size);
      fdatasyncSync(file);
      return this.#confirm(size);
    } catch (error) {
      this.#close();
      throw unsaved(this.#path, error);
    }
  }

  /**
   * Closes the file, once an append in flight is over: its descriptor must not become another file's meanwhile. All that was
   * written through it is flushed then, or reported as failed. Does nothing the second time.
   */
  [Symbol.dispose](): void {
    this.#closing = true;
    if (!this.#busy) this.#close();
  }

  #close(): void {
    const file = this.#file;
    this.#file = undefined;
    if (file !== undefined) closeUnwritten(file);
  }

  /** The file, if it ends where the last append ended. */
  #checked(): number {
    if (this.#file === undefined || this.#busy || this.#closing) throw new Error('its end is not open');
    // Which file it is was looked at when its name was, behind the last append; only its end may have moved since.
    if (fstatSync(this.#file).size !== this.#at.size) throw new Error('changed by something else');
    return this.#file;
  }

  /**
   * Flushes on another thread until the disk has shown itself quick, and then on this one for as long as it stays so: the way to the
   * other thread and back takes as long as a quick flush, and a slow one keeps nobody waiting but once.
   */
  async #flush(file: number, length: number): Promise<void> {
    const start = performance.now();
    if (this.#pace.quick >= QUICK_RUN && length <= SHORT) fdatasyncSync(file);
    else await fdatasync(file);
    this.#pace.quick = performance.now() - start < QUICK_MS ? this.#pace.quick + 1 : 0;
  }

  #confirm(size: number): Stamp {
    const stamp = { ...this.#at, size };
    mustBe(stamp, lstatSync(this.#path, { bigint: true }));
    this.#at = stamp;
    return stamp;
  }
}

function mustBe(stamp: Stamp, found: BigIntStats): void {
  if (!found.isFile() || found.dev !== stamp.dev || found.ino !== stamp.ino || found.size !== BigInt(stamp.size)) {
    throw new Error('changed by something else');
  }
}

function unsaved(path: string, error: unknown): Error {
  return notSaved('cannot append to', path, error, 'its end is unknown now, overwrite it');
}
