import { isCofferError } from '../../errors.ts';
import type { VaultDirectory } from '../directory.ts';
import { readVaultFile } from './record/vault-file.ts';

/**
 * Tells whether a key is the vault's and no rotation is replacing it. From the start of a rotation
 * on, no cache may be sealed with the old key. So a process that writes a cache calls this again
 * after the rename: a rotation announces itself in vault.json first, and then drops the caches.
 */
export function isCurrentKey(place: VaultDirectory, keyId: string): boolean {
  try {
    const file = readVaultFile(place.root);
    return file?.key === keyId && file.retiring === undefined;
  } catch (error) {
    if (!isCofferError(error)) throw error;
    return false; // callers that need the file report the reason
  }
}
