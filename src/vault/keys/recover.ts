import type { VaultKey } from '../../envelope/key.ts';
import { CofferError, isCofferError } from '../../errors.ts';
import type { Answer, Keyring } from '../../keyring/keyring.ts';
import { readPassphraseFile } from '../../keyring/passphrase.ts';
import { RecoveryCode } from '../../keyring/recovery-code.ts';
import type { VaultDirectory } from '../directory.ts';
import type { Seen } from '../marks/seen.ts';
import { chooseHome, keepKey, lookUp, refused } from './key-home.ts';
import type { AskPassphrase, KeyOptions, Unlocked } from './options.ts';
import { requireOurs } from './owner.ts';
import { judge } from './record/judge.ts';
import type { PassphraseSlot, VaultFile } from './record/shape.ts';
import { readVaultFile } from './record/vault-file.ts';
import { changeVaultFile, requireVaultFile } from './rotation/change.ts';
import { requireFreeSlot } from './slots/key-slots.ts';
import { tryPassphrase, tryRecoveryCode, wrapForPassphrase } from './slots/slots.ts';

/** Maximum number of attempts. */
const TRIES = 3;

/**
 * Asks for a recovery code or a passphrase, whichever the user has; undefined if there is no
 * answer. `problem` says what was wrong with the previous one.
 */
export type AskSecret = (problem: CofferError | undefined) => Promise<string | undefined>;

/** Prompts of a recovery. */
export interface RecoverAsks {
  readonly askSecret: AskSecret;
  /** Asks for a new passphrase if no keychain is available. */
  readonly askPassphrase?: AskPassphrase | undefined;
}

type RecoverOptions = KeyOptions & RecoverAsks;

/** The result of a recovery. */
export interface Recovered {
  /** @internal */
  readonly unlocked: Unlocked;
  /**
   * `at hand`: the vault already opens here, and nothing was changed. Otherwise the kind of secret
   * that opened it.
   */
  readonly by: 'at hand' | 'recovery code' | 'passphrase';
  /** Whether a slot was added for a new passphrase. */
  readonly isPassphraseNew: boolean;
  /**
   * The key of an unfinished rotation that could not be recovered: files still sealed with it need
   * the old machine.
   */
  readonly missing?: string | undefined;
}

/**
 * The result of a recovery; `unlocked` is undefined if the keys are already available, and are
 * looked up as usual.
 */
type Recovering = Omit<Recovered, 'unlocked'> & { readonly unlocked: Unlocked | undefined };

/** The keys that a secret opened. */
interface OpenedKeys {
  readonly key: VaultKey;
  readonly retiring?: VaultKey | undefined;
  readonly by: 'recovery code' | 'passphrase';
}

/** New content of vault.json: where the keys are stored from now on. */
interface NewHome extends Pick<VaultFile, 'backend' | 'provider'> {
  readonly slot?: PassphraseSlot | undefined;
  readonly retiringSlot?: PassphraseSlot | undefined;
}

/**
 * Stores the key of a vault that was copied here in this machine's keychain, with a recovery code
 * or a passphrase, and records that in vault.json. If no keychain is available, the vault opens
 * with a passphrase from then on. The key is stored and read back before anything is recorded.
 * Durable when it resolves. Throws `RECOVERY_CODE_WRONG`, `PASSPHRASE_WRONG`, `KEY_*`, `FAILED` if
 * there is no vault, `VAULT_BUSY`, `NOT_SAVED`, and `UNAUTHENTIC` if vault.json is not as coffer
 * wrote it: the key is stored then, so that sessions can be read, and vault.json is left alone.
 */
