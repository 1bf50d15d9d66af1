import type { VaultDirectory } from './directory.ts';
import type { Unlocked } from './keys.ts';
import { Lease } from './lease.ts';
import type { Seen } from './seen.ts';

/** Removes a sealed file with its mark. Call under `locks/vault`. Throws `SESSION_IN_USE`, `SESSION_NOT_FOUND`, `FAILED`, `NOT_SAVED`. */
export function removeSealed(place: VaultDirectory, seen: Seen, unlocked: Unlocked, fileId: string): void {
  const lease = Lease.take(place.locks, fileId);
  try {
    place.requireRemovable(fileId);
    // The mark first: a crash in between leaves a file without one, which is no alarm. A full disk may take that only afterwards.
    seen.drop(unlocked, [fileId]);
    place.remove(fileId);
    if (seen.trouble) seen.drop(unlocked, [fileId]);
  } finally {
    lease.release();
  }
}
