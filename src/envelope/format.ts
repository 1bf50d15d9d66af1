import { CofferError } from '../errors.ts';
import { paddedLength } from './padding.ts';

/*
 * WHAT IS AUTHENTICATED IS FROZEN: NO OFFSET, LENGTH OR LIMIT BELOW CHANGES WITHIN VERSION 1 OF THE SEALED FILE.
 * docs/format.md says the same in words. Numbers are big-endian. No other file knows an offset.
 */

/** Bytes before the first frame. */
export const HEADER_LENGTH = 52;
/** Bytes of a frame before its chunks: u32 length, salt, commitment. */
export const FRAME_HEAD_LENGTH = 60;
/** Bytes of a message before its chunks: salt and commitment. */
export const MESSAGE_HEAD_LENGTH = 56;
export const SALT_LENGTH = 24;
/** Plain bytes of every chunk but the last, which is shorter. */
export const CHUNK = 16384;
/** Bytes that sealing adds to a chunk: the GCM tag. */
export const TAG = 16;
/** The longest message, in bytes: 1 GiB. */
export const MAX_MESSAGE: number = 2 ** 30;
/** The longest summary, in bytes: with the lengths around it, it fits the first chunk. */
export const MAX_SUMMARY: number = 12 * 1024;
/** The longest segment, in plain bytes: 512 MiB, where V8's strings end. */
export const MAX_PLAIN: number = 2 ** 29;

/** Bytes of a segment before what is stored: codec and both lengths. */
export const SEGMENT_HEAD_LENGTH = 9;

/** What a sealed file holds. */
export type Kind = 'session' | 'index' | 'seen';

/** The part of a sealed file in the clear, authenticated through every frame. */
export interface Header {
  kind: Kind;
  /** 32 hex digits. */
  keyId: string;
  /** 32 hex digits. */
  fileId: string;
  /** u64: one more at every overwrite. */
  generation: bigint;
}

/** A frame's first sixty bytes. */
export interface FrameHead {
  /** Bytes of the message: the whole frame but these four. */
  length: number;
  salt: Buffer;
  commitment: Buffer;
}

/** A piece of the body, compressed by itself. */
export interface Segment {
  /** 0 stored, 1 zstd. */
  codec: 0 | 1;
  /** Bytes when opened. */
  plainLength: number;
  /** Bytes as they stand in the frame. */
  stored: Buffer;
}

/** What one frame says. */
export interface Content {
  /** JSON, at most {@link MAX_SUMMARY} bytes. */
  summary: Buffer;
  segments: readonly Segment[];
}

/** Writes the {@link HEADER_LENGTH} bytes a sealed file begins with. Ids or a generation out of shape: RangeError. */
export function encodeHeader(header: Header): Buffer {
  const bytes = Buffer.alloc(HEADER_LENGTH);
  bytes.set(MAGIC, 0);
  bytes[8] = VERSION;
  bytes[9] = KINDS.indexOf(header.kind) + 1;
  bytes.set(idBytes(header.keyId), 12);
  bytes.set(idBytes(header.fileId), 28);
  bytes.writeBigUInt64BE(header.generation, 44);
  return bytes;
}

/**
 * Reads the header at the start of `bytes`, which may go on behind it. Nothing is authenticated by this.
 * Throws `NEWER_VERSION` for a version or flags that are not ours, `UNAUTHENTIC` for whatever else is no header.
 */
export function decodeHeader(bytes: Uint8Array): Header {
  const view = viewOf(bytes);
  if (!view.subarray(0, MAGIC.length).equals(MAGIC)) throw unauthentic('it does not begin as a sealed file does');
  const version = view[8];
  if (version !== undefined && version !== VERSION) throw newer(`format ${version}`);
  if (view.length < HEADER_LENGTH) throw unauthentic('it ends inside its header');
  const flags = view.readUInt16BE(10);
  if (flags !== 0) throw newer(`flags ${flags}`);
  const kind = KINDS[view.readUInt8(9) - 1];
  if (kind === undefined) throw unauthentic('its header names no kind of file');
  const keyId = view.toString('hex', 12, 28);
  const fileId = view.toString('hex', 28, 44);
  return { kind, keyId, fileId, generation: view.readBigUInt64BE(44) };
}

