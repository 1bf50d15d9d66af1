import { constants, type ZstdOptions, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { MAX_PLAIN, type Segment, tooLarge, unauthentic } from './format.ts';

/**
 * The four bytes that every zstd frame begins with. They aren't valid UTF-8, so stored events never
 * contain them.
 */
export const ZSTD_START: Buffer = Buffer.from('28b52ffd', 'hex');

/**
 * Packs lines into a segment: zstd level 3 if that is smaller, else the bytes as they are. In that
 * case the segment is a view of `lines`, which must not change until it is sealed. Throws
 * `NOT_SAVED` above 512 MiB.
 */
export function packSegment(lines: Uint8Array): Segment {
  if (lines.length > MAX_PLAIN) throw tooLarge();
  return smaller(lines, zstdCompressSync(lines, { ...LEVEL, pledgedSrcSize: lines.length }));
}

/**
 * Creates an uncompressed segment, which is a view of `lines`. Throws `NOT_SAVED` above 512 MiB.
 */
export function storeSegment(lines: Uint8Array): Segment {
  if (lines.length > MAX_PLAIN) throw tooLarge();
  const stored = Buffer.from(lines.buffer, lines.byteOffset, lines.byteLength);
  return { codec: 0, plainLength: lines.length, stored };
}

/** Compresses with zstd off the main thread: Node's `zstdCompress` as a promise. */
export type CompressAside = (lines: Uint8Array, options: ZstdOptions) => Promise<Buffer>;

/** Like {@link packSegment}, but compresses off the main thread. */
export async function packSegmentAside(lines: Uint8Array, compress: CompressAside): Promise<Segment> {
  if (lines.length > MAX_PLAIN) throw tooLarge();
  return smaller(lines, await compress(lines, { ...LEVEL, chunkSize: OUTPUT_BUFFER, pledgedSrcSize: lines.length }));
}

/**
 * Returns a segment's lines, a view of it if it is uncompressed. Never allocates more than the
 * length that the segment states, which is checked against the limit first. Throws `UNAUTHENTIC`
 * unless exactly that many bytes come out and no input is left over.
 */
export function unpackSegment(segment: Segment): Buffer {
  const { codec, plainLength, stored } = segment;
  if (plainLength > MAX_PLAIN) throw unauthentic('a segment has an impossible length');
  const lines = codec === 0 ? stored : decompress(stored, plainLength);
  if (lines.length !== plainLength) throw unauthentic('a segment is not as long as it says');
  return lines;
}

/**
 * Splits lines into pieces of at most `limit` bytes, only at line ends: a longer line is a piece of
 * its own. The pieces are views of `lines`, in order and without gaps.
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

/**
 * The size of the output buffer, in bytes: a compressed mebibyte of lines fits at once. Every
 * further piece of output costs another round trip to the other thread.
 */
const OUTPUT_BUFFER = 512 * 1024;

/**
 * An empty zstd frame that Node 24 appends to a frame that exactly fills the memory it first gave
 * zstd (a multiple of 16 KiB). It is cut off before sealing; the first versions of coffer did not
 * know about it and sealed it too.
 */
const EMPTY_FRAME = Buffer.from('28b52ffd2000010000', 'hex');

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

/**
 * Decompresses one zstd frame, followed by nothing or by Node's empty frame: some versions of Node
 * silently stop after the first frame, others continue.
 */
function decompress(stored: Buffer, plainLength: number): Buffer {
  let end: number;
  let lines: Buffer;
  try {
    end = endOfZstdFrame(stored);
    // All at once instead of joining pieces: a quarter faster. One byte more, so that zstd detects
    // the end.
    const chunkSize = Math.max(16 * 1024, Math.min(plainLength, 1024 * 1024) + 1);
    lines = zstdDecompressSync(stored.subarray(0, end), { chunkSize, maxOutputLength: Math.max(1, plainLength) });
  } catch (cause) {
    throw unauthentic('a segment does not decompress', { cause });
  }
  const rest = stored.subarray(end);
  if (rest.length > 0 && !rest.equals(EMPTY_FRAME)) throw unauthentic('a segment has trailing bytes');
  return lines;
}

/**
 * Returns the offset at which the zstd frame at the start of `bytes` ends (RFC 8878, section
 * 3.1.1). Throws RangeError if it is cut off.
 */
function endOfZstdFrame(bytes: Buffer): number {
  if (!bytes.subarray(0, 4).equals(ZSTD_START)) throw new RangeError('not a zstd frame');
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
