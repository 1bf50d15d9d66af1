import { createCipheriv, createHash } from 'node:crypto';
import type { Chain } from '../../src/envelope/chain.ts';
import { CHUNK, encodeHeader, HEADER_LENGTH, type Kind } from '../../src/envelope/format.ts';
import { hkdfExpand, VaultKey } from '../../src/envelope/key.ts';

/*
 * A writer of sealed files that has the key and breaks the rules: any plaintext, any tag length,
 * with or without the chain. Written from docs/format.md, because the code under attack must not
 * produce the attack.
 */

/** Departures from the format in the sealing of a frame. */
export interface Sealing {
  /** Bytes of every tag; the format says 16. */
  readonly tag?: number;
  /** False leaves H(n-1) out of the context. */
  readonly chained?: boolean;
  /** The salt. Default: derived from the plaintext and its place, so that a run can be repeated. */
  readonly salt?: Buffer;
}

/** The AES key, the base nonce and the commitment of a frame. */
export interface Secrets {
  readonly key: Buffer;
  readonly nonce: Buffer;
  readonly commitment: Buffer;
}

/** Returns a key that is the same in every run. */
export function keyNamed(name: string): VaultKey {
  return VaultKey.from(digest(Buffer.from(`coffer faults ${name}`)));
}

/** Returns a file id that is the same in every run. */
export function fileIdNamed(name: string): string {
  return digest(Buffer.from(`file ${name}`)).toString('hex', 0, 16);
}

/** Returns the header of a file; `changes` then overwrite its bytes. */
export function headerWith(
  key: VaultKey,
  fileId: string,
  options: { generation?: bigint; kind?: Kind; changes?: Readonly<Record<number, Uint8Array>> } = {},
): Buffer {
  const { generation = 1n, kind = 'session', changes = {} } = options;
  const header = encodeHeader({ kind, keyId: key.id, fileId, generation });
  for (const [offset, bytes] of Object.entries(changes)) header.set(bytes, Number(offset));
  return header;
}

/** Derives the secrets of a frame with this salt. */
export function secretsOf(key: VaultKey, chain: Chain, length: number, salt: Uint8Array, chained = true): Secrets {
  const numbers = Buffer.alloc(12);
  numbers.writeBigUInt64BE(BigInt(chain.index), 0);
  numbers.writeUInt32BE(length, 8);
  const link = chained ? chain.link : Buffer.alloc(0);
  const output = hkdfExpand('sha512', key.frameKey, [LABEL, salt, FRAME, link, numbers], 76);
  return { key: output.subarray(0, 32), nonce: output.subarray(32, 44), commitment: output.subarray(44) };
}

/** Returns the nonce of a chunk. */
export function nonceAt(base: Buffer, index: number): Buffer {
  const nonce = Buffer.from(base);
  nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ index) >>> 0, 8);
  return nonce;
}

/** Returns the chain position after this frame. */
export function linkBehind(chain: Chain, frame: Buffer): Chain {
  const link = createHash('sha256').update(chain.link).update(frame.subarray(0, 60)).digest();
  return { link, index: chain.index + 1 };
}

/** Returns the chain position of frame 0, after a header. */
export function linkOf(header: Buffer): Chain {
  return { link: digest(header.subarray(0, HEADER_LENGTH)), index: 0 };
}

/** Seals any plaintext as the frame at `chain`. */
export function sealPlain(key: VaultKey, chain: Chain, plain: Buffer, sealing: Sealing = {}): Buffer {
  const { tag = 16, chained = true, salt = digest(Buffer.concat([chain.link, plain])).subarray(0, 24) } = sealing;
  const chunks = Math.floor(plain.length / CHUNK) + 1;
  const length = 56 + plain.length + chunks * tag;
  const secrets = secretsOf(key, chain, length, salt, chained);
  const parts = [u32(length), salt, secrets.commitment];
  for (let index = 0; index < chunks; index++) {
    const cipher = createCipheriv('aes-256-gcm', secrets.key, nonceAt(secrets.nonce, index), { authTagLength: tag });
    parts.push(cipher.update(plain.subarray(index * CHUNK, (index + 1) * CHUNK)), cipher.final(), cipher.getAuthTag());
  }
  return Buffer.concat(parts);
}

/** The content of a plaintext; lengths and padding may lie. */
export interface Plain {
  readonly summary?: Uint8Array;
  readonly summaryLength?: number;
  readonly body?: Uint8Array;
  readonly bodyLength?: bigint;
  /** Replaces the correct zeros. */
  readonly padding?: Uint8Array;
}

/** Serialises a plaintext. */
export function plainOf(plain: Plain, floor: number): Buffer {
  const { summary = Buffer.from('{}'), body = Buffer.alloc(0) } = plain;
  const bodyLength = Buffer.alloc(8);
  bodyLength.writeBigUInt64BE(plain.bodyLength ?? BigInt(body.length));
  const used = Buffer.concat([u32(plain.summaryLength ?? summary.length), summary, bodyLength, body]);
  return Buffer.concat([used, plain.padding ?? Buffer.alloc(paddingOf(used.length, floor))]);
}

/** Returns how many zeros belong after that many bytes. */
export function paddingOf(used: number, floor: number): number {
  const exponent = Math.floor(Math.log2(used));
  const step = 2 ** (exponent - Math.floor(Math.log2(exponent)) - 1);
  return Math.max(floor, Math.ceil(used / step) * step) - used;
}

/** Returns the minimum length of a frame's plaintext. */
export function floorAt(index: number): number {
  return index === 0 ? 4096 : 1024;
}

/** Returns a segment, whose head may lie. */
export function segmentOf(
  codec: number,
  bytes: Uint8Array,
  plainLength: number,
  storedLength: number = bytes.length,
): Buffer {
  return Buffer.concat([Uint8Array.of(codec), u32(storedLength), u32(plainLength), bytes]);
}

/**
 * Returns a zstd frame of that many blocks of 128 KiB of the same byte, each of which takes four
 * bytes.
 */
export function zstdBomb(blocks: number): Buffer {
  const head = Buffer.from('28b52ffd0038', 'hex');
  const body = Array.from({ length: blocks }, (_, index) => {
    const block = Buffer.alloc(4, 0x20);
    block.writeUIntLE(((2 ** 17) << 3) | (1 << 1) | Number(index === blocks - 1), 0, 3);
    return block;
  });
  return Buffer.concat([head, ...body]);
}

/** Returns four bytes, big-endian. */
export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function digest(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

const LABEL = Buffer.from('c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0');
const FRAME = Buffer.from('coffer/v1/frame\0');
