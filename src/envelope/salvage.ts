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
 * Recovers the content of a damaged file that still verifies. Every chunk is opened separately, at
 * its own position; one that does not verify is a hole, and no byte of a hole is ever used. A guess
 * (a flipped bit in a header or head, the start of the next segment) counts only once a commitment,
 * the tag of a chunk or a complete segment confirms it.
 */

/** The recovered part of one frame. */
export interface SalvagedFrame {
  /** The summary; undefined if the frame's first chunk is lost. */
  readonly summary: Buffer | undefined;
  /** The segments in order; undefined stands for one or more lost segments. */
  readonly segments: readonly (Segment | undefined)[];
  /** Whether every byte of the frame is as it was sealed. */
  readonly intact: boolean;
}

/** The recovered part of a file. */
export interface Salvaged {
  readonly key: VaultKey;
  /** The header as it was sealed, which may differ from the one in the file now. */
  readonly header: Header;
  readonly frames: readonly SalvagedFrame[];
  /**
   * The number of bytes after the last frame that was found. None of them can be opened, because
   * the chain of frames breaks there.
   */
  readonly unreached: number;
  /** Whether every byte of the file is as it was sealed, that is, nothing is damaged. */
  readonly intact: boolean;
}

/**
 * Returns everything in the bytes of a session's file that verifies with one of `keys`. `fileIds`
 * are ids that the file may have apart from the one in its header. Segments are views of fresh
 * buffers that together are no longer than `bytes`. Throws `UNAUTHENTIC` if not even the first
 * frame can be found.
 */
