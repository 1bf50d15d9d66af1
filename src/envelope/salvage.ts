import { isCofferError } from '../errors.ts';
import { type Chain, firstLink, nextLink } from './chain.ts';
import {
  CHUNK,
  decodeFrameHead,
  decodeHeader,
  decodeSegmentHead,
  decodeStart,
  encodeFrameHead,
  encodeLength,
  FRAME_HEAD_LENGTH,
  type FrameHead,
  HEADER_LENGTH,
  type Header,
  MESSAGE_HEAD_LENGTH,
  plainLengthOf,
  presumeHeader,
  SALT_LENGTH,
  SEGMENT_HEAD_LENGTH,
  type Segment,
  TAG,
  unauthentic,
} from './format.ts';
import type { VaultKey } from './key.ts';
import { openChunkAt } from './seal.ts';
import { frameSecrets, headBelongs, type Secrets } from './secrets.ts';
import { unpackSegment, ZSTD_START } from './segment.ts';

/*
 * What can still be believed of a damaged file. Every chunk is opened by itself, in its own place; one that does not verify
 * is a hole, and no byte of a hole is ever looked at. What is guessed (a flipped bit in a header or head, where the next
 * segment begins) counts only once a commitment, or a chunk's tag, or the whole of a segment proves it.
 */

/** What is left of one frame. */
export interface SalvagedFrame {
  /** Undefined where the frame's first chunk is lost. */
  readonly summary: Buffer | undefined;
  /** The segments in order; undefined stands for one or more that are lost. */
  readonly segments: readonly (Segment | undefined)[];
  /** Every byte of it is what was sealed. */
  readonly intact: boolean;
}

/** What is left of a file. */
export interface Salvaged {
  readonly key: VaultKey;
  /** As it was sealed, whatever stands there now. */
  readonly header: Header;
  readonly frames: readonly SalvagedFrame[];
  /** Bytes behind the last frame that could be found: nothing in them can be opened, as the chain of frames breaks off there. */
  readonly unreached: number;
  /** Every byte of it is what was sealed: nothing is damaged. */
  readonly intact: boolean;
}

/**
 * Finds everything in the bytes of a session's file that verifies with one of `keys`. `fileIds` are ids that the file may
 * have, besides the one in its header. Segments are views of fresh buffers that together are no longer than `bytes`.
 * Throws `UNAUTHENTIC` where not even the first frame can be found.
 */
export function salvage(bytes: Buffer, keys: readonly VaultKey[], fileIds: readonly string[]): Salvaged {
  const first = findFirst(bytes, keys, fileIds);
  if (!first) throw unauthentic('nothing in it verifies with the key of this vault');
  const { key, header } = first;
  const frames: SalvagedFrame[] = [];
  let { chain } = first;
  let rest = bytes.subarray(HEADER_LENGTH);
  for (let head: FrameHead | undefined = first.head; head; head = findHead(key, chain, rest)) {
    frames.push(openPieces(frameSecrets(key, chain, head), head, rest));
    chain = nextLink(chain, encodeFrameHead(head));
    rest = rest.subarray(4 + head.length);
  }
  const isWhole = rest.length === 0 && frames.every((frame) => frame.intact);
  const intact = isWhole && header.equals(bytes.subarray(0, HEADER_LENGTH));
  return { key, header: decodeHeader(header), frames, unreached: rest.length, intact };
}

interface First {
  readonly key: VaultKey;
  readonly header: Buffer;
  readonly chain: Chain;
  readonly head: FrameHead;
}

/** The first frame's head, and the header it proves: as both stand, mended, or with one bit of either turned back. */
function findFirst(bytes: Buffer, keys: readonly VaultKey[], fileIds: readonly string[]): First | undefined {
  const rest = bytes.subarray(HEADER_LENGTH);
  if (rest.length < FRAME_HEAD_LENGTH) return undefined;
  const ids = [undefined, ...fileIds];
  const likely = keys.flatMap((key) => ids.map((id) => ({ key, header: presumeHeader(bytes, key.id, id) })));
  const ways: [typeof likely, typeof findHead][] = [
    [likely, findCommitted],
    [likely.flatMap(({ key, header }) => turned(header, 28, 52).map((header) => ({ key, header }))), findAsItStands],
    [likely, findByChunks],
  ];
  for (const [candidates, find] of ways) {
    for (const { key, header } of candidates) {
      const chain = firstLink(header);
      const head = find(key, chain, rest);
      if (head) return { key, header, chain, head };
    }
  }
  return undefined;
}

