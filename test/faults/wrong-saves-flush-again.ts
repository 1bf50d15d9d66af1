import { closeSync, constants, fdatasync, openSync } from 'node:fs';
import { promisify } from 'node:util';
import { writeAll } from '../../src/files/descriptor/write.ts';
import type { Stamp } from '../../src/files/replace/replace.ts';
import { told } from './wrong-saves-told.ts';

/*
 * Appends, and if the flush fails, flushes again on the same descriptor: the second time the system
 * reports success.
 */

export * from '../../src/files/append.ts';

const flush = promisify(fdatasync);

/** Replaces coffer's own. */
export class FileEnd implements Disposable {
  readonly #path: string;
  #at: Stamp;

  constructor(path: string, at: Stamp) {
    this.#path = path;
    this.#at = at;
  }

  async append(bytes: Uint8Array): Promise<Stamp> {
    this.#at = await told(this.#path, async () => {
      const file = openSync(this.#path, constants.O_WRONLY);
      try {
        await writeAll(file, [bytes], this.#at.size);
        await flush(file).catch(() => flush(file));
      } finally {
        closeSync(file);
      }
    });
    return this.#at;
  }

  [Symbol.dispose](): void {
    this.#at = { ...this.#at }; // nothing is kept open
  }
}
