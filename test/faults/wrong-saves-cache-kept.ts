import { rmSync } from 'node:fs';
import { isSystemError } from '../../src/files/reason.ts';

/* Removes a cache once, and does not check whether it is gone. */

export * from '../../src/files/replace/cache.ts';

const removed = new Set<string>();

/** Replaces coffer's own. */
export function removeCache(path: string): void {
  if (removed.has(path)) return;
  removed.add(path);
  try {
    rmSync(path, { force: true });
  } catch (error) {
    if (!isSystemError(error)) throw error; // this is the fault
  }
}
