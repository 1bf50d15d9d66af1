import { createCipheriv, createDecipheriv, type KeyObject, randomFillSync } from 'node:crypto';
import { type Chain, chainContext, floorOf, nextLink } from './chain.ts';
import {
  CHUNK,
  type Content,
  decodeContent,
  decodeFrameHead,
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
  unpackSummary,
} from './format.ts';
import type { VaultKey } from './key.ts';
import { checkedSecrets, derive, deriveChecked, nonceOf, type Secrets } from './secrets.ts';

/*
 * C2SP chunked-encryption, instance Cobblestone-256 (https://c2sp.org/chunked-encryption). No other
 * file uses a cipher. Every message has a fresh salt, so its derived key and base nonce are fresh
 * too, and no counter outlives a message.
 */

/** The number of bytes that {@link openSummary} needs of a frame, if the frame is that long. */
export const SUMMARY_REACH: number = FRAME_HEAD_LENGTH + CHUNK + TAG;

/** A sealed frame, and the position after it. */
export interface SealedFrame {
  readonly bytes: Buffer;
  readonly next: Chain;
}

/** The number of chunks in a slice: half a mebibyte. */
const SLICE = 32;

/**
 * Seals content as the frame at `chain`. `salt` is for tests only. Throws `NOT_SAVED` above 1 GiB.
 */
export function sealFrame(key: VaultKey, chain: Chain, content: Content, salt?: Uint8Array): SealedFrame {
  const { bytes, draft } = beginFrame(key, chain, content, salt);
  sealAll(draft);
  return { bytes, next: nextLink(chain, bytes) };
}

/**
 * Like {@link sealFrame}, but in slices of a millisecond, because a large session takes long:
 * between slices the caller lets keys, signals and other work run. The content must not change
 * until the last slice, which returns the frame.
 */
export function* sealFrameInSlices(
  key: VaultKey,
  chain: Chain,
  content: Content,
  salt?: Uint8Array,
): Generator<void, SealedFrame, void> {
  const { bytes, draft } = beginFrame(key, chain, content, salt);
  const sealing = sealEach(draft);
  for (let sealed = 1; !sealing.next().done; sealed++) {
    if (sealed % SLICE === 0) yield;
  }
  return { bytes, next: nextLink(chain, bytes) };
}

/**
 * Opens the frame that belongs at `chain`; `frame` must be exactly that frame. The content is views
 * of one fresh buffer. With `over`, it overwrites the frame's own bytes after its head, which
 * halves the memory; the caller gives them up. Throws `UNAUTHENTIC` for anything that was not
 * sealed with this key at this position.
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
  const plain = openMessage(key.frameKey, chainContext(chain, head.length), message, target);
  return { content: decodeContent(plain, floorOf(chain)), next: nextLink(chain, frame) };
}

/**
 * Opens chunk `index` of a frame separately; `sealed` is the whole chunk with its tag. Throws
 * `UNAUTHENTIC` for anything that was not sealed with these secrets as that chunk.
 */
export function openChunkAt(secrets: Secrets, index: number, sealed: Buffer): Buffer {
  const end = sealed.length - TAG;
  return openChunk(secrets.key, nonceOf(secrets.nonce, index), sealed.subarray(0, end), sealed.subarray(end));
}

/**
 * Opens only the first chunk of the frame at `chain` and returns the summary; `start` is at least
 * the frame's first {@link SUMMARY_REACH} bytes, or the whole frame. The bytes after that chunk
 * must not be considered verified. Throws `UNAUTHENTIC`.
 */
export function openSummary(key: VaultKey, chain: Chain, start: Uint8Array): Buffer {
  const head = decodeFrameHead(start);
  const end = Math.min(4 + head.length, SUMMARY_REACH);
  if (start.length < end) throw unauthentic('it ends inside a frame');
  const secrets = checkedSecrets(key, chain, head);
  const body = start.subarray(FRAME_HEAD_LENGTH, end - TAG);
  return unpackSummary(openChunk(secrets.key, nonceOf(secrets.nonce, 0), body, start.subarray(end - TAG, end)));
}

/**
 * Seals the pieces, in order, as one message: salt ‖ commitment ‖ chunks. `inputKey` is 32
 * uniformly random bytes; `context` is authenticated and is needed again to open. `salt` is for
 * tests only: nothing else may choose it, because reusing a salt reveals a key stream. Throws
 * `NOT_SAVED` above 1 GiB.
 */
