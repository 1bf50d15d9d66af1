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

/** Where to look for a keyring. */
export interface HomeOptions {
  /** The caller's own home for the key, instead of `choice`. */
  readonly keyring?: Keyring | undefined;
  readonly choice: KeychainChoice;
  readonly env: NodeJS.ProcessEnv;
  /** Watches how long the keyring takes to answer. */
  readonly waits?: Waits | undefined;
}

/** Chooses the keyring that a new key goes to, of a vault on record the one it has; `none` says why there is none. Throws `USAGE`. */
export async function chooseHome(
  options: HomeOptions,
  recorded?: Backend,
): Promise<{ keyring: Keyring; probed?: Answer } | { none: Answer }> {
  const keyring = ownKeyring(options);
  return keyring ? { keyring } : chooseKeyring(choiceOf(options, recorded));
}

/** The key with that id, or why it can't be had. */
export async function lookUp(options: HomeOptions, keyId: string, recorded?: Backend): Promise<VaultKey | CofferError> {
  const found = await (ownKeyring(options)?.get(keyId) ?? lookUpKey(keyId, choiceOf(options, recorded)));
  if (found.outcome !== 'READY') return refused(found, keyId);
  return toKey(found, keyId) ?? refused({ outcome: 'MISMATCH', detail: 'another key is kept under its name' }, keyId);
}

/** The key that was looked up; undefined where it is not the one with that id. Wipes the secret. */
function toKey(found: LookUp & { outcome: 'READY' }, keyId: string): VaultKey | undefined {
  const key = VaultKey.from(found.secret);
  found.secret.fill(0);
  return key.id === keyId ? key : undefined;
}

/** Sets the key and reads it back: some keychains report a write that they did not make. Throws `KEY_*`. */
export async function keepKey(keyring: Keyring, key: VaultKey): Promise<void> {
  const secret = key.bytes();
  const answer = await keyring.set(key.id, secret);
  secret.fill(0);
  if (answer.outcome !== 'READY') throw refused(answer, key.id);
  const back = await keyring.get(key.id);
  if (back.outcome !== 'READY') throw refused(back, key.id);
  if (!toKey(back, key.id))
    throw refused({ outcome: 'MISMATCH', detail: 'it gave back another key than was set' }, key.id);
}

/** Removes a key that nothing is sealed with. One that is gone already is fine. Throws `KEY_*`. */
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
  NOT_FOUND: { code: 'KEY_NOT_FOUND', advice: 'restore the keychain that had it, or coffer recover' },
  LOCKED: { code: 'KEY_LOCKED', advice: 'unlock it and try again' },
  DECLINED: { code: 'KEY_DECLINED', advice: 'allow the access and try again' },
  ABSENT: { code: 'KEY_ABSENT', advice: 'start it, or use a passphrase' },
  TIMEOUT: { code: 'KEY_TIMEOUT', advice: 'see whether it waits for an answer, and try again' },
  MISMATCH: { code: 'KEY_MISMATCH', advice: 'restore the keychain item from a backup' },
};

/** Puts what a keyring answered into an error: what, why, what to do. */
export function refused(answer: Answer, keyId?: string): CofferError {
  const { code, advice } = refusals[answer.outcome as Exclude<Outcome, 'READY'>];
  const what = keyId ? `key ${keyId} can't be had` : 'no key can be kept';
  return new CofferError(code, what, { reason: answer.detail, advice });
}
