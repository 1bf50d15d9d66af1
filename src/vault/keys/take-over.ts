import type { VaultKey } from '../../envelope/key.ts';
import { isCofferError } from '../../errors.ts';
import { sweepTemps } from '../../files/replace/temporary.ts';
import type { VaultDirectory } from '../directory.ts';
import { hasRightMac } from './record/record.ts';
import type { VaultFile } from './record/shape.ts';
import { findVaultFile, replaceVaultFileSync } from './record/vault-file.ts';

/**
 * Adds a MAC to a record that predates it, if it still says what `file` says. Returns the new
 * counter, or undefined if it stays as it is because the disk is read-only or another process is
 * changing the vault: the next unlock tries again.
 */
export function takeOver(place: VaultDirectory, file: VaultFile, key: VaultKey): number | undefined {
  try {
    using turn = place.tryTurn();
    if (!turn) return undefined;
    const now = findVaultFile(place.root).file;
    // Another process that opened the vault at the same time has already done it.
    if (now?.key === key.id && hasRightMac(now, key)) return now.counter;
    if (JSON.stringify(now) !== JSON.stringify(file)) return undefined;
    sweepTemps(place.root, (name) => name === 'vault.json');
    return replaceVaultFileSync(place.root, file, key).counter;
  } catch (error) {
    if (!isCofferError(error)) throw error;
    return undefined;
  }
}
