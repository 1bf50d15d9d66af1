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
import { closeUnwritten } from './close.ts';
import { isSystemError, reasonOf } from './reason.ts';
import type { Stamp } from './replace.ts';

/** A file open for reading: one state of it, whatever replaces it under its name meanwhile. */
export interface Reader extends Disposable {
  /** Which file, and its length when it was opened. */
  readonly stamp: Stamp;
  /**
   * Reads `length` bytes from `offset` on, into memory that belongs to the caller and is shared with
   * nothing. Throws `FAILED`, also where the file ends before.
   */
  at(offset: number, length: number): Buffer;
}

/**
 * Opens a regular file for reading; the caller disposes of it. Never follows a symbolic link in its place
 * (on Windows it does: links there need a privilege) and never waits on a pipe. Throws the system's own
 * ENOENT where nothing is there, else `FAILED`.
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

/** Looks at what has a name, never through a link; undefined where nothing has it. Throws `FAILED` where that can't be told. */
export function statsOf(path: string): Stats | undefined {
  return orFailed(path, () => lstatSync(path, { throwIfNoEntry: false }));
}

/** Lists the names in a directory; none where it is not there. Throws `FAILED` where it can't be read. */
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
      throw new CofferError('FAILED', `${path} ends at ${offset + done}, before what is to be read`, {
        advice: 'read it again',
      });
    }
    done += got;
  }
  return bytes;
}

// A link or a pipe in the file's place must neither lead elsewhere nor stop us. Windows has neither flag.
const READ = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);
