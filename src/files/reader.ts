import {
  type BigIntStats,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readSync,
  type Stats,
} from 'node:fs';
import { CofferError, isCofferError } from '../errors.ts';
import { closeUnwritten } from './descriptor/close.ts';
import { isSystemError, reasonOf } from './reason.ts';
import type { Stamp } from './replace/replace.ts';

/** A file open for reading: one state of it, even if it is replaced meanwhile. */
export interface Reader extends Disposable {
  /** The file, and its length when it was opened. */
  readonly stamp: Stamp;
  /**
   * Reads `length` bytes from `offset`, into a buffer that the caller owns and that is shared with
   * nothing. Throws `FAILED`, also if the file ends earlier.
   */
  at(offset: number, length: number): Buffer;
}

/**
 * Opens a regular file for reading; the caller disposes of it. Never follows a symbolic link at its
 * path (except on Windows, where creating links requires a privilege) and never blocks on a pipe.
 * Throws the system's own ENOENT if nothing exists there, else `FAILED`.
 */
export function openReader(path: string): Reader {
  const file = orFailed(path, () => openSync(path, READ));
  const dispose = (): void => closeUnwritten(file);
  try {
    const stamp = orFailed(path, () => stampOf(path, fstatSync(file, { bigint: true })));
    const at = (offset: number, length: number): Buffer => orFailed(path, () => readAll(path, file, offset, length));
    return { stamp, at, [Symbol.dispose]: dispose };
  } catch (error) {
    dispose();
    throw error;
  }
}

/**
 * Returns the stats of a path without following a link; undefined if nothing exists there. Throws
 * `FAILED` if the system can't tell.
 */
export function statsOf(path: string): Stats | undefined {
  return orFailed(path, () => lstatSync(path, { throwIfNoEntry: false }));
}

/**
 * Returns the names in a directory; an empty list if it doesn't exist. Throws `FAILED` if it can't
 * be read.
 */
export function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return [];
    throw new CofferError('FAILED', `cannot list ${directory}`, { reason: reasonOf(error), cause: error });
  }
}

function orFailed<T>(path: string, step: () => T): T {
  try {
    return step();
  } catch (error) {
    if (isCofferError(error) || isSystemError(error, 'ENOENT')) {
      throw error;
    }
    throw new CofferError('FAILED', `cannot read ${path}`, { reason: reasonOf(error), cause: error });
  }
}

function stampOf(path: string, found: BigIntStats): Stamp {
  if (!found.isFile()) {
    throw new CofferError('FAILED', `${path} is not a regular file`, { advice: 'move it away' });
  }
  return { dev: found.dev, ino: found.ino, size: Number(found.size) };
}

function readAll(path: string, file: number, offset: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafeSlow(length);
  for (let done = 0; done < length; ) {
    const got = readSync(file, bytes, done, length - done, offset + done);
    if (got === 0) {
      throw new CofferError('FAILED', `${path} unexpectedly ends at byte ${offset + done}`, {
        advice: 'read it again',
      });
    }
    done += got;
  }
  return bytes;
}

// A link or a pipe at the path must neither lead to another file nor block. Windows has neither
// flag.
const READ = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);
