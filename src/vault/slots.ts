import { VaultKey } from '../envelope/key.ts';
import { openMessage, sealMessage } from '../envelope/seal.ts';
import { CofferError, isCofferError } from '../errors.ts';
import { deriveSlotKey, newSlotParameters, type SlotParameters } from '../keyring/passphrase.ts';
import type { PassphraseSlot } from './vault-file.ts';

/** Wraps the vault key for a passphrase. Takes some 130 ms, which is what a guess costs as well. */
export async function wrapForPassphrase(key: VaultKey, passphrase: string): Promise<PassphraseSlot> {
  const parameters = newSlotParameters();
  const slotKey = await deriveSlotKey(passphrase, parameters);
  const secret = key.bytes();
  const wrapped = sealMessage(slotKey, slotContext(key.id, parameters), [secret]);
  secret.fill(0);
  return { ...parameters, wrapped: wrapped.toString('base64') };
}

/**
 * Unwraps the vault key with a passphrase. What comes out must give `keyId`.
 * Throws `PASSPHRASE_WRONG`, and `KEY_MISMATCH` where the parameters are out of bounds.
 */
export async function unwrapWithPassphrase(keyId: string, slot: PassphraseSlot, passphrase: string): Promise<VaultKey> {
  const { wrapped, ...parameters } = slot;
  const slotKey = await deriveSlotKey(passphrase, parameters);
  const secret = open();
  const key = secret.length === 32 ? VaultKey.from(secret) : undefined;
  secret.fill(0);
  if (key?.id !== keyId) throw new CofferError('KEY_MISMATCH', `the passphrase slot holds another key than ${keyId}`);
  return key;

  function open(): Buffer {
    try {
      return openMessage(slotKey, slotContext(keyId, parameters), Buffer.from(wrapped, 'base64'));
    } catch (cause) {
      if (!isCofferError(cause, 'UNAUTHENTIC')) throw cause;
      throw new CofferError('PASSPHRASE_WRONG', 'wrong passphrase', { cause });
    }
  }
}

/** `coffer/v1/key-slot\0` ‖ key id (16 bytes) ‖ the parameters as JSON, keys sorted, no spaces. */
function slotContext(keyId: string, parameters: SlotParameters): Buffer {
  const sorted = Object.fromEntries(Object.entries(parameters).sort(([a], [b]) => (a < b ? -1 : 1)));
  return Buffer.concat([
    Buffer.from('coffer/v1/key-slot\0'),
    Buffer.from(keyId, 'hex'),
    Buffer.from(JSON.stringify(sorted)),
  ]);
}
