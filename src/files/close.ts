import { closeSync } from 'node:fs';
import { isSystemError } from './reason.ts';

/**
 * Closes a descriptor that nothing was written through. Never throws: the descriptor is gone even when its close reports an error,
 * and there is nothing that could have been lost with it.
 */
export function closeUnwritten(descriptor: number): void {
  try {
    closeSync(descriptor);
  } catch (error) {
    // What was read has been read, what was flushed is flushed. Anything but the system's own answer is a bug.
    if (!isSystemError(error)) throw error;
  }
}
