import { closeSync } from 'node:fs';
import { isSystemError } from '../reason.ts';

/**
 * Closes a descriptor that has no unflushed writes. Does not throw if the close fails: the
 * descriptor is released anyway, and nothing can have been lost with it.
 */
export function closeUnwritten(descriptor: number): void {
  try {
    closeSync(descriptor);
  } catch (error) {
    // Everything was read or flushed before. Only an error that isn't the system's is a bug.
    if (!isSystemError(error)) throw error;
  }
}
