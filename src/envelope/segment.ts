import { constants, type ZstdOptions, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { MAX_PLAIN, type Segment, tooLarge, unauthentic } from './format.ts';

/** The four bytes that every zstd frame begins with. They are not UTF-8, so that no stored events have them. */
export const ZSTD_START: Buffer = Buffer.from('28b52ffd', 'hex');

/**
 * Packs lines into a segment: zstd level 3 where that is smaller, else the bytes as they are, and then the segment is
 * a view of `lines`, which must not change until it is sealed. Throws `NOT_SAVED` above 512 MiB.
 */
export function packSegment(lines: Uint8Array): Segment {
  if (lines.length > MAX_PLAIN) throw tooLarge();
  return smaller(lines, zstdCompressSync(lines, { ...LEVEL, pledgedSrcSize: lines.length }));
}

/** Makes a segment of lines as they are, a view of them. Throws `NOT_SAVED` above 512 MiB. */
export function storeSegment(lines: Uint8Array): Segment {
  if (lines.length > MAX_PLAIN) throw tooLarge();
  const stored = Buffer.from(lines.buffer, lines.byteOffset, lines.byteLength);
  return { codec: 0, plainLength: lines.length, stored };
}

/** Compresses by zstd somewhere else than here: Node's `zstdCompress`, made a promise. */
export type CompressAside = (lines: Uint8Array, options: ZstdOptions) => Promise<Buffer>;

/** Does what {@link packSegment} does, off the main thread. */
export async function packSegmentAside(lines: Uint8Array, compress: CompressAside): Promise<Segment> {
  if (lines.length > MAX_PLAIN) throw tooLarge();
  return smaller(lines, await compress(lines, { ...LEVEL, chunkSize: ROOM, pledgedSrcSize: lines.length }));
}

/**
 * Gives a segment's lines; of a stored segment they are a view. Never allocates more than the length that the segment
 * names, which is bounded first. Throws `UNAUTHENTIC` unless exactly that many bytes come out and none are left over.
 */
export function unpackSegment(segment: Segment): Buffer {
  const { codec, plainLength, stored } = segment;
  if (plainLength > MAX_PLAIN) throw unauthentic('a segment has an impossible length');
  const lines = codec === 0 ? stored : decompress(stored, plainLength);
  if (lines.length !== plainLength) throw unauthentic('a segment is not as long as it says');
  return lines;
}

/**
 * Cuts lines into pieces of at most `limit` bytes, at line ends only: a line longer than that is a piece by itself.
 * The pieces are views of `lines`, in order and without gaps.
 */
export function cutSegments(lines: Uint8Array, limit: number = 1024 * 1024): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let start = 0; start < lines.length; ) {
    const end = endOfPiece(lines, start, limit);
    pieces.push(lines.subarray(start, end));
    start = end;
  }
  return pieces;
}

/** What a mebibyte of lines shrinks to fits at once: each piece of output is one more way to the other thread and back. */
const ROOM = 512 * 1024;

/**
 * An empty zstd frame, which Node 24 puts behind one that exactly fills the memory it gave zstd at once (a multiple of 16 KiB). It is
 * cut off before anything is sealed; the first writers did not know of it, and sealed it too.
 */
const LEFT_BEHIND = Buffer.from('28b52ffd2000010000', 'hex');

const LEVEL = { params: { [constants.ZSTD_c_compressionLevel]: 3 } };

function smaller(lines: Uint8Array, output: Buffer): Segment {
  const packed = output.subarray(0, endOfZstdFrame(output));
  if (packed.length < lines.length) return { codec: 1, plainLength: lines.length, stored: packed };
  return storeSegment(lines);
}

function endOfPiece(lines: Uint8Array, start: number, limit: number): number {
  if (lines.length - start <= limit) return lines.length;
  const last = lines.subarray(start, start + limit).lastIndexOf(LINE_FEED);
  if (last !== -1) return start + last + 1;
  const first = lines.indexOf(LINE_FEED, start + limit);
  return first === -1 ? lines.length : first + 1;
}

/** One zstd frame and nothing behind it but what Node left there: some versions of it stop after the first without a word, others go on. */
function decompress(stored: Buffer, plainLength: number): Buffer {
  let end: number;
  let lines: Buffer;
  try {
    end = endOfZstdFrame(stored);
    // All of it at once, not pieces to be joined: a quarter faster. One byte more, so that the end is seen as one.
    const chunkSize = Math.max(16 * 1024, Math.min(plainLength, 1024 * 1024) + 1);
    lines = zstdDecompressSync(stored.subarray(0, end), { chunkSize, maxOutputLength: Math.max(1, plainLength) });
  } catch (cause) {
    throw unauthentic('a segment does not decompress', { cause });
  }
  const rest = stored.subarray(end);
  if (rest.length > 0 && !rest.equals(LEFT_BEHIND)) throw unauthentic('a segment goes on behind its end');
  return lines;
}

/** Where the zstd frame at the start of some bytes ends (RFC 8878, section 3.1.1). Throws RangeError where they end before. */
function endOfZstdFrame(bytes: Buffer): number {
  if (!bytes.subarray(0, 4).equals(ZSTD_START)) throw new RangeError('no zstd frame');
  const descriptor = bytes.readUInt8(4);
  const isSingle = (descriptor >> 5) & 1;
  const sizeFlag = descriptor >> 6;
  const dictionary = (1 << (descriptor & 3)) >> 1;
  const contentSize = sizeFlag === 0 ? isSingle : 1 << sizeFlag;
  const checksum = (descriptor & 4) === 0 ? 0 : 4;
  let offset = 5 + (1 - isSingle) + dictionary + contentSize;
  for (let isLast = 0; isLast === 0; ) {
    const header = bytes.readUIntLE(offset, 3);
    const isRepeated = ((header >> 1) & 3) === 1;
    offset += 3 + (isRepeated ? 1 : header >> 3);
    isLast = header & 1;
  }
  return offset + checksum;
}

const LINE_FEED = 10;
