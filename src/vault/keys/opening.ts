import { VaultKey } from '../../envelope/key.ts';
import { CofferError, isCofferError } from '../../errors.ts';
import { chooseHome, lookUp } from './key-home.ts';
import type { KeyOptions, Unlocked } from './options.ts';
import { changedRecord } from './record/judge.ts';
import type { KeySlot, PassphraseSlot, VaultFile } from './record/shape.ts';

/** Maximum number of attempts at a passphrase. */
const TRIES = 3;

/** The keys that a record names, before it has been judged. */
export type FoundKey = Pick<Unlocked, 'key' | 'retiring' | 'backend' | 'provider' | 'slot'>;

/**
 * Gets the keys that a record names from where it says they are stored. Throws `KEY_*`,
 * `PASSPHRASE_WRONG`, and `UNAUTHENTIC` if the slots with its key are missing.
 */
export async function openNamed(options: KeyOptions, file: VaultFile): Promise<FoundKey> {
  const { backend, provider } = file;
  let refusal: CofferError | undefined;
  if (backend !== 'passphrase' && options.choice !== 'passphrase') {
    const found = await lookUp(options, file.key, backend);
    if (found instanceof VaultKey) {
      return { key: found, retiring: await lookUpRetiring(options, file), backend, provider };
    }
    refusal = found;
  }
  const keys = await openSlots(options, file);
  if (keys) return { ...keys, backend: 'passphrase', provider: 'passphrase' };
  const hasSlot = passphraseSlots(file.slots).length > 0;
  if (backend === 'passphrase' && !hasSlot) {
    // coffer never removes the last slot of a key that is in no keychain.
    throw changedRecord(options.directory, 'no passphrase opens it any more', 'restore it from a backup');
  }
  throw refusal ?? new CofferError('KEY_ABSENT', withoutPassphrase(hasSlot));
}

/**
 * Gets the key with that id without relying on vault.json: from any keyring that has it, else from
 * a slot in `fields`. Returns the error if it isn't available.
 */
export async function openByKeyId(
  options: KeyOptions,
  keyId: string,
  fields: Partial<VaultFile>,
): Promise<FoundKey | CofferError> {
  const { backend, provider } = fields;
  let found = await lookUp(options, keyId, backend);
  if (isCofferError(found, 'KEY_NOT_FOUND', 'KEY_ABSENT') && backend !== undefined) {
    const elsewhere = await lookUp(options, keyId);
    if (elsewhere instanceof VaultKey) found = elsewhere;
  }
  if (found instanceof VaultKey) return { key: found, ...(await homeOf(options, backend, provider)) };
  const slots = [...(fields.slots ?? []), ...(fields.retiringSlots ?? [])];
  if (passphraseSlots(slots).length === 0) return found;
  try {
    const file = { key: keyId, slots, retiring: undefined, retiringSlots: undefined };
    const opened = await openSlots(options, file);
    return opened ? { ...opened, backend: 'passphrase', provider: 'passphrase' } : found;
  } catch (error) {
    if (!isCofferError(error)) throw error;
    return error;
  }
}

async function homeOf(
  options: KeyOptions,
  backend: VaultFile['backend'] | undefined,
  provider: string = '',
): Promise<Pick<FoundKey, 'backend' | 'provider'>> {
  if (backend !== undefined && backend !== 'passphrase') return { backend, provider };
  const chosen = await chooseHome(options);
  if ('none' in chosen) return { backend: 'memory', provider };
  return { backend: chosen.keyring.backend, provider: await chosen.keyring.provider() };
}

/**
 * Undefined if the retiring key is gone: files that still need it are listed as needing another
 * key.
 */
async function lookUpRetiring(options: KeyOptions, { retiring, backend }: VaultFile): Promise<VaultKey | undefined> {
  const found = retiring === undefined ? undefined : await lookUp(options, retiring, backend);
  return found instanceof VaultKey ? found : undefined;
}

/** Returns the slots that a passphrase may open. */
export function passphraseSlots(slots: readonly KeySlot[] = []): PassphraseSlot[] {
  return slots.filter((slot) => slot.kind === 'passphrase');
}

function withoutPassphrase(hasSlot: boolean): string {
  if (!hasSlot) return 'this vault has no passphrase; its key is in a keychain';
  return 'this vault is protected by a passphrase, and none was given; use a terminal or COFFER_PASSPHRASE_FILE';
}

type Slotted = Pick<VaultFile, 'key' | 'retiring' | 'slots' | 'retiringSlots'>;

/** Opens a slot with a passphrase from a file, or with one that the user is asked for. */
async function openSlots(
  options: KeyOptions,
  file: Slotted,
): Promise<Pick<FoundKey, 'key' | 'retiring' | 'slot'> | undefined> {
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

/**
 * Reads a passphrase file. Most vaults have their key in a keychain, so the code is loaded on use.
 */
export async function passphraseIn(path: string): Promise<string> {
  const { readPassphraseFile } = await import('../../keyring/passphrase.ts');
  return readPassphraseFile(path);
}

/** Opens both keys with the passphrase: a rotation wraps both for the same one. */
async function openWith(file: Slotted, passphrase: string): Promise<Pick<FoundKey, 'key' | 'retiring' | 'slot'>> {
  const { tryPassphrase, trySlots } = await import('./slots/slots.ts');
  const opened = await trySlots(file.key, file.slots, passphrase);
  if (!opened) throw new CofferError('PASSPHRASE_WRONG', 'wrong passphrase');
  const { retiring } = file;
  const old = retiring === undefined ? undefined : await tryPassphrase(retiring, file.retiringSlots, passphrase);
  return { ...opened, retiring: old };
}
