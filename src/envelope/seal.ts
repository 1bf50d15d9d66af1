import { createCipheriv, createDecipheriv, type KeyObject, randomFillSync } from 'node:crypto';
import { type Chain, contextOf, floorOf, nextLink } from './chain.ts';
import {
  CHUNK,
  type Content,
  decodeContent,
  decodeFrameHead,
  decodeSummary,
  encodeContent,
  FRAME_HEAD_LENGTH,
  MAX_MESSAGE,
  MESSAGE_HEAD_LENGTH,
  messageLengthOf,
  plainLengthOf,
  SALT_LENGTH,
  TAG,
  tooLarge,
  unauthentic,
} from './format.ts';
import type { VaultKey } from './key.ts';
import { checkedSecrets, derive, deriveChecked, nonceOf, type Secrets } from './secrets.ts';

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
  const { bytes, begun } = beginFrame(key, chain, content, salt);
  sealAll(begun);
  return { bytes, next: nextLink(chain, bytes) };
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
  const { bytes, begun } = beginFrame(key, chain, content, salt);
  const sealing = sealEach(begun);
  for (let sealed = 1; !sealing.next().done; sealed++) {
    if (sealed % SLICE === 0) yield;
  }
  return { bytes, next: nextLink(chain, bytes) };
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
  return { content: decodeContent(plain, floorOf(chain)), next: nextLink(chain, frame) };
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
  const secrets = checkedSecrets(key, chain, head);
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
  const begun = beginMessage(Buffer.allocUnsafeSlow(sealedLength(plaintext)), inputKey, context, plaintext, salt);
  sealAll(begun);
  return begun.message;
}

/**
 * Opens one whole message. The plaintext is a fresh buffer of the caller's, or the start of `target`, which may be the message's
 * own chunks, and nothing leaves before all of it is verified. Throws `UNAUTHENTIC` for another key, another context, and any byte
 * changed, missing or added.
 */
export function openMessage(inputKey: KeyObject, context: Uint8Array, message: Uint8Array, target?: Buffer): Buffer {
  const length = plainLengthOf(message.length);
  const salt = message.subarray(0, SALT_LENGTH);
  const secrets = deriveChecked(inputKey, salt, context, message.subarray(SALT_LENGTH, MESSAGE_HEAD_LENGTH));
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
  const cipher = createCipheriv('aes-256-gcm', key, nonce, OPTIONS);
  const [only = Buffer.alloc(0), second] = pieces;
  // Joined, because a call into the cipher costs more than the copy of a chunk.
  const sealed = cipher.update(second ? Buffer.concat(pieces) : only);
  cipher.final();
  target.set(sealed, 0);
  target.set(cipher.getAuthTag(), sealed.length);
}

/** Opens one chunk and gives it only once its tag is verified. Throws `UNAUTHENTIC`, for a short tag too. */
export function openChunk(key: KeyObject, nonce: Uint8Array, sealed: Uint8Array, tag: Uint8Array): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, OPTIONS);
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

/** A message whose head is written, and whose chunks are to be sealed behind it. */
interface Begun {
  readonly message: Buffer;
  readonly secrets: Secrets;
  readonly plaintext: readonly Uint8Array[];
}

function beginFrame(
  key: VaultKey,
  chain: Chain,
  content: Content,
  salt: Uint8Array | undefined,
): { bytes: Buffer; begun: Begun } {
  const plaintext = encodeContent(content, floorOf(chain));
  const length = sealedLength(plaintext);
  const bytes = Buffer.allocUnsafe(4 + length);
  bytes.writeUInt32BE(length);
  return { bytes, begun: beginMessage(bytes.subarray(4), key.frameKey, contextOf(chain, length), plaintext, salt) };
}

function beginMessage(
  message: Buffer,
  inputKey: KeyObject,
  context: Uint8Array,
  plaintext: readonly Uint8Array[],
  given: Uint8Array | undefined,
): Begun {
  const salt = message.subarray(0, SALT_LENGTH);
  if (given === undefined) randomFillSync(salt);
  else if (given.length === SALT_LENGTH) salt.set(given);
  else throw new RangeError(`a salt has ${SALT_LENGTH} bytes`);
  const secrets = derive(inputKey, salt, context);
  message.set(secrets.commitment, SALT_LENGTH);
  return { message, secrets, plaintext };
}

/** Seals all chunks. One alone, as that of a small step is, needs no cutting, and has the base nonce itself. */
function sealAll(begun: Begun): void {
  const { message, secrets, plaintext } = begun;
  const [only, second] = plaintext;
  if (only && !second && only.length < CHUNK) {
    sealChunk(secrets.key, secrets.nonce, plaintext, message.subarray(MESSAGE_HEAD_LENGTH));
  } else {
    const sealing = sealEach(begun);
    while (!sealing.next().done);
  }
}

/** Seals one chunk each time it is asked to go on. */
function* sealEach({ message, secrets, plaintext }: Begun): Generator<void, void, void> {
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

const OPTIONS = { authTagLength: TAG } as const;
