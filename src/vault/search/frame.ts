import { type Chain, nextLink } from '../../envelope/chain.ts';
import {
  CHUNK,
  decodeFrameHead,
  decodeSegmentHead,
  decodeStart,
  FRAME_HEAD_LENGTH,
  plainLengthOf,
  SEGMENT_HEAD_LENGTH,
  type Segment,
  TAG,
  unauthentic,
} from '../../envelope/format.ts';
import type { VaultKey } from '../../envelope/key.ts';
import { openChunkAt, type SealedFrame, sealFrame } from '../../envelope/seal.ts';
import { checkedSecrets, type Secrets } from '../../envelope/secrets.ts';
import { packSegment, unpackSegment } from '../../envelope/segment.ts';
import type { Reader } from '../../files/reader.ts';
import type { FileState } from '../../files/replace/cache.ts';
import { allOf, keepThoseWith, type Shard, shardsOf } from './postings.ts';

/*
 * A frame of `texts` records which trigrams some files contain. Its segments: the table of files,
 * the directory of shards, and the shards. A shard is opened on its own: only the chunks that it
 * lies in are read and decrypted.
 */

/** A file as it was when its trigrams were gathered. */
export interface TextFile extends FileState {
  readonly fileId: string;
}

/**
 * Summary with the version of the content; any other version is ignored. A full frame takes no more
 * files.
 */
const SCHEMA = '{"texts":2,"full":false}';
const FULL = '{"texts":2,"full":true}';

/** Bytes of a file in the table: its id, and four doubles. */
const ROW = 16 + 4 * 8;
/** Bytes of a shard in the directory: its first trigram, and its offset after the directory. */
const ENTRY = 8;

/**
 * Seals the table and the trigrams of some files as the frame that belongs at `chain`. `trigrams`
 * are in the order of `files`; `full`: the frame takes no more files.
 */
export function sealTexts(
  key: VaultKey,
  chain: Chain,
  files: readonly TextFile[],
  trigrams: readonly Uint32Array[],
  full = false,
): SealedFrame {
  const shards = shardsOf(trigrams);
  const packed = shards.map(({ bytes }) => packSegment(bytes));
  const directory = Buffer.alloc(shards.length * ENTRY);
  let offset = 0;
  for (const [index, { first }] of shards.entries()) {
    directory.writeUInt32BE(first, index * ENTRY);
    directory.writeUInt32BE(offset, index * ENTRY + 4);
    offset += SEGMENT_HEAD_LENGTH + (packed[index]?.stored.length ?? 0);
  }
  const table = Buffer.concat(files.map(encodeRow));
  const segments = [packSegment(table), packSegment(directory), ...packed];
  return sealFrame(key, chain, { summary: Buffer.from(full ? FULL : SCHEMA), segments });
}

/**
 * A frame of `texts`, read and decrypted in parts, on demand. Throws `UNAUTHENTIC` for anything
 * that was not sealed in this very place.
 */
export class TextFrame {
  readonly files: readonly TextFile[];
  readonly isFull: boolean;
  /** Offset of its end in the file, and the chain that the next frame continues. */
  readonly end: number;
  readonly next: Chain;
  readonly #plain: Plain;
  readonly #directory: Buffer;
  readonly #shards: number;
  readonly #start: number;

