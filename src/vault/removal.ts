import { isCofferError } from '../errors.ts';
import { statsOf } from '../files/reader.ts';
import { isSystemError } from '../files/reason.ts';
import type { VaultDirectory } from './directory.ts';
import type { Unlocked } from './keys/options.ts';
import type { Unlocking } from './keys/unlocking.ts';
import { requireUnleased } from './lease.ts';
import type { Seen } from './marks/seen.ts';

/**
 * Deletes a sealed file and its rollback mark. Needs no free byte or inode, because `locks/vault`
 * exists already, except in a copy of a vault. Throws `SESSION_IN_USE`, `SESSION_NOT_FOUND`,
 * `FAILED`, `NOT_SAVED`, `KEY_*`.
 */
export async function deleteSealed(place: VaultDirectory, seen: Seen, keys: Unlocking, fileId: string): Promise<void> {
  try {
    await keys.locked(async (unlocked) => removeSealed(place, seen, unlocked, fileId));
  } catch (error) {
    const isFull = isCofferError(error, 'NOT_SAVED') && isSystemError(error.cause, 'ENOSPC', 'EDQUOT');
    if (!isFull || statsOf(place.vaultLock) !== undefined) throw error;
    // The lock file does not exist, so no process holds the vault lock, and on a full disk none can
    // create it. A process that holds the session's lease is still detected.
    removeSealed(place, seen, await keys.unlock(), fileId);
  }
}

function removeSealed(place: VaultDirectory, seen: Seen, unlocked: Unlocked, fileId: string): void {
  requireUnleased(place.locks, fileId);
  place.requireRemovable(fileId);
  // The mark goes first: a crash in between leaves a file without a mark, which raises no alarm. On
  // a full disk the mark may be removable only once the file is gone.
  seen.drop(unlocked, [fileId]);
  place.remove(fileId);
  if (seen.trouble) seen.drop(unlocked, [fileId]);
}