export function salvage(bytes: Buffer, keys: readonly VaultKey[], fileIds: readonly string[]): Salvaged {
  const first = findFirst(bytes, keys, fileIds);
  if (!first) throw unauthentic('nothing in it verifies with the key of this vault');
  const { key, header } = first;
  const frames: SalvagedFrame[] = [];
  let { chain } = first;
  let rest = bytes.subarray(HEADER_LENGTH);
  for (let head: FrameHead | undefined = first.head; head; head = findHead(key, chain, rest)) {
    frames.push(openRecoverable(frameSecrets(key, chain, head), head, rest));
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

/**
 * Returns the head of the first frame and the header that it confirms: both as they are in the
 * file, repaired, or with one bit of either flipped back.
 */
function findFirst(bytes: Buffer, keys: readonly VaultKey[], fileIds: readonly string[]): First | undefined {
  const rest = bytes.subarray(HEADER_LENGTH);
  if (rest.length < FRAME_HEAD_LENGTH) return undefined;
  const ids = [undefined, ...fileIds];
  const presumed = keys.flatMap((key) => ids.map((id) => ({ key, header: presumeHeader(bytes, key.id, id) })));
  const attempts: [typeof presumed, typeof findHead][] = [
    [presumed, findCommitted],
    [presumed.flatMap(({ key, header }) => bitFlips(header, 28, 52).map((header) => ({ key, header }))), findUnchanged],
    [presumed, findByChunks],
  ];
  for (const [candidates, find] of attempts) {
    for (const { key, header } of candidates) {
      const chain = firstLink(header);
      const head = find(key, chain, rest);
      if (head) return { key, header, chain, head };
    }
  }
  return undefined;
}

/**
 * Returns the head of the frame that belongs at `chain`; undefined if there is none at the start of
 * `rest`, or none that can be recovered.
 */
function findHead(key: VaultKey, chain: Chain, rest: Buffer): FrameHead | undefined {
  if (rest.length < FRAME_HEAD_LENGTH) return undefined;
  return findCommitted(key, chain, rest) ?? findByChunks(key, chain, rest);
}

function findUnchanged(key: VaultKey, chain: Chain, rest: Buffer): FrameHead | undefined {
  return presumedHeads(rest).find((head) => headBelongs(key, chain, head));
}

/**
 * Finds the head if its commitment is intact: it confirms the salt and the length, as they are or
 * with one bit flipped back.
 */
function findCommitted(key: VaultKey, chain: Chain, rest: Buffer): FrameHead | undefined {
  const belongs = (head: FrameHead): boolean => headBelongs(key, chain, head);
  const unchanged = presumedHeads(rest).find(belongs);
  return (
    unchanged ??
    bitFlips(rest.subarray(0, FRAME_HEAD_LENGTH), 0, 4 + SALT_LENGTH)
      .flatMap(decodeIfPossible)
      .find(belongs)
  );
}

/**
 * Finds the head if salt and length are intact but the commitment isn't: any chunk confirms them,
 * and the commitment follows from them.
 */
function findByChunks(key: VaultKey, chain: Chain, rest: Buffer): FrameHead | undefined {
  for (const head of presumedHeads(rest)) {
    const secrets = frameSecrets(key, chain, head);
    if (openChunks(secrets, head, rest).isOpen.includes(true)) return { ...head, commitment: secrets.commitment };
  }
  return undefined;
}

/** Returns the head as it is, and with the length that it must have if this frame is the last. */
function presumedHeads(rest: Buffer): FrameHead[] {
  const start = rest.subarray(0, FRAME_HEAD_LENGTH);
  return [start, Buffer.concat([encodeLength(rest.length - 4), start.subarray(4)])].flatMap(decodeIfPossible);
}

/** Returns the head in `start`, or nothing if no frame can have such a head. */
function decodeIfPossible(start: Buffer): FrameHead[] {
  const head = ifAuthentic(() => decodeFrameHead(start));
  return head ? [head] : [];
}

/** Returns the result of `open`, or undefined if it throws `UNAUTHENTIC`. */
function ifAuthentic<T>(open: () => T): T | undefined {
  try {
    return open();
  } catch (error) {
    if (!isCofferError(error, 'UNAUTHENTIC')) throw error;
    return undefined;
  }
}

/** Returns every copy of `bytes` with one bit flipped in the bytes from `from` to `to`. */
function bitFlips(bytes: Buffer, from: number, to: number): Buffer[] {
  return Array.from({ length: (to - from) * 8 }, (_, bit) => {
    const copy = Buffer.from(bytes);
    const at = from + (bit >> 3);
    copy.writeUInt8(copy.readUInt8(at) ^ (1 << (bit & 7)), at);
    return copy;
  });
}

interface Chunks {
  /** The plaintext up to where the frame breaks off, zeros where a chunk is lost. */
  readonly plain: Buffer;
  readonly isOpen: readonly boolean[];
}

/** Opens the chunks that are present, each separately and at its own position. */
function openChunks(secrets: Secrets, head: FrameHead, rest: Buffer): Chunks {
  const sealedLength = head.length - MESSAGE_HEAD_LENGTH;
  const sealed = rest.subarray(FRAME_HEAD_LENGTH, FRAME_HEAD_LENGTH + sealedLength);
  const present = Math.ceil(sealed.length / (CHUNK + TAG));
  const plain = Buffer.alloc(Math.min(present * CHUNK, plainLengthOf(head.length)));
  const isOpen: boolean[] = [];
  for (let from = 0; from < sealed.length; from += CHUNK + TAG) {
    const index = isOpen.length;
    // A chunk that is cut off by the end of the file fails: its tag isn't where the chunk should
    // end.
    const chunk = ifAuthentic(() => openChunkAt(secrets, index, sealed.subarray(from, from + CHUNK + TAG)));
    chunk?.copy(plain, index * CHUNK);
    isOpen.push(chunk !== undefined);
  }
  return { plain, isOpen };
}

function openRecoverable(secrets: Secrets, head: FrameHead, rest: Buffer): SalvagedFrame {
  const { plain, isOpen } = openChunks(secrets, head, rest);
  // If the start of the plaintext is authentic but invalid, the segments may still be found.
  const start = isOpen[0] ? ifAuthentic(() => decodeStart(plain.subarray(0, CHUNK))) : undefined;
  const segments = new SegmentFinder(plain, isOpen, start).segments();
  const isWhole = rest.length >= 4 + head.length && !isOpen.includes(false) && !segments.includes(undefined);
  const intact = isWhole && encodeFrameHead(head).equals(rest.subarray(0, FRAME_HEAD_LENGTH));
  return { summary: start?.summary, segments, intact };
}

/** Finds the segments of a frame's body, skipping its holes. */
class SegmentFinder {
  readonly #plain: Buffer;
  readonly #isOpen: readonly boolean[];
  /**
   * The offsets of the body. If its start is lost, `#from` is undefined and `#end` is the end of
   * the plaintext, padding included.
   */
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

  /**
   * Returns the offset of the next segment after a head that is lost, or the end if none is found.
   */
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

  /**
   * Returns the segment only if it is complete, verified and unpacks to its last byte: lengths
   * alone easily match by chance.
   */
  #segmentAt(at: number, head: NonNullable<ReturnType<typeof decodeSegmentHead>>): Segment | undefined {
    const from = at + SEGMENT_HEAD_LENGTH;
    const to = from + head.storedLength;
    if (!this.#isVerified(from, to)) return undefined;
    const segment = { codec: head.codec, plainLength: head.plainLength, stored: this.#plain.subarray(from, to) };
    return ifAuthentic(() => unpackSegment(segment)) && segment;
  }

  /**
   * Returns whether a segment may end at `at`: at the end of the body, before another head or
   * before a hole.
   */
  #mayEnd(at: number): boolean {
    return at === this.#end || !this.#isVerified(at, at + SEGMENT_HEAD_LENGTH) || this.#headAt(at) !== undefined;
  }

  #headAt(at: number): ReturnType<typeof decodeSegmentHead> {
    const isThere = this.#isVerified(at, at + SEGMENT_HEAD_LENGTH);
    return isThere ? decodeSegmentHead(this.#plain.subarray(at, this.#end)) : undefined;
  }

  /**
   * Returns whether the padding starts at `at`, if the end of the body is lost: only padding begins
   * with a head of zeros or is shorter than a head.
   */
  #isPadding(at: number): boolean {
    if (this.#from !== undefined) return false;
    return this.#end - at < SEGMENT_HEAD_LENGTH || this.#headAt(at)?.storedLength === 0;
  }

  #isVerified(from: number, to: number): boolean {
    if (to > this.#plain.length) return false;
    return !this.#isOpen.slice(Math.floor(from / CHUNK), Math.ceil(to / CHUNK)).includes(false);
  }
}
