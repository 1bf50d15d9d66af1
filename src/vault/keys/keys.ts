import type { VaultKey } from '../../envelope/key.ts';
import { CofferError, isCofferError } from '../../errors.ts';
import { chooseHome, dropKey, type HomeOptions, refused } from './key-home.ts';
import { type FoundKey, openByKeyId, openNamed, passphraseSlots } from './opening.ts';
import type { Distrust, KeyOptions, NamedKeys, Unlocked } from './options.ts';
import { requireOurs } from './owner.ts';
import { changedRecord, isCertified, judge, MISSING } from './record/judge.ts';
import type { VaultFile } from './record/shape.ts';
import { type FoundFile, findVaultFile, vaultFilePath } from './record/vault-file.ts';

/**
 * Maximum number of times that vault.json is read, if it or the known vaults change while it is
 * judged.
 */
const READINGS = 4;

/**
 * Unlocks the existing vault, or creates one on first use. Never creates a second key while sealed
 * files exist. If vault.json is not as coffer wrote it, this does not throw as long as the key
 * known for the directory is available: `distrust` reports it. Throws `KEY_*`, `PASSPHRASE_WRONG`,
 * `NOT_SAVED`, `UNAUTHENTIC`, and `FAILED` if others can write to the directory.
 */
export async function unlockVault(options: KeyOptions): Promise<Unlocked> {
  if (options.choice === 'memory' && !options.keyring) {
    throw new CofferError('KEY_ABSENT', 'this chat is kept in memory only, because COFFER_KEYCHAIN=memory is set');
  }
  const { directory, known } = options;
  for (let reading = 1; ; reading++) {
    // Look up the known key before reading the record: a known key is written after its record, so
    // an older record must have been put back.
    const pinned = known.find(directory);
    const found = findVaultFile(directory);
    const isEmpty = found.text === undefined && options.sealedKeyIds() === undefined;
    requireOurs(directory, pinned, isEmpty);
    const unlocked = isEmpty ? await begin(options) : await openFound(options, found, pinned.key);
    const isLast = reading === READINGS;
    if (unlocked && (!unlocked.distrust || isLast)) return unlocked;
    // Another process may have rotated the key, or created the vault, between the two readings.
    const isSame = findVaultFile(directory).text === found.text && known.find(directory).key === pinned.key;
    if (unlocked && isSame) return unlocked;
    if (!unlocked && isLast)
      throw new CofferError('VAULT_BUSY', `${vaultFilePath(directory)} appeared and disappeared in the meantime`, {
        advice: 'try again',
      });
  }
}

/** Loads the code for a first use only when there is one. */
async function begin(options: KeyOptions): Promise<Unlocked | undefined> {
  const { firstUse } = await import('./first-use.ts');
  return firstUse(options);
}

/**
 * Removes the key that was created for this vault from the keychain, if another process was first.
 * Throws `KEY_*`.
 */
export async function dropLoser(options: HomeOptions, keyId: string): Promise<void> {
  const chosen = await chooseHome(options);
  if ('keyring' in chosen) await dropKey(chosen.keyring, keyId);
}

async function openFound(options: KeyOptions, record: FoundFile, pinned: string | undefined): Promise<Unlocked> {
  const { file, error, text } = record;
  if (!file) {
    const path = vaultFilePath(options.directory);
    const why = error ?? changedRecord(options.directory, MISSING);
    const found = await openKnown(options, record, pinned);
    if (!(found instanceof CofferError)) {
      return distrusted(options, found, record, { error: why, maySeal: pinned !== undefined });
    }
    if (text !== undefined) throw why;
    throw missing(path, found);
  }
  const found = await openRecorded(options, file, pinned);
  if (found instanceof CofferError) return openInstead(options, record, pinned, found);
  const verdict = await judge(options, file, found, pinned);
  switch (verdict.is) {
    case 'genuine':
      return genuine(options, file, found, file.counter, pinned);
    case 'old':
      return genuine(options, file, found, await options.takeOver(file, found.key), pinned);
    case 'changed':
      return distrusted(options, found, record, verdict);
    case 'other':
      return openInstead(options, record, pinned, verdict.error);
  }
}

/**
 * Gets the keys that the record names. It may be wrong about where they are: then looks elsewhere
 * for the known one.
 */
