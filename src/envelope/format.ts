import { CofferError } from '../errors.ts';
import { paddedLength } from './padding.ts';

/*
 * THE AUTHENTICATED FORMAT IS FROZEN: NO OFFSET, LENGTH OR LIMIT BELOW MAY CHANGE WITHIN VERSION 1
 * OF THE SEALED FILE. docs/format.md describes the same format in words. Numbers are big-endian. No
 * other file knows an offset.
 */

/** The length of a file's header, in bytes. */
export const HEADER_LENGTH = 52;
/** The length of a frame's head, in bytes: u32 length, salt, commitment. */
export const FRAME_HEAD_LENGTH = 60;
/** The length of a message's head, in bytes: salt and commitment. */
export const MESSAGE_HEAD_LENGTH = 56;
/** The length of a salt, in bytes. */
export const SALT_LENGTH = 24;
/** The plaintext length of every chunk except the last, which is shorter, in bytes. */
export const CHUNK = 16384;
/** The bytes that sealing adds to a chunk: the GCM tag. */
export const TAG = 16;
/** The maximum length of a message, in bytes: 1 GiB. */
export const MAX_MESSAGE: number = 2 ** 30;
/**
 * The maximum length of a summary, in bytes. With its length fields it fits into the first chunk.
 */
export const MAX_SUMMARY: number = 12 * 1024;
/** The maximum plaintext length of a segment, in bytes: 512 MiB, the limit of V8's strings. */
export const MAX_PLAIN: number = 2 ** 29;

/** The length of a segment's head, in bytes: codec and both lengths. */
export const SEGMENT_HEAD_LENGTH = 9;

/** The kind of a sealed file. */
export type Kind = 'session' | 'index' | 'seen';

/** The unencrypted part of a sealed file, authenticated through every frame. */
export interface Header {
  kind: Kind;
  /** 32 hex digits. */
  keyId: string;
  /** 32 hex digits. */
  fileId: string;
  /** A u64 that every overwrite increments. */
  generation: bigint;
}

/** The first sixty bytes of a frame, decoded. */
export interface FrameHead {
  /** The length of the message, in bytes: the whole frame except this 4-byte field. */
  length: number;
  salt: Buffer;
  commitment: Buffer;
}

/** A piece of a frame's body, compressed separately. */
export interface Segment {
  /** 0: stored as it is, 1: zstd. */
  codec: 0 | 1;
  /** The uncompressed length, in bytes. */
  plainLength: number;
  /** The bytes as stored in the frame. */
  stored: Buffer;
}

/** The decoded plaintext of one frame. */
export interface Content {
  /** JSON, at most {@link MAX_SUMMARY} bytes. */
  summary: Buffer;
  segments: readonly Segment[];
}

/**
 * Encodes a header into the first {@link HEADER_LENGTH} bytes of a sealed file. A malformed id or
 * generation is a RangeError.
 */
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
 * Decodes the header at the start of `bytes`, which may be longer. Authenticates nothing. Throws
 * `NEWER_VERSION` for an unknown version or unknown flags, `UNAUTHENTIC` for anything else that
 * isn't a header.
 */
export function decodeHeader(bytes: Uint8Array): Header {
  const view = viewOf(bytes);
  if (!view.subarray(0, MAGIC.length).equals(MAGIC)) throw unauthentic('it does not start with a sealed file header');
  const version = view[8];
  if (version !== undefined && version !== VERSION) throw newer(`format ${version}`);
  if (view.length < HEADER_LENGTH) throw unauthentic('it ends inside its header');
  const flags = view.readUInt16BE(10);
  if (flags !== 0) throw newer(`flags ${flags}`);
  const kind = KINDS[view.readUInt8(9) - 1];
  if (kind === undefined) throw unauthentic('its header has an unknown file kind');
  const keyId = view.toString('hex', 12, 28);
  const fileId = view.toString('hex', 28, 44);
  return { kind, keyId, fileId, generation: view.readBigUInt64BE(44) };
}

/**
 * Reconstructs the header that a session's file must have begun with. Keeps only the generation of
 * the bytes that are there now, and their file id if `fileId` is omitted. Only a frame's commitment
 * can confirm the result.
 */
export function presumeHeader(bytes: Uint8Array, keyId: string, fileId?: string): Buffer {
  const view = viewOf(bytes);
  const generation = view.readBigUInt64BE(44);
  return encodeHeader({ kind: 'session', keyId, fileId: fileId ?? view.toString('hex', 28, 44), generation });
}

/** Encodes the length field that a frame begins with. */
export function encodeLength(length: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(length);
  return bytes;
}

/**
 * Decodes the frame head at the start of `bytes`, which may be longer; salt and commitment are
 * views of `bytes`. Throws `UNAUTHENTIC` if the head is cut off or no message can have its length.
 * Only checking the commitment with the key proves that the head is genuine.
 */
export function decodeFrameHead(bytes: Uint8Array): FrameHead {
  const view = viewOf(bytes);
  if (view.length < FRAME_HEAD_LENGTH) throw unauthentic('it ends inside the head of a frame');
  const length = view.readUInt32BE(0);
  plainLengthOf(length);
  return { length, salt: view.subarray(4, 28), commitment: view.subarray(28, 60) };
}

