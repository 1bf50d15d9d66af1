import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  type KeyObject,
  randomFillSync,
  timingSafeEqual,
} from 'node:crypto';
import { type Chain, contextOf, floorOf, nextLink } from './chain.ts';
import {
  CHUNK,
  type Content,
  decodeContent,
  decodeFrameHead,
  decodeSummary,
  encodeContent,
  FRAME_HEAD_LENGTH,
  type FrameHead,
  MAX_MESSAGE,
  MESSAGE_HEAD_LENGTH,
  messageLengthOf,
  plainLengthOf,
  SALT_LENGTH,
  TAG,
  tooLarge,
  unauthentic,
} from './format.ts';
import { hkdfExpand, KEY_LENGTH, type VaultKey } from './key.ts';

/*
 * C2SP chunked-encryption, instance Cobblestone-256 (https://c2sp.org/chunked-encryption): the only user of a cipher.
 * A salt is fresh for every message, so the derived key and base nonce are, and no counter outlives a message.
 */

/** How many bytes of a frame {@link openSummary} needs, where the frame has as many. */
export const SUMMARY_REACH: number = FRAME_HEAD_LENGTH + CHUNK + TAG;

/** A sealed frame, and the place behind it. */
export interface SealedFrame {
  readonly bytes: Buffer;
  readonly next: Chain;
}

/** How many chunks a slice has: half a mebibyte. */
const SLICE = 32;

/** Seals content as the frame that belongs at `chain`, and gives the place behind it. `salt` is for tests only. */
export function sealFrame(key: VaultKey, chain: Chain, content: Content, salt?: Uint8Array): SealedFrame {
  const { bytes, sealing } = beginFrame(key, chain, content, salt);
  while (!sealing.next().done);
  return { bytes, next: nextLink(chain, decodeFrameHead(bytes)) };
}

/**
 * The same in slices of a millisecond, between which the caller lets keys, signals and other work have their turn: a large session
 * takes long. The content must be left alone until the last slice is done, which gives the frame.
 */
export function* sealFrameInSlices(
  key: VaultKey,
  chain: Chain,
  content: Content,
  salt?: Uint8Array,
): Generator<void, SealedFrame, void> {
  const { bytes, sealing } = beginFrame(key, chain, content, salt);
  for (let sealed = 1; !sealing.next().done; sealed++) {
    if (sealed % SLICE === 0) yield;
  }
  return { bytes, next: nextLink(chain, decodeFrameHead(bytes)) };
}

/**
 * Opens the frame that belongs at `chain`; `frame` must be the whole of it and no more. Content is views of one
 * fresh buffer, or, with `over`, of the frame's own bytes behind its head, which the caller gives up for it: half the memory.
 * Throws `UNAUTHENTIC` for anything that was not sealed with this key in this very place.
 */
export function openFrame(
  key: VaultKey,
  chain: Chain,
  frame: Uint8Array,
  over?: 'over',
): { content: Content; next: Chain } {
  const head = decodeFrameHead(frame);
  if (frame.length !== 4 + head.length) throw unauthentic('a frame is not as long as it says');
  const message = Buffer.from(frame.buffer, frame.byteOffset + 4, head.length);
  const target = over && message.subarray(MESSAGE_HEAD_LENGTH);
  const plain = openMessage(key.frameKey, contextOf(chain, head.length), message, target);
  return { content: decodeContent(plain, floorOf(chain)), next: nextLink(chain, head) };
}

/** Tells whether a frame's head was sealed with this key at `chain`. Its chunks are not looked at. */
export function headBelongs(key: VaultKey, chain: Chain, head: FrameHead): boolean {
  const derived = derive(key.frameKey, head.salt, contextOf(chain, head.length));
  return isSame(derived.commitment, head.commitment);
}

/** Derives what the chunks of the frame at `chain` are sealed with, and the commitment its head must have. Checks nothing. */
export function frameSecrets(key: VaultKey, chain: Chain, head: Pick<FrameHead, 'length' | 'salt'>): Secrets {
  return derive(key.frameKey, head.salt, contextOf(chain, head.length));
}