/**
 * Writes the header that the file of a session must have begun with, over what stands at the start of `bytes`: of that only
 * the generation is kept, and the file id where none is given. Whether it was so is for a frame's commitment to say.
 */
export function presumeHeader(bytes: Uint8Array, keyId: string, fileId?: string): Buffer {
  const view = viewOf(bytes);
  const generation = view.readBigUInt64BE(44);
  return encodeHeader({ kind: 'session', keyId, fileId: fileId ?? view.toString('hex', 28, 44), generation });
}

/** Writes the length field that a frame begins with. */
export function encodeLength(length: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(length);
  return bytes;
}

/**
 * Reads the head at the start of `bytes`, which may go on behind it; salt and commitment are views of `bytes`.
 * Throws `UNAUTHENTIC` where the head is cut off or its length is one that no message has. Only the commitment,
 * checked with the key, says that the head is genuine.
 */
export function decodeFrameHead(bytes: Uint8Array): FrameHead {
  const view = viewOf(bytes);
  if (view.length < FRAME_HEAD_LENGTH) throw unauthentic('it ends inside the head of a frame');
  const length = view.readUInt32BE(0);
  plainLengthOf(length);
  return { length, salt: view.subarray(4, 28), commitment: view.subarray(28, 60) };
}

/** Writes a frame's first sixty bytes. */
export function encodeFrameHead(head: FrameHead): Buffer {
  return Buffer.concat([encodeLength(head.length), head.salt, head.commitment]);
}

/** Gives the bytes of a message that holds `plainLength` bytes: every chunk but the last is full. */
export function messageLengthOf(plainLength: number): number {
  return MESSAGE_HEAD_LENGTH + plainLength + TAG * (Math.floor(plainLength / CHUNK) + 1);
}

/** Gives the plain bytes in a message. Throws `UNAUTHENTIC` for a length that no message of ours has. */
export function plainLengthOf(messageLength: number): number {
  const sealed = messageLength - MESSAGE_HEAD_LENGTH;
  const last = sealed % (CHUNK + TAG);
  if (messageLength > MAX_MESSAGE || last < TAG) throw unauthentic('a frame has an impossible length');
  return sealed - TAG * (Math.floor(sealed / (CHUNK + TAG)) + 1);
}

/**
 * Lays out a frame's plaintext, padding included, as the pieces to seal one after another; segments are not copied, unless
 * all of it is one chunk, which is one piece then.
 * A summary that is too long is a RangeError, a segment that is too long `NOT_SAVED`.
 */
export function encodeContent(content: Content, floor: number): Buffer[] {
  const { summary, segments } = content;
  if (summary.length > MAX_SUMMARY) throw new RangeError(`a summary has at most ${MAX_SUMMARY} bytes`);
  let bodyLength = 0;
  for (const { stored } of segments) bodyLength += SEGMENT_HEAD_LENGTH + stored.length;
  const bodyStart = 4 + summary.length + 8;
  const used = bodyStart + bodyLength;
  if (used > MAX_MESSAGE) throw tooLarge();
  const length = paddedLength(used, floor);
  const isShort = length < CHUNK;
  const start = Buffer.allocUnsafe(isShort ? length : bodyStart);
  start.writeUInt32BE(summary.length);
  start.set(summary, 4);
  start.writeBigUInt64BE(BigInt(bodyLength), 4 + summary.length);
  if (!isShort) {
    const body = segments.flatMap((segment) => [segmentHead(segment), segment.stored]);
    return [start, ...body, Buffer.alloc(length - used)];
  }
  let offset = bodyStart;
  for (const segment of segments) {
    start.set(segmentHead(segment), offset);
    start.set(segment.stored, offset + SEGMENT_HEAD_LENGTH);
    offset += SEGMENT_HEAD_LENGTH + segment.stored.length;
  }
  start.fill(0, offset);
  return [start];
}

/**
 * Reads a frame's plaintext back; summary and segments are views of `plain`. Nothing is decompressed.
 * Throws `UNAUTHENTIC` unless every length fits and what is behind the body is exactly the padding, all of it zero.
 */
