import { createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto';
import { type Chain, chainContext } from './chain.ts';
import { type FrameHead, unauthentic } from './format.ts';
import { hkdfExpand, type VaultKey } from './key.ts';

/**
 * The key, base nonce and commitment of one message, derived from its input key, salt and context.
 */
export interface Secrets {
  readonly key: KeyObject;
  readonly nonce: Buffer;
  readonly commitment: Buffer;
}

/** Derives a message's secrets; `inputKey` must be uniformly random. Checks nothing. */
export function derive(inputKey: KeyObject, salt: Uint8Array, context: Uint8Array): Secrets {
  const output = hkdfExpand('sha512', inputKey, [LABEL, salt, context], 76);
  const key = createSecretKey(output.subarray(0, 32));
  output.fill(0, 0, 32);
  return { key, nonce: output.subarray(32, 44), commitment: output.subarray(44) };
}

/**
 * Derives a message's secrets and checks that they match the commitment, which covers the key, the
 * salt and the context. Throws `UNAUTHENTIC`.
 */
export function deriveChecked(
  inputKey: KeyObject,
  salt: Uint8Array,
  context: Uint8Array,
  commitment: Uint8Array,
): Secrets {
  const secrets = derive(inputKey, salt, context);
  if (!isSame(secrets.commitment, commitment))
    throw unauthentic('a frame was not sealed with this key at this position');
  return secrets;
}

/** Returns whether a frame's head was sealed with this key at `chain`. Ignores its chunks. */
export function headBelongs(key: VaultKey, chain: Chain, head: FrameHead): boolean {
  return isSame(frameSecrets(key, chain, head).commitment, head.commitment);
}

/**
 * Derives the secrets of the frame at `chain`, including the commitment that its head must have.
 * Checks nothing.
 */
export function frameSecrets(key: VaultKey, chain: Chain, head: Pick<FrameHead, 'length' | 'salt'>): Secrets {
  return derive(key.frameKey, head.salt, chainContext(chain, head.length));
}

/** Like {@link frameSecrets}, but checks the head's commitment. Throws `UNAUTHENTIC`. */
export function checkedSecrets(key: VaultKey, chain: Chain, head: FrameHead): Secrets {
  return deriveChecked(key.frameKey, head.salt, chainContext(chain, head.length), head.commitment);
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

/** Returns the base nonce XOR the chunk's number, which is below 2^32 in every message. */
export function nonceOf(base: Buffer, index: number): Buffer {
  const nonce = Buffer.from(base);
  nonce.writeUInt32BE((base.readUInt32BE(8) ^ index) >>> 0, 8);
  return nonce;
}

const LABEL = Buffer.from('c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0');