/** The head of the frame that belongs at `chain`; undefined where there is none at the start of `rest`, or none left. */
function findHead(key: VaultKey, chain: Chain, rest: Buffer): FrameHead | undefined {
  if (rest.length < FRAME_HEAD_LENGTH) return undefined;
  return findCommitted(key, chain, rest) ?? findByChunks(key, chain, rest);
}

function findAsItStands(key: VaultKey, chain: Chain, rest: Buffer): FrameHead | undefined {
  return asTheyStand(rest).find((head) => headBelongs(key, chain, head));
}

/** The commitment is good: it proves the salt and the length, as they stand, or with one bit turned back. */
function findCommitted(key: VaultKey, chain: Chain, rest: Buffer): FrameHead | undefined {
  const belongs = (head: FrameHead): boolean => headBelongs(key, chain, head);
  const stands = asTheyStand(rest).find(belongs);
  return (
    stands ??
    turned(rest.subarray(0, FRAME_HEAD_LENGTH), 0, 4 + SALT_LENGTH)
      .flatMap(possible)
      .find(belongs)
  );
}

/** Salt and length are good, the commitment is not: any chunk proves them, and the commitment follows from them. */
function findByChunks(key: VaultKey, chain: Chain, rest: Buffer): FrameHead | undefined {
  for (const head of asTheyStand(rest)) {
    const secrets = frameSecrets(key, chain, head);
    if (openChunks(secrets, head, rest).isOpen.includes(true)) return { ...head, commitment: secrets.commitment };
  }
  return undefined;
}

/** The head as it is, and with the length that it has where this frame is the last. */
function asTheyStand(rest: Buffer): FrameHead[] {
  const start = rest.subarray(0, FRAME_HEAD_LENGTH);
  return [start, Buffer.concat([encodeLength(rest.length - 4), start.subarray(4)])].flatMap(possible);
}

/** The head in those bytes, if a frame can have it. */
function possible(start: Buffer): FrameHead[] {
  const head = ifSealed(() => decodeFrameHead(start));
  return head ? [head] : [];
}

/** What `open` gives; undefined where that is not what was sealed. */
function ifSealed<T>(open: () => T): T | undefined {
  try {
    return open();
  } catch (error) {
    if (!isCofferError(error, 'UNAUTHENTIC')) throw error;
    return undefined;
  }
}

/** All that differ from `bytes` in one bit of the bytes between. */
function turned(bytes: Buffer, from: number, to: number): Buffer[] {
  return Array.from({ length: (to - from) * 8 }, (_, bit) => {
    const copy = Buffer.from(bytes);
    const at = from + (bit >> 3);
    copy.writeUInt8(copy.readUInt8(at) ^ (1 << (bit & 7)), at);
    return copy;
  });
}

interface Chunks {
  /** The plaintext as far as the frame goes on, zero where a chunk is lost. */
  readonly plain: Buffer;
  readonly isOpen: readonly boolean[];
}

/** Opens the chunks that are there, each in its place and by itself. */
function openChunks(secrets: Secrets, head: FrameHead, rest: Buffer): Chunks {
  const sealedLength = head.length - MESSAGE_HEAD_LENGTH;
  const sealed = rest.subarray(FRAME_HEAD_LENGTH, FRAME_HEAD_LENGTH + sealedLength);
  const there = Math.ceil(sealed.length / (CHUNK + TAG));
  const plain = Buffer.alloc(Math.min(there * CHUNK, plainLengthOf(head.length)));
  const isOpen: boolean[] = [];
  for (let from = 0; from < sealed.length; from += CHUNK + TAG) {
    const index = isOpen.length;
    // One that the file ends in stays closed: its tag is not where the chunk would end.
    const chunk = ifSealed(() => openChunkAt(secrets, index, sealed.subarray(from, from + CHUNK + TAG)));
    chunk?.copy(plain, index * CHUNK);
    isOpen.push(chunk !== undefined);
  }
  return { plain, isOpen };
}