export function decodeContent(plain: Buffer, floor: number): Content {
  const { summary, start, bodyLength } = decodeStart(plain);
  if (bodyLength > plain.length - start) throw unauthentic('a frame ends inside its body');
  const end = start + bodyLength;
  const padding = plain.subarray(end);
  if (plain.length !== paddedLength(end, floor) || !padding.equals(Buffer.alloc(padding.length))) {
    throw unauthentic('a frame is not padded as coffer does');
  }
  return { summary, segments: decodeBody(plain.subarray(start, end)) };
}

/**
 * Reads what stands before the body of a frame's plaintext, of which the first chunk is enough: the summary, where the body
 * starts, and its length, which nothing bounds yet. Throws `UNAUTHENTIC`.
 */
export function decodeStart(plain: Buffer): { summary: Buffer; start: number; bodyLength: number } {
  const summary = decodeSummary(plain);
  const start = 4 + summary.length + 8;
  if (plain.length < start) throw unauthentic('a frame ends before its body');
  return { summary, start, bodyLength: Number(plain.readBigUInt64BE(start - 8)) };
}

/** Reads the summary at the start of a frame's plaintext, of which the first chunk is enough. Throws `UNAUTHENTIC`. */
export function decodeSummary(plain: Buffer): Buffer {
  const length = plain.length < 4 ? Number.POSITIVE_INFINITY : plain.readUInt32BE(0);
  if (length > Math.min(MAX_SUMMARY, plain.length - 4)) throw unauthentic('a summary has an impossible length');
  return plain.subarray(4, 4 + length);
}

/** Reads the head of a segment at the start of `bytes`; undefined where no segment that fits into them has such a head. */
export function decodeSegmentHead(bytes: Buffer): (Omit<Segment, 'stored'> & { storedLength: number }) | undefined {
  if (bytes.length < SEGMENT_HEAD_LENGTH) return undefined;
  const codec = bytes[0];
  const storedLength = bytes.readUInt32BE(1);
  const plainLength = bytes.readUInt32BE(5);
  if (codec !== 0 && codec !== 1) return undefined;
  const fits = storedLength <= bytes.length - SEGMENT_HEAD_LENGTH && plainLength <= MAX_PLAIN;
  return fits ? { codec, storedLength, plainLength } : undefined;
}

/** Says that bytes can't be believed; the caller names the file. */
export function unauthentic(message: string, options?: ErrorOptions): CofferError {
  return new CofferError('UNAUTHENTIC', message, options);
}

/** Says that more was to be sealed than one sealed file takes. */
export function tooLarge(): CofferError {
  return new CofferError('NOT_SAVED', 'the session is larger than a sealed file can be (1 GiB)', {
    advice: 'go on in a new one',
  });
}

function decodeBody(body: Buffer): Segment[] {
  const segments: Segment[] = [];
  for (let offset = 0; offset < body.length; ) {
    const start = offset + SEGMENT_HEAD_LENGTH;
    if (start > body.length) throw unauthentic('a body ends inside the head of a segment');
    const codec = body[offset];
    const storedLength = body.readUInt32BE(offset + 1);
    const plainLength = body.readUInt32BE(offset + 5);
    if (codec !== 0 && codec !== 1) throw unauthentic('a segment is packed in no known way');
    if (storedLength > body.length - start || plainLength > MAX_PLAIN) {
      throw unauthentic('a segment has an impossible length');
    }
    offset = start + storedLength;
    segments.push({ codec, plainLength, stored: body.subarray(start, offset) });
  }
  return segments;
}

function segmentHead(segment: Segment): Buffer {
  if (segment.plainLength > MAX_PLAIN) throw tooLarge();
  const head = Buffer.alloc(SEGMENT_HEAD_LENGTH);
  head.writeUInt8(segment.codec, 0);
  head.writeUInt32BE(segment.stored.length, 1);
  head.writeUInt32BE(segment.plainLength, 5);
  return head;
}

function idBytes(id: string): Buffer {
  if (!/^[0-9a-f]{32}$/.test(id)) throw new RangeError('an id has 32 hex digits');
  return Buffer.from(id, 'hex');
}

function newer(what: string): CofferError {
  return new CofferError('NEWER_VERSION', `made by a newer version of coffer (${what})`, {
    advice: 'update coffer to open it',
  });
}

function viewOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

const MAGIC = Buffer.from('89434f460d0a1a0a', 'hex');
const VERSION = 1;
const KINDS: readonly Kind[] = ['session', 'index', 'seen'];
