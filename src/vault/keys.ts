import { VaultKey } from '../envelope/key.ts';
import { CofferError, type ErrorCode, isCofferError } from '../errors.ts';
import {
  type Answer,
  type Backend,
  type ChoiceOptions,
  chooseKeyring,
  type KeychainChoice,
  type Keyring,
  type LookUp,
  lookUpKey,
  type Outcome,
} from '../keyring/keyring.ts';
import { readPassphraseFile } from '../keyring/passphrase.ts';
import { unwrapWithPassphrase, wrapForPassphrase } from './slots.ts';
import { createVaultFile, readVaultFile, type VaultFile, vaultFilePath } from './vault-file.ts';

/** How many times a person may try a passphrase. */
const TRIES = 3;

/** Asked where a passphrase opens or begins the vault; undefined means that nobody answers. `attempt` begins at 1. */
export type AskPassphrase = (ask: { purpose: 'open' | 'new'; attempt: number }) => Promise<string | undefined>;

/** What a vault needs to know to come by its key. */
export interface KeyOptions {
  readonly directory: string;
  /** The caller's own home for the key, instead of `choice`. */
  readonly keyring?: Keyring | undefined;
  readonly choice: KeychainChoice;
  readonly env: NodeJS.ProcessEnv;
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

async function openExisting(options: KeyOptions, file: VaultFile): Promise<Unlocked> {
  const slot = file.slots[0];
  const opened = { backend: file.backend, provider: file.provider, how: 'opened' } as const;
  let refusal: CofferError | undefined;
  if (file.backend !== 'passphrase' && options.choice !== 'passphrase') {
    const found = await lookUp(options, file.key, file.backend);
    if (found instanceof VaultKey) return { key: found, ...opened };
    refusal = found;
  }
  if (slot) {
    const key = await openSlot(options, file, slot);
    if (key) return { key, ...opened, backend: 'passphrase', provider: 'passphrase' };
  }
  throw refusal ?? new CofferError('KEY_ABSENT', withoutPassphrase(slot !== undefined));
}

function withoutPassphrase(hasSlot: boolean): string {
  if (!hasSlot) return 'this vault has no passphrase; its key is in a keychain';
  return 'this vault is protected by a passphrase and nobody is there to give it; use a terminal or COFFER_PASSPHRASE_FILE';
}

async function openSlot(
  options: KeyOptions,
  file: VaultFile,
  slot: VaultFile['slots'][number],
): Promise<VaultKey | undefined> {
  const path = options.env['COFFER_PASSPHRASE_FILE'];
  if (path) return unwrapWithPassphrase(file.key, slot, await readPassphraseFile(path));
  for (let attempt = 1; options.askPassphrase; attempt++) {
    const passphrase = await options.askPassphrase({ purpose: 'open', attempt });
    if (passphrase === undefined) return undefined;
    try {
      return await unwrapWithPassphrase(file.key, slot, passphrase);
    } catch (error) {
      if (!isCofferError(error, 'PASSPHRASE_WRONG') || attempt === TRIES) throw error;
    }
  }
  return undefined;
}

/** The key with that id, or why it can't be had. */
async function lookUp(options: KeyOptions, keyId: string, recorded?: Backend): Promise<VaultKey | CofferError> {
  const found = await (options.keyring?.get(keyId) ?? lookUpKey(keyId, choiceOf(options, recorded)));
  if (found.outcome !== 'READY') return refused(found, keyId);
  return toKey(found, keyId) ?? refused({ outcome: 'MISMATCH', detail: 'another key is kept under its name' }, keyId);
}

function toKey(found: LookUp & { outcome: 'READY' }, keyId: string): VaultKey | undefined {
  const key = VaultKey.from(found.secret);
  found.secret.fill(0);
  return key.id === keyId ? key : undefined;
}

/** vault.json is gone, sealed files are not: their headers name the key, the keychain may have it. */
async function rebuild(options: KeyOptions, keyIds: readonly string[]): Promise<Unlocked> {
  const refusals: CofferError[] = [];
  const chosen = await choose(options);
  for (const keyId of keyIds) {
    const found = await lookUp(options, keyId);
    if (found instanceof VaultKey && 'keyring' in chosen) {
      const { backend } = chosen.keyring;
      const provider = await chosen.keyring.provider();
      await createVaultFile(options.directory, { format: 1, key: keyId, backend, provider, slots: [] });
      return { key: found, backend, provider, how: 'rebuilt' };
    }
    if (found instanceof CofferError) refusals.push(found);
  }
  const cause = refusals[0] ?? new CofferError('KEY_NOT_FOUND', 'none of the files names a key');
  const path = vaultFilePath(options.directory);
  const message = `${path} is missing and sealed files are there; restore it from a backup, or bring back the key: ${cause.message}`;
  throw new CofferError(cause.code, message, { cause });
}

async function firstUse(options: KeyOptions): Promise<Unlocked> {
  const chosen = await choose(options);
  if ('none' in chosen) return firstUseWithout(options, chosen.none);
  const { keyring } = chosen;
  const state = await keyring.probe();
  if (state.outcome !== 'READY') throw refused(state);
  if (keyring.backend === 'fd') {
    const given = await keyring.get('');
    if (given.outcome !== 'READY') throw refused(given);
    const key = VaultKey.from(given.secret);
    given.secret.fill(0);
    return settle(options, key, { backend: 'fd', provider: await keyring.provider(), slots: [] });
  }
  const key = options.newKey();
  await keep(keyring, key);
  const unlocked = await settle(options, key, {
    backend: keyring.backend,
    provider: await keyring.provider(),
    slots: [],
  });
  if (unlocked.key.id !== key.id) await dropLoser(keyring, key.id);
  return unlocked;
}

/** Sets the key and reads it back: some keychains report a write that they did not make. */
async function keep(keyring: Keyring, key: VaultKey): Promise<void> {
  const secret = key.bytes();
  const answer = await keyring.set(key.id, secret);
  secret.fill(0);
  if (answer.outcome !== 'READY') throw refused(answer, key.id);
  const back = await keyring.get(key.id);
  if (back.outcome !== 'READY') throw refused(back, key.id);
  if (!toKey(back, key.id))
    throw refused({ outcome: 'MISMATCH', detail: 'it gave back another key than was set' }, key.id);
}

async function dropLoser(keyring: Keyring, keyId: string): Promise<void> {
  const answer = await keyring.delete(keyId);
  if (answer.outcome !== 'READY' && answer.outcome !== 'NOT_FOUND') throw refused(answer, keyId);
}

async function firstUseWithout(options: KeyOptions, none: Answer): Promise<Unlocked> {
  const path = options.env['COFFER_PASSPHRASE_FILE'];
  const wanted =
    path !== undefined || options.choice === 'passphrase' || (await options.askProtection?.()) === 'passphrase';
  if (!wanted) throw refused(none);
  const passphrase = path
    ? await readPassphraseFile(path)
    : await options.askPassphrase?.({ purpose: 'new', attempt: 1 });
  if (passphrase === undefined) throw refused({ outcome: 'ABSENT', detail: 'no passphrase was given' });
  const key = options.newKey();
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
  if (!winner) throw new CofferError('VAULT_BUSY', `${vaultFilePath(options.directory)} came and went; try again`);
  return openExisting(options, winner);
}

async function choose(options: KeyOptions): Promise<{ keyring: Keyring } | { none: Answer }> {
  return options.keyring ? { keyring: options.keyring } : chooseKeyring(choiceOf(options));
}

function choiceOf({ choice, env }: KeyOptions, recorded?: Backend): ChoiceOptions {
  return recorded ? { choice, env, recorded } : { choice, env };
}

const refusals: Record<Exclude<Outcome, 'READY'>, { code: ErrorCode; advice: string }> = {
  NOT_FOUND: { code: 'KEY_NOT_FOUND', advice: 'restore the keychain that had it, or recover from a copy' },
  LOCKED: { code: 'KEY_LOCKED', advice: 'unlock it and try again' },
  DECLINED: { code: 'KEY_DECLINED', advice: 'allow the access and try again' },
  ABSENT: { code: 'KEY_ABSENT', advice: 'start it, or use a passphrase' },
  TIMEOUT: { code: 'KEY_TIMEOUT', advice: 'see whether it waits for an answer, and try again' },
  MISMATCH: { code: 'KEY_MISMATCH', advice: 'restore the keychain item from a backup' },
};

function refused(answer: Answer, keyId?: string): CofferError {
  const { code, advice } = refusals[answer.outcome as Exclude<Outcome, 'READY'>];
  const what = keyId ? `key ${keyId} can't be had` : 'no key can be kept';
  return new CofferError(code, `${what}: ${answer.detail}; ${advice}`);
}
