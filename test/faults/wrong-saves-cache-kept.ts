import { rmSync } from 'node:fs';
import { isSystemError } from '../../src/files/reason.ts';

/* Removes a cache once, and does not ask whether it is gone. */

export * from '../../src/files/cache.ts';

const removed = new Set<string>();

/** Takes the place of coffer's own. */
export function removeCache(path: string): void {
  if (removed.has(path)) return;
  removed.add(path);
  try {
    rmSync(path, { force: true });
  } catch (error) {
    if (!isSystemError(error)) throw error; // this is what is wrong with it
  }
}
