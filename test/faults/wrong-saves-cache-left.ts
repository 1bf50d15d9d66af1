import { closeSync, openSync, renameSync } from 'node:fs';
import { writeAllSync } from '../../src/files/descriptor/write.ts';
import { isSystemError } from '../../src/files/reason.ts';

/* Writes a cache as coffer does, but leaves the partial file if it could not be written. */

export * from '../../src/files/replace/cache.ts';

let written = 0;

/** Replaces coffer's own. */
export function writeCache(path: string, make: () => readonly Uint8Array[]): boolean {
  const temp = path.replace(/[^/]+$/, (name) => `.${name}.${String(++written).padStart(16, '0')}.tmp`);
  try {
    const file = openSync(temp, 'wx', 0o600);
    writeAllSync(file, make(), 0);
    closeSync(file);
    renameSync(temp, path);
    return true;
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return false;
  }
}
