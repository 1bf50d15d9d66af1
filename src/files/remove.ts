import { closeSync, constants, fsyncSync, openSync, unlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { CofferError } from '../errors.ts';
import { reasonOf } from './reason.ts';

/**
 * Removes a file or link. Durable on return. Throws `NOT_SAVED`, also if nothing exists there
 * (`ENOENT`).
 */
export function removeFile(path: string): void {
  try {
    unlinkSync(path);
    syncDirectory(dirname(path));
  } catch (cause) {
    throw new CofferError('NOT_SAVED', `cannot remove ${path}`, { reason: reasonOf(cause), cause });
  }
}

/** Flushes a directory's entries to disk. Does nothing on Windows, which has no such call. */
export function syncDirectory(directory: string): void {
  if (process.platform === 'win32') return;
  const descriptor = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
