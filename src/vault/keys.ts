import { VaultKey } from '../envelope/key.ts';
import { CofferError, isCofferError } from '../errors.ts';
import type { Answer, Backend } from '../keyring/keyring.ts';
import { chooseHome, dropKey, type HomeOptions, keepKey, lookUp, refused } from './key-home.ts';
import {
  createVaultFile,
  type KeySlot,
  type PassphraseSlot,
  readVaultFile,
  type VaultFile,
  vaultFilePath,
} from './vault-file.ts';

/** How many times a person may try a passphrase. */
const TRIES = 3;

/** Asked where a passphrase opens or begins the vault; undefined means that nobody answers. `attempt` begins at 1. */
export type AskPassphrase = (ask: { purpose: 'open' | 'new'; attempt: number }) => Promise<string | undefined>;

/** What a vault needs to know to come by its key. */
export interface KeyOptions extends HomeOptions {
  readonly directory: string;
  readonly askPassphrase?: AskPassphrase | undefined;
  /** Asked once, where no keychain answers and there is no vault yet. */
  readonly askProtection?: (() => Promise<'passphrase' | 'memory'>) | undefined;
  /** The key ids that the headers of the sealed files name; undefined where there is no sealed file. */
  readonly sealedKeyIds: () => readonly string[] | undefined;
  /** A fresh key; the same one every time, so that a first use tried again after a time-out leaves one item in the keychain. */
  readonly newKey: () => VaultKey;
  /** Makes the vault's directory, 0700. */
  readonly makeDirectory: () => void;
}

/** The vault key, and where it is kept. */
export interface Unlocked {
  readonly key: VaultKey;
  /** The key that an unfinished rotation is replacing, where it can still be had: some files need it. */
  readonly retiring?: VaultKey | undefined;
  readonly backend: Backend;
  readonly provider: string;
  /** `created`: made just now; `rebuilt`: vault.json was lost and has been written anew, without its key slots. */
  readonly how: 'opened' | 'created' | 'rebuilt';
}

/**
 * Comes by the vault key: opens the one there is, or makes one at first use.
 * Never makes a second key while sealed files exist. Throws `KEY_*`, `PASSPHRASE_WRONG`, `NOT_SAVED`.
 */
export async function unlockVault(options: KeyOptions): Promise<Unlocked> {
  if (options.choice === 'memory' && !options.keyring) {
    throw new CofferError('KEY_ABSENT', 'this chat is kept in memory only, as COFFER_KEYCHAIN=memory asks for');
  }
  const file = readVaultFile(options.directory);
  if (file) return openExisting(options, file);
  const keyIds = options.sealedKeyIds();
  return keyIds ? rebuild(options, keyIds) : firstUse(options);
}

/** Takes a key out of the keychain that was made for this vault, where another process was first. Throws `KEY_*`. */
export async function dropLoser(options: HomeOptions, keyId: string): Promise<void> {
  const chosen = await chooseHome(options);
  if ('keyring' in chosen) await dropKey(chosen.keyring, keyId);
}

async function openExisting(options: KeyOptions, file: VaultFile): Promise<Unlocked> {
  const opened = { backend: file.backend, provider: file.provider, how: 'opened' } as const;
  let refusal: CofferError | undefined;
  if (file.backend !== 'passphrase' && options.choice !== 'passphrase') {
    const found = await lookUp(options, file.key, file.backend);
    if (found instanceof VaultKey) return { key: found, retiring: await lookUpRetiring(options, file), ...opened };
    refusal = found;
  }
  const keys = await openSlots(options, file);
  if (keys) return { ...keys, ...opened, backend: 'passphrase', provider: 'passphrase' };
  throw refusal ?? new CofferError('KEY_ABSENT', withoutPassphrase(passphraseSlots(file.slots).length > 0));
}

/** What can't be had any more is not needed by anybody who can have the key: its files are listed as needing another key. */
async function lookUpRetiring(options: KeyOptions, { retiring, backend }: VaultFile): Promise<VaultKey | undefined> {
  const found = retiring === undefined ? undefined : await lookUp(options, retiring, backend);
  return found instanceof VaultKey ? found : undefined;
}

function passphraseSlots(slots: readonly KeySlot[] = []): PassphraseSlot[] {
  return slots.filter((slot) => slot.kind === 'passphrase');
}

function withoutPassphrase(hasSlot: boolean): string {
  if (!hasSlot) return 'this vault has no passphrase; its key is in a keychain';
  return 'this vault is protected by a passphrase and nobody is there to give it; use a terminal or COFFER_PASSPHRASE_FILE';
}

/** Opens a slot with a passphrase from a file, or with one that somebody is asked for. */
async function openSlots(
  options: KeyOptions,
  file: VaultFile,
): Promise<Pick<Unlocked, 'key' | 'retiring'> | undefined> {
  if (passphraseSlots(file.slots).length === 0) return undefined;
  const path = options.env['COFFER_PASSPHRASE_FILE'];
  if (path) return openWith(file, await passphraseIn(path));
  for (let attempt = 1; options.askPassphrase; attempt++) {
    const passphrase = await options.askPassphrase({ purpose: 'open', attempt });
    if (passphrase === undefined) return undefined;
    try {
      return await openWith(file, passphrase);
    } catch (error) {
      if (!isCofferError(error, 'PASSPHRASE_WRONG') || attempt === TRIES) throw error;
    }
  }
  return undefined;
}

