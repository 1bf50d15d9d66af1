import { VaultKey } from '../../envelope/key.ts';
import { CofferError, type ErrorCode } from '../../errors.ts';
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
} from '../../keyring/keyring.ts';
import type { Waits } from '../../keyring/waits.ts';

/** How to choose a keyring. */
export interface HomeOptions {
  /** A keyring of the caller's own, used instead of `choice`. */
  readonly keyring?: Keyring | undefined;
  readonly choice: KeychainChoice;
  readonly env: NodeJS.ProcessEnv;
  /** Watches how long the keyring takes to answer. */
  readonly waits?: Waits | undefined;
}

/**
 * Chooses the keyring to store a new key in: for an existing vault, the one it has on record.
 * `none` says why no keyring is available. Throws `USAGE`.
 */
export async function chooseHome(
  options: HomeOptions,
  recorded?: Backend,
): Promise<{ keyring: Keyring; probed?: Answer } | { none: Answer }> {
  const keyring = ownKeyring(options);
  return keyring ? { keyring } : chooseKeyring(choiceOf(options, recorded));
}

/** Returns the key with that id, or the error why it isn't available. */
export async function lookUp(options: HomeOptions, keyId: string, recorded?: Backend): Promise<VaultKey | CofferError> {
  const found = await (ownKeyring(options)?.get(keyId) ?? lookUpKey(keyId, choiceOf(options, recorded)));
  if (found.outcome !== 'READY') return refused(found, keyId);
  return toKey(found, keyId) ?? refused({ outcome: 'MISMATCH', detail: 'another key is stored under its name' }, keyId);
}

/** Returns the key that was looked up; undefined if its id is another one. Wipes the secret. */
function toKey(found: LookUp & { outcome: 'READY' }, keyId: string): VaultKey | undefined {
  const key = VaultKey.from(found.secret);
  found.secret.fill(0);
  return key.id === keyId ? key : undefined;
}

/**
 * Stores a key and reads it back: some keychains report a write that they did not make. Throws
 * `KEY_*`.
 */
export async function keepKey(keyring: Keyring, key: VaultKey): Promise<void> {
  const secret = key.bytes();
  const answer = await keyring.set(key.id, secret);
  secret.fill(0);
  if (answer.outcome !== 'READY') throw refused(answer, key.id);
  const back = await keyring.get(key.id);
  if (back.outcome !== 'READY') throw refused(back, key.id);
  if (!toKey(back, key.id))
    throw refused({ outcome: 'MISMATCH', detail: 'it returned another key than was stored' }, key.id);
}

/** Removes a key that no file is sealed with. A missing key is not an error. Throws `KEY_*`. */
export async function dropKey(keyring: Keyring, keyId: string): Promise<void> {
  const answer = await keyring.delete(keyId);
  if (answer.outcome !== 'READY' && answer.outcome !== 'NOT_FOUND') throw refused(answer, keyId);
}

function ownKeyring({ keyring, waits }: HomeOptions): Keyring | undefined {
  return keyring && (waits?.around(keyring) ?? keyring);
}

function choiceOf({ choice, env, waits }: HomeOptions, recorded?: Backend): ChoiceOptions {
  return recorded ? { choice, env, waits, recorded } : { choice, env, waits };
}

const refusals: Record<Exclude<Outcome, 'READY'>, { code: ErrorCode; advice: string }> = {
  NOT_FOUND: { code: 'KEY_NOT_FOUND', advice: 'restore the keychain that had it, or run coffer recover' },
  LOCKED: { code: 'KEY_LOCKED', advice: 'unlock it and try again' },
  DECLINED: { code: 'KEY_DECLINED', advice: 'allow the access and try again' },
  ABSENT: { code: 'KEY_ABSENT', advice: 'start it, or use a passphrase' },
  TIMEOUT: { code: 'KEY_TIMEOUT', advice: 'check whether it is waiting for you, and try again' },
  MISMATCH: { code: 'KEY_MISMATCH', advice: 'restore the keychain item from a backup' },
};

/** Turns a keyring's answer into an error: what failed, why, and what to do. */
export function refused(answer: Answer, keyId?: string): CofferError {
  const { code, advice } = refusals[answer.outcome as Exclude<Outcome, 'READY'>];
  const what = keyId ? `cannot get key ${keyId}` : 'no key can be stored';
  return new CofferError(code, what, { reason: answer.detail, advice });
}
