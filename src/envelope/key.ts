import { createHash, createSecretKey, type Hash, hkdfSync, type KeyObject, randomFillSync } from 'node:crypto';

/** Bytes of a vault key, of a slot key and of every key derived from them. */
export const KEY_LENGTH = 32;

/**
 * The vault key: 32 random bytes that open every sealed file of a vault. It lives in KeyObjects, so that neither
 * `console.log` nor `JSON.stringify` shows it. The language can't promise that no copy is left in memory.
 */
export class VaultKey {
  /** The key's public name: 32 hex digits, in every header. */
  readonly id: string;
  /** K, the input key of every frame. */
  readonly frameKey: KeyObject;
  readonly #key: KeyObject;

  private constructor(key: KeyObject) {
    const id = hkdfSha256(key, '', 'coffer/v1/key-id', 16);
    const frameKey = hkdfSha256(key, '', 'coffer/v1/frame', KEY_LENGTH);
    this.id = id.toString('hex');
    this.frameKey = createSecretKey(frameKey);
    frameKey.fill(0);
    this.#key = key;
  }

  /** Makes a new vault key from the system's random source. */
  static generate(): VaultKey {
    const bytes = randomFillSync(Buffer.allocUnsafeSlow(KEY_LENGTH));
    try {
      return VaultKey.from(bytes);
    } finally {
      bytes.fill(0);
    }
  }

  /** Takes the key from its 32 bytes. It copies them: the caller keeps its own and wipes them. */
  static from(bytes: Uint8Array): VaultKey {
    if (bytes.length !== KEY_LENGTH) throw new RangeError(`a vault key has ${KEY_LENGTH} bytes, not ${bytes.length}`);
    return new VaultKey(createSecretKey(bytes));
  }

  /** Gives a fresh copy of the 32 bytes, for the keychain and for key slots. The caller wipes it. */
  bytes(): Buffer {
    return this.#key.export();
  }
}

/** Derives `length` bytes by HKDF-SHA256, Extract and Expand (RFC 5869). The caller owns, and wipes, the result. */
export function hkdfSha256(key: KeyObject, salt: Uint8Array | '', info: Uint8Array | string, length: number): Buffer {
  return Buffer.from(hkdfSync('sha256', key, salt, info, length));
}

/**
 * Derives `length` bytes by HKDF-Expand alone (RFC 5869 §2.3), from a `key` that is uniformly random already; node's
 * hkdfSync always does Extract as well. More than 255 blocks are a RangeError. The caller owns, and wipes, the result.
 */
export function hkdfExpand(hash: 'sha256' | 'sha512', key: KeyObject, info: Uint8Array, length: number): Buffer {
  const { output: size } = LENGTHS[hash];
  const blocks = Math.ceil(length / size);
  if (blocks > 255) throw new RangeError(`HKDF-Expand gives at most 255 blocks, not ${blocks}`);
  const mac = macOf(hash, key);
  const output = Buffer.allocUnsafeSlow(blocks * size);
  // T(n-1) ‖ info ‖ n, of which the first block has no T(n-1).
  const input = Buffer.allocUnsafeSlow(size + info.length + 1);
  input.set(info, size);
  for (let block = 0; block < blocks; block++) {
    input[input.length - 1] = block + 1;
    const next = mac(block === 0 ? input.subarray(size) : input);
    output.set(next, block * size);
    input.set(next, 0);
    next.fill(0);
  }
  input.fill(0);
  return output.subarray(0, length);
}

/**
 * HMAC (RFC 2104) with a key that is used again and again: what hashing begins with is made once and copied, where createHmac makes it
 * anew each time, which takes a fifth of a small step.
 */
function macOf(hash: 'sha256' | 'sha512', key: KeyObject): (input: Uint8Array) => Buffer {
  const known = macs.get(key)?.[hash];
  if (known) return known;
  const bytes = key.export();
  const { block } = LENGTHS[hash];
  if (bytes.length > block) throw new RangeError(`a key has at most ${block} bytes`);
  const [inner, outer] = [0x36, 0x5c].map((filler) => {
    const pad = Buffer.alloc(block, filler);
    for (const [at, byte] of bytes.entries()) pad[at] = filler ^ byte;
    const begun = createHash(hash).update(pad);
    pad.fill(0);
    return begun;
  }) as [Hash, Hash];
  bytes.fill(0);
  const mac = (input: Uint8Array): Buffer => {
    const digest = inner.copy().update(input).digest();
    const result = outer.copy().update(digest).digest();
    digest.fill(0);
    return result;
  };
  macs.set(key, { ...macs.get(key), [hash]: mac });
  return mac;
}

const macs = new WeakMap<KeyObject, { [hash in 'sha256' | 'sha512']?: ReturnType<typeof macOf> }>();

/** In bytes. */
const LENGTHS = { sha256: { output: 32, block: 64 }, sha512: { output: 64, block: 128 } } as const;
