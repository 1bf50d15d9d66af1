import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { RecoveryCode } from '../../src/keyring/recovery-code.ts';
import type { PassphraseSlot, RecoverySlot } from '../../src/vault/keys/record/vault-file.ts';
import { unwrapWithPassphrase, unwrapWithRecoveryCode } from '../../src/vault/keys/slots/slots.ts';
import { VECTORS } from './support.ts';

interface SlotVector {
  readonly passphrase: string;
  readonly key: string;
  readonly keyId: string;
  readonly slot: PassphraseSlot;
}

const vector: SlotVector = JSON.parse(readFileSync(join(VECTORS, 'slot.json'), 'utf8'));

interface RecoveryVector {
  readonly code: string;
  readonly key: string;
  readonly keyId: string;
  readonly slot: RecoverySlot;
}

const recovery: RecoveryVector = JSON.parse(readFileSync(join(VECTORS, 'recovery-slot.json'), 'utf8'));

describe('key slot', () => {
  it('opens as docs/format.md says, if another implementation wrapped it', async () => {
    const { keyId, slot, passphrase } = vector;
    const key = await unwrapWithPassphrase(keyId, slot, passphrase);
    expect(key.bytes().toString('hex')).toBe(vector.key);
    expect(passphrase).not.toBe(passphrase.normalize('NFC'));
  });

  it('does not open for another key id or with another salt', async () => {
    const { keyId, slot, passphrase } = vector;
    await expect(unwrapWithPassphrase('0'.repeat(32), slot, passphrase)).rejects.toThrow('wrong passphrase');
    const salt = Buffer.alloc(16).toString('base64');
    await expect(unwrapWithPassphrase(keyId, { ...slot, salt }, passphrase)).rejects.toThrow('wrong passphrase');
  });

  it('for a recovery code opens as docs/format.md says, if another implementation wrapped it', () => {
    const key = unwrapWithRecoveryCode(recovery.keyId, recovery.slot, RecoveryCode.read(recovery.code));
    expect(key.bytes().toString('hex')).toBe(recovery.key);
  });

  it('for a recovery code does not open with another code, for another key id or with another salt', () => {
    const { keyId, slot } = recovery;
    const code = RecoveryCode.read(recovery.code);
    const message = "the recovery code is not this vault's";
    expect(() => unwrapWithRecoveryCode(keyId, slot, RecoveryCode.generate())).toThrow(message);
    expect(() => unwrapWithRecoveryCode('0'.repeat(32), slot, code)).toThrow(message);
    const salt = Buffer.alloc(16).toString('base64');
    expect(() => unwrapWithRecoveryCode(keyId, { ...slot, salt }, code)).toThrow(message);
  });
});