export async function recoverKey(place: VaultDirectory, seen: Seen, options: RecoverOptions): Promise<Recovering> {
  if (options.choice === 'memory' && !options.keyring)
    throw new CofferError('KEY_ABSENT', 'COFFER_KEYCHAIN=memory stores no key', {
      advice: 'unset it to recover the vault',
    });
  const { known } = options;
  const pinned = known.find(place.root);
  requireOurs(place.root, pinned);
  const file = requireCopy(place);
  if (await areAvailable(options, file)) return { unlocked: undefined, by: 'at hand', isPassphraseNew: false };
  requireSlots(file);
  const chosen = await chooseHome(options);
  if ('keyring' in chosen) await requireReady(chosen.keyring, chosen.probed);
  const keys = await openWithSecret(file, options);
  const { key, retiring, by } = keys;
  const verdict = await judge(options, file, keys, pinned.key);
  if (verdict.is === 'other' || (verdict.is === 'changed' && !('keyring' in chosen))) throw verdict.error;
  const kept = 'keyring' in chosen ? await keepIn(chosen.keyring, keys) : await keepUnder(keys, options);
  if (verdict.is === 'changed') throw verdict.error;
  const isNew = kept.backend !== file.backend || kept.provider !== file.provider || kept.slot !== undefined;
  // A copy that can't be written, such as a mounted backup, still opens if it already names this
  // keychain.
  const unlocked: Unlocked = {
    ...{ key, retiring, backend: kept.backend, provider: kept.provider, how: 'opened' },
    named: { key: file.key, retiring: file.retiring },
    counter: file.counter,
  };
  if (!isNew) requireSame(requireVaultFile(place), file);
  const { counter } = isNew
    ? await changeVaultFile(place, seen, unlocked, (now) => record(now, file, kept))
    : { counter: file.counter ?? (await options.takeOver(file, key)) };
  if (counter !== undefined && pinned.key !== key.id) await known.note(place.root, { key: key.id });
  return {
    unlocked: { ...unlocked, counter },
    by: isNew || kept.backend !== 'passphrase' ? by : 'at hand',
    isPassphraseNew: kept.slot !== undefined,
    missing: retiring ? undefined : file.retiring,
  };
}

function requireCopy(place: VaultDirectory): VaultFile {
  const file = readVaultFile(place.root);
  if (file || place.sealedPaths().length === 0) return requireVaultFile(place);
  const what = `${place.root} has sealed files but no vault.json, which holds the recovery codes and passphrases`;
  throw new CofferError('KEY_NOT_FOUND', what, { advice: 'copy it here too' });
}

/** Tells whether all keys are available without a secret. */
async function areAvailable(options: RecoverOptions, file: VaultFile): Promise<boolean> {
  const { key: keyId, retiring: retiringId, backend } = file;
  if (backend === 'passphrase' || options.choice === 'passphrase') return false;
  const key = await lookUp(options, keyId, backend);
  if (isCofferError(key, 'KEY_TIMEOUT')) throw key; // it isn't known yet whether the key is there
  const retiring = retiringId === undefined ? undefined : await lookUp(options, retiringId, backend);
  return !(key instanceof CofferError || retiring instanceof CofferError);
}

function requireSlots({ slots, provider }: VaultFile): void {
  if (slots.length > 0) return;
  const what = 'this vault has no recovery code and no passphrase, and its key is not available';
  throw new CofferError('KEY_NOT_FOUND', what, {
    advice: `only the keychain that it was created with has it (${provider})`,
  });
}

/** Checks that the key can be stored before the user types a code in vain. */
async function requireReady(keyring: Keyring, probed: Answer | undefined): Promise<void> {
  if (keyring.backend === 'fd') {
    const what = "the key that was passed in is not this vault's, and coffer cannot replace it";
    throw new CofferError('KEY_DECLINED', what, { advice: 'start coffer without it' });
  }
  const state = probed ?? (await keyring.probe());
  if (state.outcome !== 'READY') throw refused(state);
}

/** Asks until a secret opens the vault; a passphrase from a file is tried first. */
async function openWithSecret(file: VaultFile, options: RecoverOptions): Promise<OpenedKeys> {
  const path = options.env['COFFER_PASSPHRASE_FILE'];
  let found = path ? await openWith(file, await readPassphraseFile(path)) : undefined;
  for (let attempt = 0; attempt < TRIES; attempt++) {
    if (found && !(found instanceof CofferError)) return found;
    const text = await options.askSecret(found);
    if (text === undefined) break;
    found = await openWith(file, text);
  }
  if (found && !(found instanceof CofferError)) return found;
  throw (
    found ??
    new CofferError('KEY_ABSENT', 'no recovery code and no passphrase was given', { advice: 'nothing is changed' })
  );
}

