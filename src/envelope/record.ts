import { createHmac, createSecretKey, timingSafeEqual } from 'node:crypto';
import { isCofferError } from '../errors.ts';
import { hkdfSha256, type VaultKey } from './key.ts';
import { openMessage, sealMessage } from './seal.ts';

/**
 * Computes the MAC of vault.json: HMAC-SHA-256 under HKDF-SHA256(vault key, "coffer/v1/record"), 32
 * bytes.
 */
export function recordMac(key: VaultKey, content: string): Buffer {
  const secret = key.bytes();
  const macKey = hkdfSha256(createSecretKey(secret), '', 'coffer/v1/record', 32);
  secret.fill(0);
  const mac = createHmac('sha256', macKey).update(content).digest();
  macKey.fill(0);
  return mac;
}

/** Returns whether `mac` (hex) is the MAC of `content`, in constant time. */
export function hasRecordMac(key: VaultKey, content: string, mac: string): boolean {
  const given = Buffer.from(mac, 'hex');
  const expected = recordMac(key, content);
  return given.length === expected.length && timingSafeEqual(given, expected);
}

/**
 * Seals a successor certificate: one message under the retiring key that contains the id of the new
 * key. Only a holder of the old key can create one. `salt` is for tests only.
 */
export function sealSuccessor(retiring: VaultKey, successor: string, salt?: Uint8Array): Buffer {
  return sealMessage(retiring.frameKey, successorContext(retiring.id), [Buffer.from(successor, 'hex')], salt);
}

/** Returns whether `certificate` was sealed under `retiring` and names `successor`. */
export function isSuccessor(retiring: VaultKey, successor: string, certificate: Uint8Array): boolean {
  try {
    const named = openMessage(retiring.frameKey, successorContext(retiring.id), certificate);
    return named.toString('hex') === successor;
  } catch (error) {
    if (!isCofferError(error, 'UNAUTHENTIC')) throw error;
    return false;
  }
}

/** Returns `coffer/v1/successor\0` ‖ id of the retiring key (16 bytes). */
function successorContext(keyId: string): Buffer {
  return Buffer.concat([Buffer.from('coffer/v1/successor\0'), Buffer.from(keyId, 'hex')]);
}
