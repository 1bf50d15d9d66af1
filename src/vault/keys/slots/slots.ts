import type { KeyObject } from 'node:crypto';
import { VaultKey } from '../../../envelope/key.ts';
import { openMessage, sealMessage } from '../../../envelope/seal.ts';
import { CofferError, isCofferError } from '../../../errors.ts';
import { deriveSlotKey, newSlotParameters, type SlotParameters } from '../../../keyring/passphrase.ts';
import { newRecoveryParameters, type RecoveryCode, type RecoveryParameters } from '../../../keyring/recovery-code.ts';
import type { KeySlot, PassphraseSlot, RecoverySlot } from '../record/shape.ts';

/** Wraps the vault key for a passphrase. Takes some 130 ms, which is also the cost of a guess. */
export async function wrapForPassphrase(key: VaultKey, passphrase: string): Promise<PassphraseSlot> {
  const parameters = newSlotParameters();
  return { ...parameters, wrapped: wrap(key, await deriveSlotKey(passphrase, parameters), parameters) };
}

/** Wraps the vault key for a recovery code. */
export function wrapForRecoveryCode(key: VaultKey, code: RecoveryCode): RecoverySlot {
  const parameters = newRecoveryParameters();
  return { ...parameters, wrapped: wrap(key, code.slotKey(parameters), parameters) };
}

/**
 * Unwraps the vault key with a passphrase. The result must have the id `keyId`. Throws
 * `PASSPHRASE_WRONG`, and `KEY_MISMATCH` if the parameters are out of bounds or the slot holds
 * another key.
 */
export async function unwrapWithPassphrase(keyId: string, slot: PassphraseSlot, passphrase: string): Promise<VaultKey> {
  const { kind, algorithm, memory, passes, parallelism, salt, wrapped } = slot;
  const parameters = { kind, algorithm, memory, passes, parallelism, salt };
  const key = unwrap(keyId, await deriveSlotKey(passphrase, parameters), parameters, wrapped);
  if (!key) throw new CofferError('PASSPHRASE_WRONG', 'wrong passphrase');
  return key;
}

/**
 * Unwraps the vault key with a recovery code. Throws `RECOVERY_CODE_WRONG`, and `KEY_MISMATCH` if
 * the parameters are not coffer's or the slot holds another key.
 */
export function unwrapWithRecoveryCode(keyId: string, slot: RecoverySlot, code: RecoveryCode): VaultKey {
  const { kind, algorithm, salt, wrapped } = slot;
  const parameters = { kind, algorithm, salt };
  const key = unwrap(keyId, code.slotKey(parameters), parameters, wrapped);
  if (!key) throw new CofferError('RECOVERY_CODE_WRONG', "the recovery code is not this vault's");
  return key;
}

/**
 * Returns the key from the first slot that a passphrase opens; undefined if it opens none. Throws
 * `KEY_MISMATCH` if none opens and one is unusable: a damaged slot does not block the others.
 */
export async function tryPassphrase(keyId: string, slots: Slots, passphrase: string): Promise<VaultKey | undefined> {
  return (await trySlots(keyId, slots, passphrase))?.key;
}

/** Opens a slot like {@link tryPassphrase}, but returns the slot too. */
export function trySlots(
  keyId: string,
  slots: Slots,
  passphrase: string,
): Promise<{ key: VaultKey; slot: KeySlot } | undefined> {
  return firstToOpen(slots, async (slot) =>
    slot.kind === 'passphrase' ? unwrapWithPassphrase(keyId, slot, passphrase) : undefined,
  );
}

/** Returns the key from the first slot that a recovery code opens, like {@link tryPassphrase}. */
export async function tryRecoveryCode(keyId: string, slots: Slots, code: RecoveryCode): Promise<VaultKey | undefined> {
  const opened = await firstToOpen(slots, async (slot) =>
    slot.kind === 'recovery' ? unwrapWithRecoveryCode(keyId, slot, code) : undefined,
  );
  return opened?.key;
}

async function firstToOpen(
  slots: Slots,
  open: (slot: KeySlot) => Promise<VaultKey | undefined>,
): Promise<{ key: VaultKey; slot: KeySlot } | undefined> {
  let damaged: CofferError | undefined;
  for (const slot of slots ?? []) {
    try {
      const key = await open(slot);
      if (key) return { key, slot };
    } catch (error) {
      if (isCofferError(error, 'KEY_MISMATCH')) damaged ??= error;
      else if (!isCofferError(error, 'PASSPHRASE_WRONG', 'RECOVERY_CODE_WRONG')) throw error;
    }
  }
  if (damaged) throw damaged;
  return undefined;
}

type Slots = readonly KeySlot[] | undefined;

type Parameters = SlotParameters | RecoveryParameters;

function wrap(key: VaultKey, slotKey: KeyObject, parameters: Parameters): string {
  const secret = key.bytes();
  const wrapped = sealMessage(slotKey, slotContext(key.id, parameters), [secret]);
  secret.fill(0);
  return wrapped.toString('base64');
}

/** Returns the key in a slot; undefined if the slot key doesn't open it. */
function unwrap(keyId: string, slotKey: KeyObject, parameters: Parameters, wrapped: string): VaultKey | undefined {
  const secret = open();
  if (!secret) return undefined;
  const key = secret.length === 32 ? VaultKey.from(secret) : undefined;
  secret.fill(0);
  if (key?.id !== keyId)
    throw new CofferError('KEY_MISMATCH', `the ${parameters.kind} slot holds a key other than ${keyId}`);
  return key;

  function open(): Buffer | undefined {
    try {
      return openMessage(slotKey, slotContext(keyId, parameters), Buffer.from(wrapped, 'base64'));
    } catch (error) {
      if (!isCofferError(error, 'UNAUTHENTIC')) throw error;
      return undefined;
    }
  }
}

/**
 * Returns the context of a slot: `coffer/v1/key-slot\0` ‖ key id (16 bytes) ‖ the parameters as
 * JSON, keys sorted, no spaces.
 */
function slotContext(keyId: string, parameters: Parameters): Buffer {
  const sorted = Object.fromEntries(Object.entries(parameters).sort(([a], [b]) => (a < b ? -1 : 1)));
  return Buffer.concat([
    Buffer.from('coffer/v1/key-slot\0'),
    Buffer.from(keyId, 'hex'),
    Buffer.from(JSON.stringify(sorted)),
  ]);
}