/**
 * Returns the keys that a secret opens, or what is wrong with it, which doesn't depend on the slot
 * it was meant for. Throws `KEY_MISMATCH`.
 */
async function openWith(file: VaultFile, text: string): Promise<OpenedKeys | CofferError> {
  const code = readCode(text);
  if (code instanceof RecoveryCode) {
    const key = await tryRecoveryCode(file.key, file.slots, code);
    const { retiring, retiringSlots } = file;
    const old = key && retiring !== undefined ? await tryRecoveryCode(retiring, retiringSlots, code) : undefined;
    if (key) return { key, retiring: old, by: 'recovery code' };
  }
  const key = await tryPassphrase(file.key, file.slots, text);
  if (!key) return mistake(file, code, text);
  const { retiring, retiringSlots } = file;
  const old = retiring === undefined ? undefined : await tryPassphrase(retiring, retiringSlots, text);
  return { key, retiring: old, by: 'passphrase' };
}

function readCode(text: string): RecoveryCode | CofferError {
  try {
    return RecoveryCode.read(text);
  } catch (error) {
    if (!isCofferError(error, 'RECOVERY_CODE_WRONG')) throw error;
    return error;
  }
}

/**
 * Returns the error for a text that opens no slot: guesses whether it was meant as a code or as a
 * passphrase.
 */
function mistake({ slots }: VaultFile, code: RecoveryCode | CofferError, text: string): CofferError {
  if (code instanceof RecoveryCode) return new CofferError('RECOVERY_CODE_WRONG', NOT_THIS_VAULTS);
  if (slots.every(({ kind }) => kind === 'recovery')) return code;
  const wrong = new CofferError('PASSPHRASE_WRONG', 'wrong passphrase');
  if (slots.every(({ kind }) => kind === 'passphrase')) return wrong;
  return RecoveryCode.isLike(text) ? code : wrong;
}

/** Stores the keys in a keychain and reads them back. */
async function keepIn(keyring: Keyring, { key, retiring }: OpenedKeys): Promise<NewHome> {
  await keepKey(keyring, key);
  if (retiring) await keepKey(keyring, retiring);
  return { backend: keyring.backend, provider: await keyring.provider() };
}

/** Wraps the keys for a new passphrase, unless they were opened with a passphrase. */
async function keepUnder({ key, retiring, by }: OpenedKeys, options: RecoverOptions): Promise<NewHome> {
  const kept = { backend: 'passphrase', provider: 'passphrase' } as const;
  if (by === 'passphrase') return kept;
  const path = options.env['COFFER_PASSPHRASE_FILE'];
  const passphrase = path
    ? await readPassphraseFile(path)
    : await options.askPassphrase?.({ purpose: 'new', attempt: 1 });
  if (passphrase === undefined) {
    const what = 'no keychain found on this machine, so the vault needs a passphrase, and none was given';
    throw new CofferError('KEY_ABSENT', what, { advice: 'use a terminal or COFFER_PASSPHRASE_FILE' });
  }
  const slot = await wrapForPassphrase(key, passphrase);
  return { ...kept, slot, retiringSlot: retiring && (await wrapForPassphrase(retiring, passphrase)) };
}

function requireSame(now: VaultFile, before: VaultFile): void {
  if (now.key === before.key && now.retiring === before.retiring) return;
  throw new CofferError('VAULT_BUSY', 'the key was rotated in the meantime', { advice: 'try again' });
}

function record(now: VaultFile, before: VaultFile, kept: NewHome): VaultFile {
  requireSame(now, before);
  const { backend, provider, slot, retiringSlot } = kept;
  if (slot) requireFreeSlot(now.slots);
  if (retiringSlot) requireFreeSlot(now.retiringSlots ?? []);
  const slots = slot ? [...now.slots, slot] : now.slots;
  const file = { ...now, backend, provider, slots };
  return retiringSlot ? { ...file, retiringSlots: [...(now.retiringSlots ?? []), retiringSlot] } : file;
}

const NOT_THIS_VAULTS = "the recovery code is not this vault's";
