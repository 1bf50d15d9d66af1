import { closeSync, constants, fsyncSync, openSync, unlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { CofferError, isCofferError } from '../errors.ts';
import { statsOf } from './reader.ts';
import { isSystemError, reasonOf } from './reason.ts';

/** Removes a file or link. Durable on return. Throws `NOT_SAVED`; `ENOENT` too is an error here. */
export function removeFile(path: string): void {
  try {
    unlinkSync(path);
    syncDirectory(dirname(path));
  } catch (cause) {
    throw new CofferError('NOT_SAVED', `cannot remove ${path}: ${reasonOf(cause)}`, { cause });
  }
}

/** Removes a file that any process may make or remove at any time, if it is there. Durable on return. Throws `NOT_SAVED`. */
export function removeCache(path: string): void {
  if (statsOf(path) === undefined) return;
  try {
    removeFile(path);
  } catch (error) {
    // Another process has removed it meanwhile.
    if (!isCofferError(error) || !isSystemError(error.cause, 'ENOENT')) throw error;
  }
}

/** Flushes a directory's names to the disk. Does nothing on Windows, which has no such call. */
export function syncDirectory(directory: string): void {
  if (process.platform === 'win32') return;
  const descriptor = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