function openPieces(secrets: Secrets, head: FrameHead, rest: Buffer): SalvagedFrame {
  const { plain, isOpen } = openChunks(secrets, head, rest);
  // What is sealed and yet no start leaves the segments, which may still tell where they are.
  const start = isOpen[0] ? ifSealed(() => decodeStart(plain.subarray(0, CHUNK))) : undefined;
  const segments = new Walk(plain, isOpen, start).segments();
  const isWhole = rest.length >= 4 + head.length && !isOpen.includes(false) && !segments.includes(undefined);
  const intact = isWhole && encodeFrameHead(head).equals(rest.subarray(0, FRAME_HEAD_LENGTH));
  return { summary: start?.summary, segments, intact };
}

/** The way through a frame's body, around its holes. */
class Walk {
  readonly #plain: Buffer;
  readonly #isOpen: readonly boolean[];
  /** Where the body starts and ends; where its start is lost, the end is where the padding begins, and to be found. */
  readonly #from: number | undefined;
  readonly #end: number;

  constructor(plain: Buffer, isOpen: readonly boolean[], start: { start: number; bodyLength: number } | undefined) {
    this.#plain = plain;
    this.#isOpen = isOpen;
    this.#from = start?.start;
    this.#end = start ? start.start + start.bodyLength : plain.length;
  }

  segments(): (Segment | undefined)[] {
    const found: (Segment | undefined)[] = this.#from === undefined ? [undefined] : [];
    for (let at = this.#from ?? this.#nextHead(0); at < this.#end && !this.#isPadding(at); ) {
      const head = this.#headAt(at);
      const segment = head && this.#segmentAt(at, head);
      if (segment || found.at(-1) || found.length === 0) found.push(segment);
      at = head ? at + SEGMENT_HEAD_LENGTH + head.storedLength : this.#nextHead(at);
    }
    return found;
  }

  /** Where the next segment begins behind a head that is lost; the end where none can be found. */
  #nextHead(from: number): number {
    const nextMagic = (at: number): number => this.#plain.indexOf(ZSTD_START, at);
    for (let magic = nextMagic(from + SEGMENT_HEAD_LENGTH); magic !== -1; magic = nextMagic(magic + 1)) {
      const at = magic - SEGMENT_HEAD_LENGTH;
      const head = this.#headAt(at);
      const segment = head?.codec === 1 ? this.#segmentAt(at, head) : undefined;
      if (segment && this.#mayEnd(magic + segment.stored.length)) return at;
    }
    return this.#end;
  }

  /** Only whole and verified, and unpacked to its last byte, a segment is one: lengths alone are easily met by chance. */
  #segmentAt(at: number, head: NonNullable<ReturnType<typeof decodeSegmentHead>>): Segment | undefined {
    const from = at + SEGMENT_HEAD_LENGTH;
    const to = from + head.storedLength;
    if (!this.#isVerified(from, to)) return undefined;
    const segment = { codec: head.codec, plainLength: head.plainLength, stored: this.#plain.subarray(from, to) };
    return ifSealed(() => unpackSegment(segment)) && segment;
  }

  /** Tells whether a segment may end there: the body does, or another head follows, or a hole. */
  #mayEnd(at: number): boolean {
    return at === this.#end || !this.#isVerified(at, at + SEGMENT_HEAD_LENGTH) || this.#headAt(at) !== undefined;
  }

  #headAt(at: number): ReturnType<typeof decodeSegmentHead> {
    const isThere = this.#isVerified(at, at + SEGMENT_HEAD_LENGTH);
    return isThere ? decodeSegmentHead(this.#plain.subarray(at, this.#end)) : undefined;
  }

  /** Where the end of the body is lost: nothing but padding can begin with a head of zeros, or be shorter than a head. */
  #isPadding(at: number): boolean {
    if (this.#from !== undefined) return false;
    return this.#end - at < SEGMENT_HEAD_LENGTH || this.#headAt(at)?.storedLength === 0;
  }

  #isVerified(from: number, to: number): boolean {
    if (to > this.#plain.length) return false;
    return !this.#isOpen.slice(Math.floor(from / CHUNK), Math.ceil(to / CHUNK)).includes(false);
  }
}