/**
 * Opens chunk `index` of a frame by itself; `sealed` is the chunk with its tag, and all of what stands in its place.
 * Throws `UNAUTHENTIC` for whatever was not sealed with these secrets as that very chunk.
 */
export function openChunkAt(secrets: Secrets, index: number, sealed: Buffer): Buffer {
  const end = sealed.length - TAG;
  return openChunk(secrets.key, nonceOf(secrets.nonce, index), sealed.subarray(0, end), sealed.subarray(end));
}

/**
 * Opens only the first chunk of the frame at `chain`, for its summary; `start` is the frame's first
 * {@link SUMMARY_REACH} bytes or more, or all of it. What is behind that chunk must not be called verified.
 * Throws `UNAUTHENTIC`.
 */
export function openSummary(key: VaultKey, chain: Chain, start: Uint8Array): Buffer {
  const head = decodeFrameHead(start);
  const end = Math.min(4 + head.length, SUMMARY_REACH);
  if (start.length < end) throw unauthentic('it ends inside a frame');
  const secrets = deriveChecked(key.frameKey, contextOf(chain, head.length), head.salt, head.commitment);
  const body = start.subarray(FRAME_HEAD_LENGTH, end - TAG);
  return decodeSummary(openChunk(secrets.key, nonceOf(secrets.nonce, 0), body, start.subarray(end - TAG, end)));
}

/**
 * Seals the pieces, one after another, as one message: salt ‖ commitment ‖ chunks. `inputKey` is 32 uniformly random
 * bytes; `context` is authenticated and must be given again to open. `salt` is for tests only: nobody else may choose
 * it, because a salt used twice gives a key stream away. Throws `NOT_SAVED` above 1 GiB.
 */
export function sealMessage(
  inputKey: KeyObject,
  context: Uint8Array,
  plaintext: readonly Uint8Array[],
  salt?: Uint8Array,
): Buffer {
  const message = Buffer.allocUnsafeSlow(sealedLength(plaintext));
  const sealing = sealInto(message, inputKey, context, plaintext, salt);
  while (!sealing.next().done);
  return message;
}

/**
 * Opens one whole message. The plaintext is a fresh buffer of the caller's, or the start of `target`, which may be the message's
 * own chunks, and nothing leaves before all of it is verified. Throws `UNAUTHENTIC` for another key, another context, and any byte
 * changed, missing or added.
 */
export function openMessage(inputKey: KeyObject, context: Uint8Array, message: Uint8Array, target?: Buffer): Buffer {
  const length = plainLengthOf(message.length);
  const salt = message.subarray(0, SALT_LENGTH);
  const secrets = deriveChecked(inputKey, context, salt, message.subarray(SALT_LENGTH, MESSAGE_HEAD_LENGTH));
  const plain = target?.subarray(0, length) ?? Buffer.allocUnsafeSlow(length);
  for (let index = 0, from = MESSAGE_HEAD_LENGTH; from < message.length; index++, from += CHUNK + TAG) {
    const end = Math.min(from + CHUNK, message.length - TAG);
    const nonce = nonceOf(secrets.nonce, index);
    plain.set(
      openChunk(secrets.key, nonce, message.subarray(from, end), message.subarray(end, end + TAG)),
      index * CHUNK,
    );
  }
  return plain;
}

/**
 * Seals one chunk by AES-256-GCM, without associated data, into `target`: as many bytes as the pieces together, then
 * the 16-byte tag. A nonce must never be used twice under one key.
 */
export function sealChunk(key: KeyObject, nonce: Uint8Array, pieces: readonly Uint8Array[], target: Buffer): void {
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG });
  const [only = Buffer.alloc(0), second] = pieces;
  // Joined, because a call into the cipher costs more than the copy of a chunk.
  const sealed = cipher.update(second ? Buffer.concat(pieces) : only);
  cipher.final();
  target.set(sealed, 0);
  target.set(cipher.getAuthTag(), sealed.length);
}

