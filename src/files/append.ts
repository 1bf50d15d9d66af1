import { type BigIntStats, constants, fdatasyncSync, fstatSync, lstatSync, openSync } from 'node:fs';
import { fdatasync } from './descriptor/aside.ts';
import { closeUnwritten } from './descriptor/close.ts';
import { SHORT, writeAll, writeAllSync } from './descriptor/write.ts';
import { notSaved } from './reason.ts';
import type { Stamp } from './replace/replace.ts';

/**
 * A flush that takes less than QUICK_MS is quick. After QUICK_RUN of them in a row the next one is
 * expected to be quick too.
 */
const QUICK_MS = 1;
const QUICK_RUN = 4;

/** The observed speed of a disk's flushes, passed from one {@link FileEnd} to the next. */
export interface Pace {
  /** The number of quick flushes in a row. */
  quick: number;
}

/**
 * The end of a file that only this process writes, kept open between appends: reopening it takes a
 * fifth of the time of an append. The caller disposes of it.
 *
 * A failed append is never retried: the content after the end is then unknown, and the caller must
 * overwrite the whole file from memory. (After an EIO the next fdatasync would report success while
 * the disk still holds the old bytes.)
 */
export class FileEnd implements Disposable {
  readonly #path: string;
  #file: number | undefined;
  readonly #pace: Pace;
  #at: Stamp;
  #busy = false;
  #closing = false;

  /**
   * Opens the file at `path`, which must still be the file that `at` names, with the same length.
   * Throws `NOT_SAVED`.
   */
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
   * Appends `bytes` and returns the file's new stamp. When the promise resolves, the bytes are
   * durable and the path still names that file. The caller must not change `bytes` until the
   * promise settles. Throws `NOT_SAVED`; the file is then closed.
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

  /** Like {@link append}, but synchronous, for a signal handler. */
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
   * Closes the file, after any append in progress: its descriptor must not be reused for another
   * file meanwhile. Everything written through it has then been flushed or reported as failed. Does
   * nothing the second time.
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

  /** Returns the descriptor if the file still ends where the last append ended. */
  #checked(): number {
    if (this.#file === undefined || this.#busy || this.#closing) throw new Error('not open for appending');
    // The last append already checked that the path names this file; only its end may have moved
    // since.
    if (fstatSync(this.#file).size !== this.#at.size) throw new Error('changed by something else');
    return this.#file;
  }

  /**
   * Flushes on another thread until the disk has proved quick, then on this thread as long as it
   * stays quick: the round trip to the other thread takes as long as a quick flush, and a slow
   * flush blocks this thread only once.
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
  return notSaved('cannot append to', path, error, 'its end is now unknown, overwrite it');
}