/** Most vaults have their key in a keychain: what passphrases need is loaded where one is. */
async function passphraseIn(path: string): Promise<string> {
  const { readPassphraseFile } = await import('../keyring/passphrase.ts');
  return readPassphraseFile(path);
}

/** A rotation wraps both keys for the same passphrase. */
async function openWith(file: VaultFile, passphrase: string): Promise<Pick<Unlocked, 'key' | 'retiring'>> {
  const { tryPassphrase } = await import('./slots.ts');
  const key = await tryPassphrase(file.key, file.slots, passphrase);
  if (!key) throw new CofferError('PASSPHRASE_WRONG', 'wrong passphrase');
  const { retiring } = file;
  const old = retiring === undefined ? undefined : await tryPassphrase(retiring, file.retiringSlots, passphrase);
  return { key, retiring: old };
}

/** vault.json is gone, sealed files are not: their headers name the key, the keychain may have it. */
async function rebuild(options: KeyOptions, keyIds: readonly string[]): Promise<Unlocked> {
  const refusals: CofferError[] = [];
  const chosen = await chooseHome(options);
  if ('probed' in chosen && chosen.probed?.outcome === 'TIMEOUT')
    throw missing(options, refused(chosen.probed, keyIds[0]));
  for (const keyId of keyIds) {
    const found = await lookUp(options, keyId);
    if (found instanceof VaultKey && 'keyring' in chosen) {
      const { backend } = chosen.keyring;
      const provider = await chosen.keyring.provider();
      await createVaultFile(options.directory, { format: 1, key: keyId, backend, provider, slots: [] });
      return { key: found, backend, provider, how: 'rebuilt' };
    }
    if (found instanceof CofferError) refusals.push(found);
    else if ('none' in chosen) refusals.push(refused(chosen.none, keyId));
  }
  const cause = refusals[0] ?? new CofferError('KEY_NOT_FOUND', 'none of the files names a key');
  throw missing(options, cause);
}

/** Says that vault.json is missing, and why the key can't be had that sealed files name. */
function missing({ directory }: KeyOptions, cause: CofferError): CofferError {
  const what = `${vaultFilePath(directory)} is missing and sealed files are there`;
  const message = `${what}; restore it from a backup, or bring back the key: ${cause.message}`;
  return new CofferError(cause.code, message, { cause });
}

async function firstUse(options: KeyOptions): Promise<Unlocked> {
  const chosen = await chooseHome(options);
  if ('none' in chosen) return firstUseWithout(options, chosen.none);
  const { keyring } = chosen;
  const state = chosen.probed ?? (await keyring.probe());
  if (state.outcome !== 'READY') throw refused(state);
  if (keyring.backend === 'fd') {
    const given = await keyring.get('');
    if (given.outcome !== 'READY') throw refused(given);
    const key = VaultKey.from(given.secret);
    given.secret.fill(0);
    return settle(options, key, { backend: 'fd', provider: await keyring.provider(), slots: [] });
  }
  const key = options.newKey();
  await keepKey(keyring, key);
  return settle(options, key, { backend: keyring.backend, provider: await keyring.provider(), slots: [] });
}

async function firstUseWithout(options: KeyOptions, none: Answer): Promise<Unlocked> {
  const path = options.env['COFFER_PASSPHRASE_FILE'];
  const wanted =
    path !== undefined || options.choice === 'passphrase' || (await options.askProtection?.()) === 'passphrase';
  if (!wanted) throw refused(none);
  const passphrase = path ? await passphraseIn(path) : await options.askPassphrase?.({ purpose: 'new', attempt: 1 });
  if (passphrase === undefined) throw refused({ outcome: 'ABSENT', detail: 'no passphrase was given' });
  const key = options.newKey();
  const { wrapForPassphrase } = await import('./slots.ts');
  const slots = [await wrapForPassphrase(key, passphrase)];
  return settle(options, key, { backend: 'passphrase', provider: 'passphrase', slots });
}

/** Puts the new key on record. Where another process was first, its vault is the one that counts. */
async function settle(
  options: KeyOptions,
  key: VaultKey,
  kept: Pick<VaultFile, 'backend' | 'provider' | 'slots'>,
): Promise<Unlocked> {
  options.makeDirectory();
  const won = await createVaultFile(options.directory, { format: 1, key: key.id, ...kept });
  if (won) return { key, backend: kept.backend, provider: kept.provider, how: 'created' };
  const winner = readVaultFile(options.directory);
  if (!winner)
    throw new CofferError('VAULT_BUSY', `${vaultFilePath(options.directory)} came and went`, { advice: 'try again' });
  return openExisting(options, winner);
}
