import type { VaultKey } from '../../../envelope/key.ts';
import { isCofferError } from '../../../errors.ts';
import type { KeySlot, PassphraseSlot, VaultFile } from '../record/shape.ts';
import { type ConfirmCode, confirmedCode, rowOf, type SlotRow } from './key-slots.ts';
import { tryPassphrase, wrapForPassphrase, wrapForRecoveryCode } from './slots.ts';

/** Maximum number of attempts at the passphrase of a slot. */
const TRIES = 3;

/** Prompts for moving the slots to another key. */
export interface Rewrapping {
  /** Asks for the passphrase of a slot; `attempt` starts at 1. Undefined drops the slot. */
  readonly passphrase: (slot: SlotRow, attempt: number) => Promise<string | undefined>;
  /** Shows the new recovery code, and has it typed back; undefined drops the recovery codes. */
  readonly confirmCode: ConfirmCode;
  /** Called for each slot that is dropped. */
  readonly onDropped: (slot: SlotRow) => void;
}

/**
 * Builds the slots of a new key: asks for each passphrase, which must open its slot, and replaces
 * all recovery codes by a single new one. Changes nothing. Throws `KEY_MISMATCH` for a damaged
 * slot.
 */
export async function rewrapSlots(file: VaultFile, key: VaultKey, asked: Rewrapping): Promise<KeySlot[]> {
  const slots: KeySlot[] = [];
  for (const slot of file.slots) {
    if (slot.kind !== 'passphrase') continue;
    const passphrase = await passphraseOf(file.key, slot, asked);
    if (passphrase === undefined) asked.onDropped(rowOf(slot));
    else slots.push(await wrapForPassphrase(key, passphrase));
  }
  const codes = file.slots.filter(({ kind }) => kind === 'recovery');
  if (codes.length === 0) return slots;
  const code = await newCode(key, asked.confirmCode);
  if (code) return [...slots, code];
  for (const slot of codes) asked.onDropped(rowOf(slot));
  return slots;
}

async function passphraseOf(keyId: string, slot: PassphraseSlot, asked: Rewrapping): Promise<string | undefined> {
  for (let attempt = 1; attempt <= TRIES; attempt++) {
    const passphrase = await asked.passphrase(rowOf(slot), attempt);
    if (passphrase === undefined) return undefined;
    if (await tryPassphrase(keyId, [slot], passphrase)) return passphrase;
  }
  return undefined;
}

async function newCode(key: VaultKey, confirm: ConfirmCode): Promise<KeySlot | undefined> {
  try {
    return wrapForRecoveryCode(key, await confirmedCode(confirm));
  } catch (error) {
    if (!isCofferError(error, 'CANCELLED', 'RECOVERY_CODE_WRONG')) throw error;
    return undefined;
  }
}
