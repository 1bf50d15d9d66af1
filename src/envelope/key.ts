import { createSecretKey, hash, hkdfSync, type KeyObject, randomFillSync } from 'node:crypto';

/** The length of a vault key, of a slot key and of every key derived from them, in bytes. */
const KEY_LENGTH = 32;

/**
 * A vault key: 32 random bytes that open every sealed file of a vault. It is kept in KeyObjects, so
 * neither `console.log` nor `JSON.stringify` shows it. The language can't guarantee that no copy is
 * left in memory.
 */
export class VaultKey {
  /** The key's public name, stored in every header: 32 hex digits. */
  readonly id: string;
  /** The input key K of every frame. */
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

  /** Generates a new vault key from the system's random source. */
  static generate(): VaultKey {
    const bytes = randomFillSync(Buffer.allocUnsafeSlow(KEY_LENGTH));
    try {
      return VaultKey.from(bytes);
    } finally {
      bytes.fill(0);
    }
  }

  /**
   * Creates a key from its 32 bytes, which are copied: the caller keeps its own copy and wipes it.
   * Any other length is a RangeError.
   */
  static from(bytes: Uint8Array): VaultKey {
    if (bytes.length !== KEY_LENGTH)
      throw new RangeError(`a vault key must be ${KEY_LENGTH} bytes, not ${bytes.length}`);
    return new VaultKey(createSecretKey(bytes));
  }

  /**
   * Returns a fresh copy of the 32 bytes, for the keychain and for key slots. The caller wipes it.
   */
  bytes(): Buffer {
    return this.#key.export();
  }
}

/**
 * Derives `length` bytes with HKDF-SHA256, Extract and Expand (RFC 5869). The caller owns and wipes
 * the result.
 */
export function hkdfSha256(key: KeyObject, salt: Uint8Array | '', info: Uint8Array | string, length: number): Buffer {
  return Buffer.from(hkdfSync('sha256', key, salt, info, length));
}

/**
 * Derives `length` bytes with HKDF-Expand alone (RFC 5869 §2.3), from a `key` that is already
 * uniformly random; Node's hkdfSync always runs Extract as well. The pieces of `info` are
 * concatenated. A key that isn't {@link KEY_LENGTH} bytes is a RangeError, and so is a length of
 * more than 255 blocks. The caller owns and wipes the result.
 */
export function hkdfExpand(algorithm: Algorithm, key: KeyObject, info: readonly Uint8Array[], length: number): Buffer {
  const { output: size, block } = LENGTHS[algorithm];
  const blocks = Math.ceil(length / size);
  if (blocks > 255) throw new RangeError(`HKDF-Expand returns at most 255 blocks, not ${blocks}`);
  const { inner, outer } = padsOf(algorithm, key);
  const output = Buffer.allocUnsafeSlow(blocks * size);
  const infoLength = info.reduce((sum, piece) => sum + piece.length, 0);
  // The input of HMAC's inner hash: inner pad ‖ T(n-1) ‖ info ‖ n. The first block has no T(n-1),
  // so its pad is written right before `info`.
  const input = Buffer.allocUnsafeSlow(block + size + infoLength + 1);
  input.set(inner, size);
  let at = block + size;
  for (const piece of info) {
    input.set(piece, at);
    at += piece.length;
  }
  const outerInput = Buffer.allocUnsafeSlow(block + size);
  outerInput.set(outer, 0);
  for (let n = 1; n <= blocks; n++) {
    input[at] = n;
    const digest = hash(algorithm, n === 1 ? input.subarray(size) : input, 'buffer');
    outerInput.set(digest, block);
    const next = hash(algorithm, outerInput, 'buffer');
    output.set(next, (n - 1) * size);
    input.set(inner, 0);
    input.set(next, block);
    digest.fill(0);
    next.fill(0);
  }
  input.fill(0);
  outerInput.fill(0);
  return output.subarray(0, length);
}

interface Pads {
  readonly inner: Buffer;
  readonly outer: Buffer;
}

/**
 * Returns the padded keys of HMAC (RFC 2104), cached per key: createHmac computes them on every
 * call, which is measurable in a small step.
 */
function padsOf(algorithm: Algorithm, key: KeyObject): Pads {
  const known = pads.get(key)?.[algorithm];
  if (known) return known;
  const bytes = key.export();
  if (bytes.length !== KEY_LENGTH) throw new RangeError(`an input key must be ${KEY_LENGTH} bytes`);
  const [inner, outer] = [0x36, 0x5c].map((filler) => {
    const pad = Buffer.alloc(LENGTHS[algorithm].block, filler);
    for (const [at, byte] of bytes.entries()) pad[at] = filler ^ byte;
    return pad;
  }) as [Buffer, Buffer];
  bytes.fill(0);
  pads.set(key, { ...pads.get(key), [algorithm]: { inner, outer } });
  return { inner, outer };
}

const pads = new WeakMap<KeyObject, { [algorithm in Algorithm]?: Pads }>();

type Algorithm = 'sha256' | 'sha512';

/** In bytes. */
const LENGTHS = { sha256: { output: 32, block: 64 }, sha512: { output: 64, block: 128 } } as const;