export function sealMessage(
  inputKey: KeyObject,
  context: Uint8Array,
  plaintext: readonly Uint8Array[],
  salt?: Uint8Array,
): Buffer {
  const draft = beginMessage(Buffer.allocUnsafeSlow(sealedLength(plaintext)), inputKey, context, plaintext, salt);
  sealAll(draft);
  return draft.message;
}

/**
 * Opens one complete message. The plaintext is a fresh buffer that the caller owns, or the start of
 * `target`, which may be the message's own chunks. It is returned only once all of it is verified.
 * Throws `UNAUTHENTIC` for another key, another context, and any byte changed, missing or added.
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
 * Seals one chunk with AES-256-GCM, without associated data, into `target`: the pieces' bytes, then
 * the 16-byte tag. A nonce must never be used twice under one key.
 */
export function sealChunk(key: KeyObject, nonce: Uint8Array, pieces: readonly Uint8Array[], target: Buffer): void {
  const cipher = createCipheriv('aes-256-gcm', key, nonce, OPTIONS);
  const [only = Buffer.alloc(0), second] = pieces;
  // Joined, because a call into the cipher costs more than copying a chunk.
  const sealed = cipher.update(second ? Buffer.concat(pieces) : only);
  cipher.final();
  target.set(sealed, 0);
  target.set(cipher.getAuthTag(), sealed.length);
}

/**
 * Opens one chunk and returns it only once its tag is verified. Throws `UNAUTHENTIC`, also for a
 * short tag.
 */
export function openChunk(key: KeyObject, nonce: Uint8Array, sealed: Uint8Array, tag: Uint8Array): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, OPTIONS);
  try {
    decipher.setAuthTag(tag);
    const plain = decipher.update(sealed);
    decipher.final();
    return plain;
  } catch (cause) {
    throw unauthentic('a chunk failed authentication', { cause });
  }
}

function sealedLength(pieces: readonly Uint8Array[]): number {
  const length = messageLengthOf(pieces.reduce((sum, piece) => sum + piece.length, 0));
  if (length > MAX_MESSAGE) throw tooLarge();
  return length;
}

/** A message whose head is written and whose chunks still have to be sealed. */
interface Draft {
  readonly message: Buffer;
  readonly secrets: Secrets;
  readonly plaintext: readonly Uint8Array[];
}

function beginFrame(
  key: VaultKey,
  chain: Chain,
  content: Content,
  salt: Uint8Array | undefined,
): { bytes: Buffer; draft: Draft } {
  const plaintext = encodeContent(content, floorOf(chain));
  const length = sealedLength(plaintext);
  const bytes = Buffer.allocUnsafe(4 + length);
  bytes.writeUInt32BE(length);
  return { bytes, draft: beginMessage(bytes.subarray(4), key.frameKey, chainContext(chain, length), plaintext, salt) };
}

function beginMessage(
  message: Buffer,
  inputKey: KeyObject,
  context: Uint8Array,
  plaintext: readonly Uint8Array[],
  given: Uint8Array | undefined,
): Draft {
  const salt = message.subarray(0, SALT_LENGTH);
  if (given === undefined) randomFillSync(salt);
  else if (given.length === SALT_LENGTH) salt.set(given);
  else throw new RangeError(`a salt must be ${SALT_LENGTH} bytes`);
  const secrets = derive(inputKey, salt, context);
  message.set(secrets.commitment, SALT_LENGTH);
  return { message, secrets, plaintext };
}

/**
 * Seals all chunks. A single chunk, as in a small step, needs no splitting and uses the base nonce
 * as it is.
 */
function sealAll(draft: Draft): void {
  const { message, secrets, plaintext } = draft;
  const [only, second] = plaintext;
  if (only && !second && only.length < CHUNK) {
    sealChunk(secrets.key, secrets.nonce, plaintext, message.subarray(MESSAGE_HEAD_LENGTH));
  } else {
    const sealing = sealEach(draft);
    while (!sealing.next().done);
  }
}

/** Seals one chunk per call of `next`. */
function* sealEach({ message, secrets, plaintext }: Draft): Generator<void, void, void> {
  let index = 0;
  for (const chunk of chunksOf(plaintext)) {
    const start = MESSAGE_HEAD_LENGTH + index * (CHUNK + TAG);
    sealChunk(secrets.key, nonceOf(secrets.nonce, index), chunk, message.subarray(start, start + CHUNK + TAG));
    index++;
    yield;
  }
}

/**
 * Splits pieces into full chunks and a shorter last one, which may be empty, without copying a
 * byte.
 */
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
