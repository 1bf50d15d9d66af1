import { CofferError, isCofferError } from '../../../errors.ts';
import type { VaultDirectory } from '../../directory.ts';
import { openNamed } from '../opening.ts';
import type { KeyOptions } from '../options.ts';
import { accessOf } from '../owner.ts';
import { type Access, canOthersWrite } from './known.ts';
import { withSuccessor } from './record.ts';
import type { VaultFile } from './shape.ts';
import { findVaultFile, replaceVaultFile } from './vault-file.ts';

/** Facts about a data directory that the user can accept. */
export interface TrustChange {
  /** The key id that vault.json names, if another one or none is known for the directory. */
  readonly key?: string | undefined;
  /** The key id that is known. */
  readonly known?: string | undefined;
  /** The owner and the permissions of the directory, if others can write to it. */
  readonly access?: Access | undefined;
}

/**
 * Returns what can be accepted, or undefined if there is nothing. Throws `UNAUTHENTIC` if
 * vault.json is damaged.
 */
export function trustChange({ root }: VaultDirectory, { known }: Pick<KeyOptions, 'known'>): TrustChange | undefined {
  const before = known.find(root);
  const { file, error } = findVaultFile(root);
  if (error) throw error;
  const access = accessOf(root);
  const isAccepted = before.accepted?.uid === access?.uid && before.accepted?.mode === access?.mode;
  const change: TrustChange = {
    key: file?.key === before.key ? undefined : file?.key,
    known: before.key,
    access: access && canOthersWrite(access) && !isAccepted ? access : undefined,
  };
  return change.key === undefined && change.access === undefined ? undefined : change;
}

/**
 * Accepts a change: pins the key, and the access of others. Adds a MAC to a record that predates
 * it, as it stands, with a certificate if it names a retiring key. Durable when it resolves. Throws
 * `VAULT_BUSY`, `NOT_SAVED`.
 */
export async function acceptChange(place: VaultDirectory, options: KeyOptions, change: TrustChange): Promise<void> {
  const { key, access } = change;
  if (key !== undefined) await authenticateAsItStands(place, options, key);
  await options.known.change(place.root, { ...(key && { key }), ...(access && { accepted: access }) });
}

async function authenticateAsItStands(place: VaultDirectory, options: KeyOptions, keyId: string): Promise<void> {
  const file = requireSame(place, keyId);
  if (file.mac !== undefined) return;
  const keys = await openNamed(options, file).catch((error: unknown) => {
    if (!isCofferError(error)) throw error;
    return undefined; // nothing can be authenticated until coffer recover brings the key
  });
  if (!keys) return;
  const { key, retiring } = keys;
  await place.locked(async () => {
    if (JSON.stringify(requireSame(place, keyId)) !== JSON.stringify(file)) throw changedMeanwhile();
    const successors = retiring ? withSuccessor(file, retiring, key.id) : file.successors;
    await replaceVaultFile(place.root, { ...file, successors }, key, options.seenCounter(keys));
  });
}

function requireSame({ root }: VaultDirectory, keyId: string): VaultFile {
  const { file } = findVaultFile(root);
  if (file?.key !== keyId) throw changedMeanwhile();
  return file;
}

function changedMeanwhile(): CofferError {
  return new CofferError('VAULT_BUSY', 'vault.json was changed in the meantime', { advice: 'try again' });
}