  /**
   * Opens the frame that belongs at `chain`, starting at `offset`. `reader` must stay open as long
   * as {@link filesWith} is called.
   */
  constructor(reader: Reader, key: VaultKey, chain: Chain, offset: number) {
    const start = reader.at(offset, FRAME_HEAD_LENGTH);
    const head = decodeFrameHead(start);
    const secrets = checkedSecrets(key, chain, head);
    this.end = offset + 4 + head.length;
    if (this.end > reader.stamp.size) throw unauthentic('it ends inside a frame');
    this.next = nextLink(chain, start);
    const length = plainLengthOf(head.length);
    this.#plain = new Plain(reader, secrets, offset + FRAME_HEAD_LENGTH, length);
    const { summary, start: body } = decodeStart(this.#plain.at(0, Math.min(length, CHUNK)));
    this.isFull = summary.toString() === FULL;
    if (!this.isFull && summary.toString() !== SCHEMA) throw unauthentic('its content is of another version');
    this.#start = body;
    const table = this.#plain.segment(body);
    const directory = this.#plain.segment(table.end);
    this.files = decodeTable(table.lines);
    this.#directory = directory.lines;
    this.#shards = directory.end;
  }

  /** Returns the files that have all of these trigrams, as a bitmap of {@link files}. */
  filesWith(trigrams: Iterable<number>): Uint8Array {
    const found = allOf(this.files.length);
    for (const trigram of trigrams) {
      const shard = this.#shardOf(trigram);
      if (shard) keepThoseWith(found, shard, trigram, this.files.length);
      else found.fill(0);
      if (found.every((eight) => eight === 0)) break;
    }
    return found;
  }

  /** Seals the same content as the frame that belongs at another place. */
  resealed(key: VaultKey, chain: Chain): SealedFrame {
    const segments: Segment[] = [];
    const count = 2 + this.#directory.length / ENTRY;
    for (let from = this.#start; segments.length < count; ) {
      const { segment, end } = this.#plain.stored(from);
      segments.push(segment);
      from = end;
    }
    return sealFrame(key, chain, { summary: Buffer.from(this.isFull ? FULL : SCHEMA), segments });
  }

  #shardOf(trigram: number): Shard | undefined {
    let [low, high] = [0, this.#directory.length / ENTRY];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#directory.readUInt32BE(middle * ENTRY) <= trigram) low = middle + 1;
      else high = middle;
    }
    if (low === 0) return undefined;
    const at = (low - 1) * ENTRY;
    const { lines } = this.#plain.segment(this.#shards + this.#directory.readUInt32BE(at + 4));
    return { first: this.#directory.readUInt32BE(at), bytes: lines };
  }
}

/** The plaintext of a frame; only the chunks that are read are decrypted. */
class Plain {
  readonly #reader: Reader;
  readonly #secrets: Secrets;
  readonly #offset: number;
  readonly #length: number;
  readonly #chunks = new Map<number, Buffer>();

  constructor(reader: Reader, secrets: Secrets, offset: number, length: number) {
    this.#reader = reader;
    this.#secrets = secrets;
    this.#offset = offset;
    this.#length = length;
  }

  at(from: number, to: number): Buffer {
    if (to > this.#length) throw unauthentic('a frame ends inside its body');
    const pieces: Buffer[] = [];
    for (let start = from; start < to; ) {
      const index = Math.floor(start / CHUNK);
      const piece = this.#chunk(index).subarray(start - index * CHUNK, to - index * CHUNK);
      pieces.push(piece);
      start += piece.length;
    }
    return pieces.length === 1 ? (pieces[0] ?? Buffer.alloc(0)) : Buffer.concat(pieces);
  }

  segment(from: number): { lines: Buffer; end: number } {
    const { segment, end } = this.stored(from);
    return { lines: unpackSegment(segment), end };
  }

  stored(from: number): { segment: Segment; end: number } {
    const start = from + SEGMENT_HEAD_LENGTH;
    const head = decodeSegmentHead(this.at(from, start), Number.POSITIVE_INFINITY);
    if (!head) throw unauthentic('a body has an invalid segment');
    const end = start + head.storedLength;
    return { segment: { ...head, stored: this.at(start, end) }, end };
  }

  #chunk(index: number): Buffer {
    const known = this.#chunks.get(index);
    if (known) return known;
    const length = Math.min(CHUNK, this.#length - index * CHUNK) + TAG;
    const chunk = openChunkAt(this.#secrets, index, this.#reader.at(this.#offset + index * (CHUNK + TAG), length));
    this.#chunks.set(index, chunk);
    return chunk;
  }
}

function encodeRow({ fileId, ino, size, mtimeMs, ctimeMs }: TextFile): Buffer {
  const row = Buffer.alloc(ROW);
  row.write(fileId, 'hex');
  for (const [index, number] of [ino, size, mtimeMs, ctimeMs].entries()) row.writeDoubleBE(number, 16 + index * 8);
  return row;
}

/** Uses a DataView: Buffer's own methods take four times as long for a double. */
function decodeTable(table: Buffer): TextFile[] {
  const view = new DataView(table.buffer, table.byteOffset, table.length);
  return Array.from({ length: Math.floor(table.length / ROW) }, (_, index) => {
    const at = index * ROW;
    const [ino, size] = [view.getFloat64(at + 16), view.getFloat64(at + 24)];
    const [mtimeMs, ctimeMs] = [view.getFloat64(at + 32), view.getFloat64(at + 40)];
    return { fileId: table.toString('hex', at, at + 16), ino, size, mtimeMs, ctimeMs };
  });
}
