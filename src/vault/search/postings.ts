/*
 * An index from trigrams to the documents that contain them. A trigram is three consecutive bytes
 * of a text in UTF-8, as a number of 24 bits; a document is identified by its place. Sorted
 * trigrams are divided into shards of some kilobytes, so that looking one up takes few bytes.
 *
 * A shard is a sequence of entries: the distance of the trigram from the previous one (of the first
 * from the shard's first trigram), the number of bytes that follow, and these bytes. No bytes mean
 * every document; as many as a bitmap of all documents are such a bitmap; fewer are the places of
 * the documents, each as its distance from the previous one minus one. Numbers are varints: seven
 * bits a byte, low bits first, the top bit set if more follow.
 */

/** Approximate size of a shard in bytes: packed, it fits one chunk of a sealed file. */
const SHARD = 16 * 1024;

/** One piece of the index: its first trigram, and its bytes. */
export interface Shard {
  readonly first: number;
  readonly bytes: Buffer;
}

/**
 * Builds the shards for documents, given in order of their places. The trigrams of a document are
 * distinct, in any order.
 */
export function shardsOf(documents: readonly Uint32Array[]): Shard[] {
  const { trigrams, places } = sorted(documents);
  const shards: Shard[] = [];
  let entries: number[] = [];
  let first = 0;
  let before = 0;
  for (let from = 0, to = 0; from < trigrams.length; from = to) {
    const trigram = trigrams[from] ?? 0;
    while (to < trigrams.length && trigrams[to] === trigram) to++;
    if (entries.length >= SHARD) {
      shards.push({ first, bytes: Buffer.from(entries) });
      entries = [];
    }
    if (entries.length === 0) first = before = trigram;
    putNumber(entries, trigram - before);
    putDocuments(entries, places.subarray(from, to), documents.length);
    before = trigram;
  }
  if (entries.length > 0) shards.push({ first, bytes: Buffer.from(entries) });
  return shards;
}

/**
 * Removes the documents that lack a trigram from `among`, a bitmap of `count` documents. `shard` is
 * the last one whose first trigram is not above `trigram`.
 */
export function keepThoseWith(among: Uint8Array, shard: Shard, trigram: number, count: number): void {
  const { bytes } = shard;
  let current = shard.first;
  for (const at = { offset: 0 }; at.offset < bytes.length && current <= trigram; ) {
    current += takeNumber(bytes, at);
    const length = takeNumber(bytes, at);
    const end = at.offset + length;
    if (current === trigram) {
      const found = documentsIn(bytes.subarray(at.offset, end), count);
      for (let index = 0; index < among.length; index++) among[index] = (among[index] ?? 0) & (found[index] ?? 0);
      return;
    }
    at.offset = end;
  }
  among.fill(0);
}

/** Returns a bitmap with all documents in it. */
export function allOf(count: number): Uint8Array {
  return new Uint8Array(Math.ceil(count / 8)).fill(255);
}

/** Tells whether a document is in a bitmap. */
export function isIn(documents: Uint8Array, place: number): boolean {
  return (((documents[place >> 3] ?? 0) >> (place & 7)) & 1) === 1;
}

/**
 * Returns all pairs of trigram and place, ordered by trigram, then place: a radix sort by the low
 * twelve bits, then the high twelve.
 */
function sorted(documents: readonly Uint32Array[]): { trigrams: Uint32Array; places: Uint32Array } {
  const total = documents.reduce((sum, { length }) => sum + length, 0);
  let [trigrams, places] = [new Uint32Array(total), new Uint32Array(total)];
  let filled = 0;
  for (const [place, own] of documents.entries()) {
    trigrams.set(own, filled);
    places.fill(place, filled, filled + own.length);
    filled += own.length;
  }
  for (const shift of [0, 12]) {
    const starts = new Uint32Array(4097);
    for (const trigram of trigrams) starts[((trigram >> shift) & 0xfff) + 1]!++;
    for (let digit = 1; digit < starts.length; digit++) starts[digit]! += starts[digit - 1] ?? 0;
    const [nextTrigrams, nextPlaces] = [new Uint32Array(total), new Uint32Array(total)];
    for (let index = 0; index < total; index++) {
      const trigram = trigrams[index] ?? 0;
      const to = starts[(trigram >> shift) & 0xfff]!++;
      nextTrigrams[to] = trigram;
      nextPlaces[to] = places[index] ?? 0;
    }
    [trigrams, places] = [nextTrigrams, nextPlaces];
  }
  return { trigrams, places };
}

function putDocuments(entries: number[], places: Uint32Array, count: number): void {
  if (places.length === count) {
    entries.push(0);
    return;
  }
  const bitmapLength = Math.ceil(count / 8);
  const list: number[] = [];
  let before = -1;
  for (const place of places) {
    putNumber(list, place - before - 1);
    before = place;
    if (list.length >= bitmapLength) break;
  }
  const bytes = list.length < bitmapLength ? list : bitmapOf(places, bitmapLength);
  putNumber(entries, bytes.length);
  for (const byte of bytes) entries.push(byte);
}

function bitmapOf(places: Uint32Array, length: number): Uint8Array {
  const bitmap = new Uint8Array(length);
  for (const place of places) bitmap[place >> 3]! |= 1 << (place & 7);
  return bitmap;
}

function documentsIn(bytes: Buffer, count: number): Uint8Array {
  if (bytes.length === 0) return allOf(count);
  const bitmapLength = Math.ceil(count / 8);
  if (bytes.length >= bitmapLength) return bytes;
  const bitmap = new Uint8Array(bitmapLength);
  const at = { offset: 0 };
  for (let place = -1; at.offset < bytes.length; ) {
    place += takeNumber(bytes, at) + 1;
    if (place < count) bitmap[place >> 3]! |= 1 << (place & 7);
  }
  return bitmap;
}

function putNumber(bytes: number[], number: number): void {
  let rest = number;
  for (; rest > 127; rest >>>= 7) bytes.push((rest & 127) | 128);
  bytes.push(rest);
}

function takeNumber(bytes: Buffer, at: { offset: number }): number {
  let number = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at.offset++] ?? 0;
    number |= (byte & 127) << shift;
    if (byte < 128 || shift > 21) return number >>> 0;
  }
}
