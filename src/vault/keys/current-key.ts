import { isCofferError } from '../../errors.ts';
import type { VaultDirectory } from '../directory.ts';
import { readVaultFile } from './record/vault-file.ts';

/**
 * Tells whether a key is the vault's and stays so. While a rotation goes on, and behind it, no cache is sealed with the key before: who
 * writes one asks this once more behind the rename, because a rotation says that it begins first, and drops the caches then.
 */
export function isCurrentKey(place: VaultDirectory, keyId: string): boolean {
  try {
    const file = readVaultFile(place.root);
    return file?.key === keyId && file.retiring === undefined;
  } catch (error) {
    if (!isCofferError(error)) throw error;
    return false; // who needs the file is told what is wrong with it
  }
}
