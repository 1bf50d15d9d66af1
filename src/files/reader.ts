import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { CofferError, isCofferError } from '../errors.ts';
import { isSystemError, reasonOf } from './reason.ts';
import type { Stamp } from './replace.ts';

/** An open file that is read in pieces. An overwrite puts another file under its name: this one goes on reading the old. */
export interface Reader extends Disposable {
  readonly stamp: Stamp;
  /** Reads exactly `length` bytes from `offset` on, into memory that belongs to the caller. Throws `FAILED`. */
  at(offset: number, length: number): Buffer;
}

/**
 * Opens a regular file for reading. Never writes, never follows a symbolic link in its place, never waits on
 * a pipe. Throws the system's own ENOENT where nothing is there, else `FAILED`. The caller disposes of it.
 */
export function openReader(path: string): Reader {
  try {
    const descriptor = openSync(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0));
    const found = fstatSync(descriptor, { bigint: true });
    if (!found.isFile()) {
      closeSync(descriptor);
      throw new CofferError('FAILED', `${path} is not a regular file; move it away`);
    }
    return {
      stamp: { dev: found.dev, ino: found.ino, size: Number(found.size) },
      at: (offset, length) => readExactly(path, descriptor, offset, length),
      [Symbol.dispose]: () => closeSync(descriptor),
    };
  } catch (error) {
    if (isCofferError(error) || isSystemError(error, 'ENOENT')) throw error;
    throw new CofferError('FAILED', `cannot read ${path}: ${reasonOf(error)}`, { cause: error });
  }
}

function readExactly(path: string, descriptor: number, offset: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafeSlow(length);
  for (let done = 0; done < length; ) {
    const got = readSync(descriptor, bytes, done, length - done, offset + done);
    if (got === 0) throw new CofferError('FAILED', `${path} was cut off while it was read; read it again`);
    done += got;
  }
  return bytes;
}