/** Opens one chunk and gives it only once its tag is verified. Throws `UNAUTHENTIC`, for a short tag too. */
export function openChunk(key: KeyObject, nonce: Uint8Array, sealed: Uint8Array, tag: Uint8Array): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG });
  try {
    decipher.setAuthTag(tag);
    const plain = decipher.update(sealed);
    decipher.final();
    return plain;
  } catch (cause) {
    throw unauthentic('a chunk is not what was sealed there', { cause });
  }
}

function sealedLength(pieces: readonly Uint8Array[]): number {
  const length = messageLengthOf(pieces.reduce((sum, piece) => sum + piece.length, 0));
  if (length > MAX_MESSAGE) throw tooLarge();
  return length;
}

function beginFrame(
  key: VaultKey,
  chain: Chain,
  content: Content,
  salt: Uint8Array | undefined,
): { bytes: Buffer; sealing: Iterator<void, void> } {
  const pieces = encodeContent(content, floorOf(chain));
  const length = sealedLength(pieces);
  const bytes = Buffer.allocUnsafe(4 + length);
  bytes.writeUInt32BE(length);
  return { bytes, sealing: sealInto(bytes.subarray(4), key.frameKey, contextOf(chain, length), pieces, salt) };
}

/** Seals one chunk each time it is asked to go on. */
function* sealInto(
  message: Buffer,
  inputKey: KeyObject,
  context: Uint8Array,
  plaintext: readonly Uint8Array[],
  given?: Uint8Array,
): Generator<void, void, void> {
  const salt = message.subarray(0, SALT_LENGTH);
  if (given === undefined) randomFillSync(salt);
  else if (given.length === SALT_LENGTH) salt.set(given);
  else throw new RangeError(`a salt has ${SALT_LENGTH} bytes`);
  const secrets = derive(inputKey, salt, context);
  message.set(secrets.commitment, SALT_LENGTH);
  let index = 0;
  for (const chunk of chunksOf(plaintext)) {
    const start = MESSAGE_HEAD_LENGTH + index * (CHUNK + TAG);
    sealChunk(secrets.key, nonceOf(secrets.nonce, index), chunk, message.subarray(start, start + CHUNK + TAG));
    index++;
    yield;
  }
}

/** Cuts pieces into full chunks and a last shorter one, which may be empty, without copying a byte. */
function* chunksOf(pieces: readonly Uint8Array[]): Generator<Uint8Array[]> {
  let chunk: Uint8Array[] = [];
  let room = CHUNK;
  for (const piece of pieces) {
    for (let start = 0; start < piece.length; ) {
      const part = piece.subarray(start, start + room);
      chunk.push(part);
      start += part.length;
      room -= part.length;
      if (room === 0) {
        yield chunk;
        chunk = [];
        room = CHUNK;
      }
    }
  }
  yield chunk;
}

/** What one message is sealed with, derived from its key, salt and context. */
export interface Secrets {
  readonly key: KeyObject;
  readonly nonce: Buffer;
  readonly commitment: Buffer;
}

/** Derives a message's secrets, and refuses them unless the commitment is theirs: the key, the context, the salt. */
function deriveChecked(inputKey: KeyObject, context: Uint8Array, salt: Uint8Array, commitment: Uint8Array): Secrets {
  const secrets = derive(inputKey, salt, context);
  if (!isSame(secrets.commitment, commitment)) throw unauthentic('a frame is not what was sealed there with this key');
  return secrets;
}

function derive(inputKey: KeyObject, salt: Uint8Array, context: Uint8Array): Secrets {
  if (inputKey.symmetricKeySize !== KEY_LENGTH) throw new RangeError(`an input key has ${KEY_LENGTH} bytes`);
  const output = hkdfExpand('sha512', inputKey, Buffer.concat([LABEL, salt, context]), 76);
  const key = createSecretKey(output.subarray(0, 32));
  output.fill(0, 0, 32);
  return { key, nonce: output.subarray(32, 44), commitment: output.subarray(44) };
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

/** The base nonce XOR the chunk's number, which is under 2^32 in any message of ours. */
function nonceOf(base: Buffer, index: number): Buffer {
  const nonce = Buffer.from(base);
  nonce.writeUInt32BE((base.readUInt32BE(8) ^ index) >>> 0, 8);
  return nonce;
}

const LABEL = Buffer.from('c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0');