/** Encodes a frame's head. */
export function encodeFrameHead(head: FrameHead): Buffer {
  return Buffer.concat([encodeLength(head.length), head.salt, head.commitment]);
}

/**
 * Returns the length of a message that holds `plainLength` bytes. Every chunk except the last is
 * full.
 */
export function messageLengthOf(plainLength: number): number {
  return MESSAGE_HEAD_LENGTH + plainLength + TAG * (Math.floor(plainLength / CHUNK) + 1);
}

/**
 * Returns the plaintext length of a message. Throws `UNAUTHENTIC` for a length that no message can
 * have.
 */
export function plainLengthOf(messageLength: number): number {
  const sealed = messageLength - MESSAGE_HEAD_LENGTH;
  const last = sealed % (CHUNK + TAG);
  if (messageLength > MAX_MESSAGE || last < TAG) throw unauthentic('a frame has an impossible length');
  return sealed - TAG * (Math.floor(sealed / (CHUNK + TAG)) + 1);
}

/**
 * Encodes a frame's plaintext, padding included, as the pieces to seal in order. Segments are not
 * copied, unless the whole plaintext fits into one chunk: then the result is one piece. A summary
 * that is too long is a RangeError. Throws `NOT_SAVED` for a segment that is too long.
 */
export function encodeContent(content: Content, floor: number): Buffer[] {
  const { summary, segments } = content;
  if (summary.length > MAX_SUMMARY) throw new RangeError(`a summary must be at most ${MAX_SUMMARY} bytes`);
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
 * Decodes a frame's plaintext; summary and segments are views of `plain`. Decompresses nothing.
 * Throws `UNAUTHENTIC` unless every length fits and the body is followed by exactly the padding,
 * all zero.
 */
export function decodeContent(plain: Buffer, floor: number): Content {
  const { summary, start, bodyLength } = decodeStart(plain);
  if (bodyLength > plain.length - start) throw unauthentic('a frame ends inside its body');
  const end = start + bodyLength;
  const padding = plain.subarray(end);
  if (plain.length !== paddedLength(end, floor) || !padding.equals(Buffer.alloc(padding.length))) {
    throw unauthentic('a frame has invalid padding');
  }
  return { summary, segments: decodeBody(plain.subarray(start, end)) };
}

/**
 * Decodes the part of a frame's plaintext before the body, for which the first chunk is enough: the
 * summary, the offset of the body, and the body's length, which is not checked against anything
 * yet. Throws `UNAUTHENTIC`.
 */
export function decodeStart(plain: Buffer): { summary: Buffer; start: number; bodyLength: number } {
  const summary = unpackSummary(plain);
  const start = 4 + summary.length + 8;
  if (plain.length < start) throw unauthentic('a frame ends before its body');
  return { summary, start, bodyLength: Number(plain.readBigUInt64BE(start - 8)) };
}

/**
 * Decodes the summary at the start of a frame's plaintext, for which the first chunk is enough.
 * Throws `UNAUTHENTIC`.
 */
export function unpackSummary(plain: Buffer): Buffer {
  const length = plain.length < 4 ? Number.POSITIVE_INFINITY : plain.readUInt32BE(0);
  if (length > Math.min(MAX_SUMMARY, plain.length - 4)) throw unauthentic('a summary has an impossible length');
  return plain.subarray(4, 4 + length);
}

/**
 * Decodes the segment head at the start of `bytes`. Returns undefined if it isn't one, or if the
 * segment would be longer than `room`, the number of bytes that follow the head.
 */
export function decodeSegmentHead(
  bytes: Buffer,
  room: number = bytes.length - SEGMENT_HEAD_LENGTH,
): (Omit<Segment, 'stored'> & { storedLength: number }) | undefined {
  if (bytes.length < SEGMENT_HEAD_LENGTH) return undefined;
  const codec = bytes[0];
  const storedLength = bytes.readUInt32BE(1);
  const plainLength = bytes.readUInt32BE(5);
  if (codec !== 0 && codec !== 1) return undefined;
  return storedLength <= room && plainLength <= MAX_PLAIN ? { codec, storedLength, plainLength } : undefined;
}

/** Creates an `UNAUTHENTIC` error; the caller adds the name of the file. */
export function unauthentic(message: string, options?: ErrorOptions): CofferError {
  return new CofferError('UNAUTHENTIC', message, options);
}

/** Creates the `NOT_SAVED` error for content that exceeds the limits of a sealed file. */
export function tooLarge(): CofferError {
  return new CofferError('NOT_SAVED', 'the session is larger than a sealed file can be (1 GiB)', {
    advice: 'continue in a new session',
  });
}

function decodeBody(body: Buffer): Segment[] {
  const segments: Segment[] = [];
  for (let offset = 0; offset < body.length; ) {
    const head = decodeSegmentHead(body.subarray(offset));
    if (!head) throw unauthentic('a body has an invalid segment');
    const { codec, plainLength, storedLength } = head;
    const start = offset + SEGMENT_HEAD_LENGTH;
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
  if (!/^[0-9a-f]{32}$/.test(id)) throw new RangeError('an id must be 32 hex digits');
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
