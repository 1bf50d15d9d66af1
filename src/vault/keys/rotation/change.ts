import { CofferError } from '../../../errors.ts';
import { sweepTemps } from '../../../files/replace/temporary.ts';
import type { VaultDirectory } from '../../directory.ts';
import { type Seen, seenCounter } from '../../marks/seen.ts';
import type { Unlocked } from '../options.ts';
import { changedRecord, MISSING } from '../record/judge.ts';
import { type AuthenticatedFile, hasRightMac } from '../record/record.ts';
import type { VaultFile } from '../record/shape.ts';
import { readVaultFile, replaceVaultFile } from '../record/vault-file.ts';

/**
 * Changes vault.json under `locks/vault`: `change` gets its verified content and returns the new
 * one. Removes temporary files left by a killed change. Durable when it resolves. Throws
 * `UNAUTHENTIC` if vault.json is not as coffer wrote it, `FAILED` if there is no vault,
 * `VAULT_BUSY`, `NOT_SAVED`, and what `change` throws.
 */
export async function changeVaultFile(
  place: VaultDirectory,
  seen: Seen,
  unlocked: Unlocked,
  change: (file: VaultFile) => VaultFile,
): Promise<AuthenticatedFile> {
  requireVaultFile(place); // taking the lock would create a directory even if there is no vault
  return place.locked(async () => {
    const file = requireGenuine(place, unlocked);
    sweepTemps(place.root, (name) => name === 'vault.json');
    return writeVaultFile(place, seen, unlocked, change(file));
  });
}

/**
 * Writes vault.json, and then its counter into `seen`, in this order. Must be called under
 * `locks/vault`. Throws `NOT_SAVED`, `DURABILITY_UNKNOWN`.
 */
export async function writeVaultFile(
  place: VaultDirectory,
  seen: Seen,
  keys: Pick<Unlocked, 'key' | 'retiring'>,
  file: VaultFile,
): Promise<AuthenticatedFile> {
  const written = await replaceVaultFile(place.root, file, keys.key);
  seen.note({ ...keys, counter: written.counter });
  return written;
}

/**
 * Reads vault.json and verifies it, so that a change never puts a MAC on what something else wrote.
 * Throws `UNAUTHENTIC`, `VAULT_BUSY` if the key has been rotated in the meantime, `FAILED` if there
 * is no vault.
 */
export function requireGenuine(
  place: VaultDirectory,
  { key, retiring, counter, distrust }: Pick<Unlocked, 'key' | 'retiring' | 'counter' | 'distrust'>,
): VaultFile {
  if (distrust) throw distrust.error;
  const file = requireVaultFile(place);
  if (file.key !== key.id) {
    throw new CofferError('VAULT_BUSY', 'vault.json now names another key', { advice: 'try again' });
  }
  // Predates the MAC, and was accepted when the vault was unlocked.
  if (file.mac === undefined && counter === undefined) return file;
  const wrong = (what: string): CofferError => changedRecord(place.root, what);
  if (file.mac === undefined) throw wrong('its MAC is missing');
  if (!hasRightMac(file, key)) throw wrong('its MAC is wrong');
  const least = Math.max(counter ?? 0, seenCounter(place, { key, retiring }) ?? 0);
  if ((file.counter ?? 0) < least)
    throw wrong(`an older copy was put back: found change ${file.counter}, last seen ${least}`);
  return file;
}

/**
 * Reads vault.json, which must exist. Throws `FAILED`, and `UNAUTHENTIC` if it is damaged, or
 * missing while there are sealed files.
 */
export function requireVaultFile(place: VaultDirectory): VaultFile {
  const file = readVaultFile(place.root);
  if (file) return file;
  if (!place.isEmpty) throw changedRecord(place.root, MISSING);
  throw new CofferError('FAILED', `there is no vault in ${place.root}`, {
    advice: 'use --data-dir if it is elsewhere',
  });
}
