import { createHmac, createSecretKey, timingSafeEqual } from 'node:crypto';
import { isCofferError } from '../errors.ts';
import { hkdfSha256, type VaultKey } from './key.ts';
import { openMessage, sealMessage } from './seal.ts';

/** Computes the MAC of vault.json: HMAC-SHA-256 under HKDF-SHA256(vault key, "coffer/v1/record"), 32 bytes. */
export function recordMac(key: VaultKey, content: string): Buffer {
  const secret = key.bytes();
  const macKey = hkdfSha256(createSecretKey(secret), '', 'coffer/v1/record', 32);
  secret.fill(0);
  const mac = createHmac('sha256', macKey).update(content).digest();
  macKey.fill(0);
  return mac;
}

/** Tells in constant time whether `mac` (hex) is that of `content`. */
export function hasRecordMac(key: VaultKey, content: string, mac: string): boolean {
  const given = Buffer.from(mac, 'hex');
  const right = recordMac(key, content);
  return given.length === right.length && timingSafeEqual(given, right);
}

/**
 * Seals a successor certificate: one message under the key that is replaced, which names the new key. Only a holder of the old key can
 * make one. `salt` is for tests only.
 */
export function sealSuccessor(retiring: VaultKey, successor: string, salt?: Uint8Array): Buffer {
  return sealMessage(retiring.frameKey, successorContext(retiring.id), [Buffer.from(successor, 'hex')], salt);
}

/** Tells whether `certificate` was sealed under `retiring` and names `successor`. */
export function isSuccessor(retiring: VaultKey, successor: string, certificate: Uint8Array): boolean {
  try {
    const named = openMessage(retiring.frameKey, successorContext(retiring.id), certificate);
    return named.toString('hex') === successor;
  } catch (error) {
    if (!isCofferError(error, 'UNAUTHENTIC')) throw error;
    return false;
  }
}

/** `coffer/v1/successor\0` ‖ id of the retiring key (16 bytes). */
function successorContext(keyId: string): Buffer {
  return Buffer.concat([Buffer.from('coffer/v1/successor\0'), Buffer.from(keyId, 'hex')]);
}