async function openRecorded(
  options: KeyOptions,
  file: VaultFile,
  pinned: string | undefined,
): Promise<FoundKey | CofferError> {
  try {
    return await openNamed(options, file);
  } catch (error) {
    if (!isCofferError(error)) throw error;
    const isElsewhere = file.backend === 'passphrase' ? passphraseSlots(file.slots).length === 0 : isGone(error);
    if (!isElsewhere || file.key !== (pinned ?? file.key)) return error;
    const found = await openByKeyId(options, file.key, { backend: file.backend, provider: file.provider });
    return found instanceof CofferError ? error : found;
  }
}

function isGone(error: CofferError): boolean {
  return isCofferError(error, 'KEY_NOT_FOUND', 'KEY_ABSENT');
}

/**
 * Unlocks with the key known here instead of the record's own, which isn't available or must not be
 * used. Throws `error` if no other key is available either.
 */
async function openInstead(
  options: KeyOptions,
  record: FoundFile,
  pinned: string | undefined,
  error: CofferError,
): Promise<Unlocked> {
  const { file } = record;
  if (pinned === undefined && file && isCofferError(error, 'KEY_NOT_FOUND')) {
    const named = [file.key, file.retiring].filter((keyId) => keyId !== undefined);
    const other = options.isSealedWith(named) === false ? await openKnown(options, record, pinned) : error;
    if (other instanceof CofferError) throw error;
    const strange = changedRecord(options.directory, `no file here is sealed with its key, ${file.key}`);
    return distrusted(options, other, record, { error: strange, maySeal: false });
  }
  if (pinned === undefined || pinned === file?.key) throw error;
  // The key was rotated on another machine, and the new key has not been brought here yet.
  if (file && error.code !== 'UNAUTHENTIC' && (await isCertified(options, file, pinned))) throw error;
  const found = await openByKeyId(options, pinned, record.fields);
  if (found instanceof CofferError) throw error;
  const what = `it names key ${file?.key}, and this directory is known with key ${pinned}`;
  const why = error.code === 'UNAUTHENTIC' ? error : changedRecord(options.directory, what);
  return distrusted(options, found, record, { error: why, maySeal: true });
}

/** Gets the key known here, else one that the sealed files name. */
async function openKnown(
  options: KeyOptions,
  { fields }: FoundFile,
  pinned: string | undefined,
): Promise<FoundKey | CofferError> {
  const keyIds = pinned === undefined ? (options.sealedKeyIds() ?? []) : [pinned];
  let refusal: CofferError | undefined;
  for (const keyId of keyIds) {
    const found = await openByKeyId(options, keyId, fields);
    if (!(found instanceof CofferError)) return found;
    refusal ??= found;
  }
  return refusal ?? refused({ outcome: 'NOT_FOUND', detail: 'none of the files names a key' });
}

async function genuine(
  { directory, known }: KeyOptions,
  file: VaultFile,
  { retiring, ...found }: FoundKey,
  counter: number | undefined,
  pinned: string | undefined,
): Promise<Unlocked> {
  // Pin only an authenticated key: once pinned, a record without a MAC is no longer trusted.
  if (counter !== undefined && pinned !== found.key.id) await known.note(directory, { key: found.key.id });
  return { ...found, retiring, how: 'opened', named: namedIn(file), counter };
}

/**
 * Unlocks with distrust; gets another key that files name too, if it is available, so that they can
 * be read.
 */
async function distrusted(
  options: KeyOptions,
  found: FoundKey,
  { file, text }: FoundFile,
  { error, maySeal }: Omit<Distrust, 'text'>,
): Promise<Unlocked> {
  const retiring = await otherKey(options, found);
  return { ...found, retiring, how: 'opened', named: namedIn(file), distrust: { error, maySeal, text } };
}

async function otherKey(options: KeyOptions, { key, retiring, backend }: FoundKey): Promise<VaultKey | undefined> {
  const others = (options.sealedKeyIds() ?? []).filter((keyId) => keyId !== key.id);
  if (retiring && others.includes(retiring.id)) return retiring;
  for (const keyId of others) {
    const found = await openByKeyId(options, keyId, { backend });
    if (!(found instanceof CofferError)) return found.key;
  }
  return undefined;
}

function namedIn(file: VaultFile | undefined): NamedKeys {
  return { key: file?.key, retiring: file?.retiring };
}

/** Says that vault.json is missing, and why a key that sealed files name is not available. */
function missing(path: string, cause: CofferError): CofferError {
  const message = `${path} is missing and sealed files are there; restore it from a backup, or bring back the key: ${cause.message}`;
  return new CofferError(cause.code, message, { cause });
}
