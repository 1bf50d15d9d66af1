import crypto, { createHash } from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  type Content,
  decodeSegmentHead,
  FRAME_HEAD_LENGTH,
  HEADER_LENGTH,
  type Segment,
} from '../../src/envelope/format.ts';
import type { VaultKey } from '../../src/envelope/key.ts';
import { type Salvaged, salvage } from '../../src/envelope/salvage.ts';
import { sealMessage } from '../../src/envelope/seal.ts';
import { frameSecrets } from '../../src/envelope/secrets.ts';
import { cutSegments, packSegment, unpackSegment } from '../../src/envelope/segment.ts';
import { contentOf, expectRefusal, keyOf, SealedFile } from './support.ts';

const key = keyOf('salvage');
const SEALED_CHUNK = 16_400;

/** Returns events of `size` bytes each that do not compress well, the same in every run. */
function eventsOf(from: number, count: number, size: number): Buffer {
  const lines = Array.from({ length: count }, (_, index) => {
    const id = from + index;
    const noise = Array.from({ length: Math.ceil(size / 88) }, (_, part) =>
      createHash('sha512').update(`${id} ${part}`).digest('base64'),
    );
    return `{"id":${id},"text":"${noise.join('')}"}\n`;
  });
  return Buffer.from(lines.join(''));
}

function summaryOf(last: number): Buffer {
  return Buffer.from(JSON.stringify({ lastEvent: last }));
}

/** Returns one frame with a segment per `limit` bytes. */
function folded(count: number, size: number, limit: number): Content {
  const segments = cutSegments(eventsOf(1, count, size), limit).map(packSegment);
  return { summary: summaryOf(count), segments };
}

function bytesOf(file: SealedFile): Buffer {
  return Buffer.concat([file.header, ...file.frames]);
}

/** Returns the ids of the events in segments. Every line must parse. */
function idsIn(segments: readonly (Segment | undefined)[]): number[] {
  const lines = segments.flatMap((segment) => (segment ? unpackSegment(segment).toString().split('\n') : []));
  return lines.filter((line) => line !== '').map((line) => (JSON.parse(line) as { id: number }).id);
}

function idsOf(found: Salvaged): number[] {
  return found.frames.flatMap((frame) => idsIn(frame.segments));
}

/** Returns the lines, to check that only sealed ones come back, once each and in order. */
function linesOf(found: Salvaged): string[] {
  const segments = found.frames.flatMap((frame) => frame.segments);
  return segments.flatMap((segment) => (segment ? unpackSegment(segment).toString().split('\n').slice(0, -1) : []));
}

function expectPartOf(found: Salvaged, original: Salvaged): void {
  const all = linesOf(original);
  let at = -1;
  for (const line of linesOf(found)) {
    const next = all.indexOf(line, at + 1);
    expect(next).toBeGreaterThan(at);
    at = next;
  }
}

function flip(bytes: Buffer, ...bits: number[]): Buffer {
  const changed = Buffer.from(bytes);
  for (const bit of bits) changed[bit >> 3]! ^= 1 << (bit & 7);
  return changed;
}

function tryOut(bytes: Buffer, ids: readonly string[] = [], keys: readonly VaultKey[] = [key]): Salvaged {
  return salvage(bytes, keys, ids);
}

/** Yields numbers below `limit`, the same in every run. */
function* sample(count: number, limit: number, seed: string): Generator<number> {
  for (let index = 0; index < count; index++) {
    yield Number(createHash('sha256').update(`${seed} ${index}`).digest().readBigUInt64BE() % BigInt(limit));
  }
}

describe('salvage of a whole file', () => {
  const file = new SealedFile(key, [folded(40, 2000, 30_000), contentOf('{"id":41}\n'), contentOf('{"id":42}\n')]);

  it('returns everything, and reports no damage', () => {
    const found = tryOut(bytesOf(file));
    expect(found).toMatchObject({ intact: true, unreached: 0 });
    expect(found.header).toMatchObject({ kind: 'session', keyId: key.id, generation: 1n });
    expect(found.frames.map((frame) => frame.intact)).toEqual([true, true, true]);
    expect(idsOf(found)).toEqual(Array.from({ length: 42 }, (_, index) => index + 1));
    expect(found.frames[0]?.summary).toEqual(summaryOf(40));
  });

  it('finds the right key among several', () => {
    expect(tryOut(bytesOf(file), [], [keyOf('another'), key]).key).toBe(key);
  });

  it('returns nothing for another key', () => {
    expectRefusal(() => tryOut(bytesOf(file), [], [keyOf('another')]), 'UNAUTHENTIC', 'nothing in it verifies');
  });

  it('returns nothing if it is not a sealed file', () => {
    for (const length of [0, 51, 52, 60, 111]) expectRefusal(() => tryOut(bytesOf(file).subarray(0, length)));
    for (const length of [112, 5000]) expectRefusal(() => tryOut(Buffer.alloc(length)));
  });
});

describe('salvage of a session of 10 MB in one frame', () => {
  const content = folded(650, 20_000, 1024 * 1024);
  const bytes = bytesOf(new SealedFile(key, [content]));
  const whole = tryOut(bytes);
  const counts = content.segments.map((segment) => idsIn([segment]).length);
  const worst = Math.max(...counts.map((count, index) => count + (counts[index + 1] ?? 0)));

  function expectTwoSegmentsLost(changed: Buffer, about: string): void {
    const found = tryOut(changed);
    const ids = idsOf(found);
    expect(650 - ids.length, about).toBeLessThanOrEqual(worst);
    expectPartOf(found, whole);
    expect(found.intact, about).toBe(false);
  }

  it('is large enough for these tests', () => {
    expect(bytes.length).toBeGreaterThan(9_500_000);
    expect(counts.length).toBeGreaterThanOrEqual(10);
    expect(idsOf(whole)).toHaveLength(650);
  });

  // Every byte, and every bit, is tried on smaller files below.
  it('loses nothing to a flipped bit in every seventh byte of the header and of the head of the frame', () => {
    for (let at = 0; at < HEADER_LENGTH + FRAME_HEAD_LENGTH; at += 7) {
      const found = tryOut(flip(bytes, at * 8 + (at % 8)));
      expect(found.frames[0]?.segments, `byte ${at}`).toHaveLength(content.segments.length);
      expect(found.frames[0]?.segments, `byte ${at}`).not.toContain(undefined);
      expect(found.header, `byte ${at}`).toEqual(whole.header);
      expect(found.intact, `byte ${at}`).toBe(false);
    }
  });

  it('loses the events of at most two segments to a flipped bit anywhere else', () => {
    const chunks = HEADER_LENGTH + FRAME_HEAD_LENGTH;
    const places = [...sample(12, bytes.length - chunks, 'anywhere')].map((at) => chunks + at);
    for (const at of [chunks, chunks + SEALED_CHUNK - 1, chunks + SEALED_CHUNK, bytes.length - 1, ...places]) {
      expectTwoSegmentsLost(flip(bytes, at * 8 + 3), `byte ${at}`);
    }
  });

  it('loses the events of at most two segments to a hole over the head of a segment', () => {
    let at = 4 + content.summary.length + 8;
    for (const segment of content.segments) {
      for (const plainAt of at % 2 === 0 ? [at] : [at + 8]) {
        const chunk = Math.floor(plainAt / 16_384);
        const sealedAt = HEADER_LENGTH + FRAME_HEAD_LENGTH + chunk * SEALED_CHUNK + (plainAt % 16_384);
        expectTwoSegmentsLost(flip(bytes, sealedAt * 8), `head at ${plainAt}`);
      }
      at += 9 + segment.stored.length;
    }
  });

  it('returns every segment that no bad sector touches', () => {
    for (const seed of ['a', 'b', 'c', 'd', 'e']) {
      const changed = Buffer.from(bytes);
      for (const at of sample(4, bytes.length, seed)) changed.fill(0xa5, at - (at % 512), at - (at % 512) + 512);
      if (changed.subarray(0, 112).equals(bytes.subarray(0, 112))) {
        const found = tryOut(changed);
        expectPartOf(found, whole);
        expect(650 - idsOf(found).length).toBeLessThanOrEqual(4 * worst);
        expect(idsOf(found).length).toBeGreaterThan(0);
      }
    }
  });

  it('returns every segment before a cut', () => {
    for (const length of sample(10, bytes.length, 'cut')) {
      const found = tryOut(bytes.subarray(0, Math.max(length, 200_000)));
      expectPartOf(found, whole);
      const ids = idsOf(found);
      expect(ids).toEqual(Array.from(ids, (_, index) => index + 1));
      const share = Math.floor((650 * Math.max(length, 200_000)) / bytes.length);
      expect(ids.length).toBeGreaterThan(share - worst);
    }
  });
});

describe('salvage of a session of many frames', () => {
  const later = Array.from({ length: 30 }, (_, index) => ({
    summary: summaryOf(101 + index),
    segments: [packSegment(eventsOf(101 + index, 1, 900))],
  }));
  const file = new SealedFile(key, [folded(100, 2000, 30_000), ...later]);
  const bytes = bytesOf(file);
  const whole = tryOut(bytes);
  const ends = [HEADER_LENGTH];
  for (const frame of file.frames) ends.push(ends.at(-1)! + frame.length);

  it('loses one step to a flipped bit in its chunk, and none to one in its head', () => {
    for (const frame of [1, 2, 17, 29, 30]) {
      const start = ends[frame]!;
      for (let at = 0; at < FRAME_HEAD_LENGTH; at++) {
        const found = tryOut(flip(bytes, (start + at) * 8 + (at % 8)));
        expect(idsOf(found), `byte ${at} of frame ${frame}`).toHaveLength(130);
        expect(found.intact).toBe(false);
      }
      const found = tryOut(flip(bytes, (start + FRAME_HEAD_LENGTH + 5) * 8));
      expect(idsOf(found)).toEqual(idsOf(whole).filter((id) => id !== 100 + frame));
      expect(found.frames[frame]).toMatchObject({ summary: undefined, segments: [undefined], intact: false });
      expect(found.frames).toHaveLength(31);
    }
  });

  it('stops at a head that is too damaged to repair, and reports how many bytes follow', () => {
    const start = ends[12]!;
    const found = tryOut(flip(bytes, (start + 5) * 8, (start + 6) * 8));
    expect(idsOf(found)).toEqual(idsOf(whole).slice(0, 111));
    expect(found).toMatchObject({ unreached: bytes.length - start, intact: false });
  });

  it('repairs a length that is completely lost if the frame is the last', () => {
    const changed = Buffer.from(bytes);
    changed.fill(0xff, ends[30]!, ends[30]! + 4);
    expect(idsOf(tryOut(changed))).toHaveLength(130);
  });

  it('repairs a commitment that is completely lost', () => {
    const changed = Buffer.from(bytes);
    changed.fill(0, ends[3]! + 28, ends[3]! + 60);
    changed.fill(0, ends[9]! + 28, ends[9]! + 60);
    expect(idsOf(tryOut(changed))).toHaveLength(130);
  });

  it('returns everything before a cut, wherever it is', () => {
    for (let length = ends[1]! - 1; length < bytes.length; length += 97) {
      const found = tryOut(bytes.subarray(0, length));
      const frames = ends.filter((end) => end <= length).length - 1;
      if (frames > 0) expect(idsOf(found)).toEqual(idsOf(whole).slice(0, 99 + frames));
      expect(found.intact).toBe(ends.includes(length));
    }
  });

  it('returns the complete chunks of a frame that was cut off', () => {
    const large = new SealedFile(key, [contentOf('{"id":1}\n'), folded(40, 4000, 20_000)]);
    const cut = bytesOf(large).subarray(0, HEADER_LENGTH + large.frames[0]!.length + 60 + 3 * SEALED_CHUNK);
    const ids = idsOf(tryOut(cut));
    expect(ids.length).toBeGreaterThan(8);
    expect(ids.slice(1)).toEqual(Array.from(ids.slice(1), (_, index) => index + 1));
    expect(tryOut(cut).frames[1]?.summary).toEqual(summaryOf(40));
    expect(idsOf(tryOut(Buffer.concat([cut, Buffer.alloc(5)])))).toEqual(ids);
  });

  it('returns the segment before a cut in the head of the next one', () => {
    const summary = summaryOf(2);
    const stored = Buffer.alloc(16_384 - 4 - (4 + summary.length + 8 + 9), 0x20);
    const segments: Segment[] = [{ codec: 0, plainLength: stored.length, stored }, packSegment(eventsOf(2, 3, 9000))];
    const cut = bytesOf(new SealedFile(key, [{ summary, segments }])).subarray(0, 112 + SEALED_CHUNK);
    expect(tryOut(cut).frames[0]?.segments).toEqual([segments[0], undefined]);
  });

  it('never returns a step twice, or another one at its position', () => {
    const frames = file.frames.slice(0, 5);
    const [first, one, two, three, four] = frames as [Buffer, Buffer, Buffer, Buffer, Buffer];
    const sets = [
      [first, one, one, two],
      [first, two, one],
      [first, two],
      [first, one, three, four],
      [one, two],
      [first, first],
    ];
    for (const set of sets) {
      const moved = Buffer.concat([file.header, ...set]);
      const ids = set[0] === first ? idsOf(tryOut(moved)) : [];
      if (set[0] !== first) expectRefusal(() => tryOut(moved));
      expect(ids).toEqual(ids.map((_, index) => index + 1));
    }
  });
});

describe('decodeSegmentHead', () => {
  it('accepts only a valid head of a segment that fits', () => {
    const head = Buffer.from('010000000500001000', 'hex');
    const five = Buffer.alloc(5);
    expect(decodeSegmentHead(Buffer.concat([head, five]))).toEqual({ codec: 1, storedLength: 5, plainLength: 4096 });
    expect(decodeSegmentHead(Buffer.concat([head, five.subarray(1)]))).toBeUndefined();
    expect(decodeSegmentHead(head.subarray(1))).toBeUndefined();
    expect(decodeSegmentHead(Buffer.from('020000000000000000', 'hex'))).toBeUndefined();
    expect(decodeSegmentHead(Buffer.from('010000000020000001', 'hex'))).toBeUndefined();
  });
});

describe('salvage', () => {
  it('loses nothing to any one flipped bit in a header or in the head of a frame', () => {
    const bytes = bytesOf(new SealedFile(key, [contentOf('{"id":1}\n'), contentOf('{"id":2}\n')]));
    for (let bit = 0; bit < (HEADER_LENGTH + FRAME_HEAD_LENGTH) * 8; bit++) {
      expect(idsOf(tryOut(flip(bytes, bit))), `bit ${bit}`).toEqual([1, 2]);
    }
  });

  it('does not mistake an unrelated error for damage', () => {
    const { createDecipheriv } = crypto;
    onTestFinished(() => {
      crypto.createDecipheriv = createDecipheriv;
      syncBuiltinESMExports();
    });
    crypto.createDecipheriv = () => {
      throw new TypeError('a bug');
    };
    syncBuiltinESMExports();
    const bytes = bytesOf(new SealedFile(key, [contentOf('{"id":1}\n')]));
    expect(() => salvage(bytes, [key], [])).toThrow('a bug');
  });

  const content = folded(40, 4000, 20_000);

  it('rejects a chunk that was moved within its frame, or taken from another', () => {
    const one = bytesOf(new SealedFile(key, [content]));
    const two = bytesOf(new SealedFile(key, [content], { generation: 2n }));
    const chunkAt = (index: number): [number, number] => {
      const from = HEADER_LENGTH + FRAME_HEAD_LENGTH + index * SEALED_CHUNK;
      return [from, from + SEALED_CHUNK];
    };
    const whole = tryOut(one);
    for (const [from, source] of [
      [3, one],
      [2, two],
    ] as const) {
      const changed = Buffer.from(one);
      source.copy(changed, chunkAt(2)[0], ...chunkAt(from));
      const found = tryOut(changed);
      expectPartOf(found, whole);
      expect(idsOf(found).length).toBeLessThan(40);
      expect(found.frames[0]?.segments).toContain(undefined);
    }
  });

  it('uses the file id of the name if the one in the header is lost', () => {
    const file = new SealedFile(key, [content]);
    const changed = bytesOf(file);
    changed.fill(0, 8, 44);
    expectRefusal(() => tryOut(changed));
    const found = tryOut(changed, ['f'.repeat(32), '0123456789abcdef0123456789abcdef']);
    expect(idsOf(found)).toHaveLength(40);
    expect(found.header.fileId).toBe('0123456789abcdef0123456789abcdef');
  });

  it('continues after a lost head even if the next segment but one is lost too', () => {
    const bytes = bytesOf(new SealedFile(key, [content]));
    for (let chunk = 0; chunk < 8; chunk++) {
      for (let second = chunk + 1; second < 8; second++) {
        const at = (index: number): number => (HEADER_LENGTH + FRAME_HEAD_LENGTH + index * SEALED_CHUNK + 9) * 8;
        const found = tryOut(flip(bytes, at(chunk), at(second)));
        const ids = idsOf(found);
        expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b));
        expect(ids.length).toBeGreaterThanOrEqual(40 - 24);
      }
    }
  });

  it('rejects bytes that only look like a segment', () => {
    // After the lost first chunk: the start of a zstd frame without a head, with an invalid head,
    // and with one that fits.
    const packed = packSegment(eventsOf(1, 1, 3000));
    const fake = (plainLength: number): Buffer => {
      const head = Buffer.alloc(9);
      head.writeUInt8(1, 0);
      head.writeUInt32BE(packed.stored.length, 1);
      head.writeUInt32BE(plainLength, 5);
      return Buffer.concat([head, packed.stored]);
    };
    const afterLostChunk = (...parts: Buffer[]): Salvaged => {
      const stored = Buffer.concat([Buffer.alloc(16_384, 0x20), ...parts, Buffer.alloc(40_000, 0x20)]);
      const segments: Segment[] = [{ codec: 0, plainLength: stored.length, stored }];
      const bytes = bytesOf(new SealedFile(key, [{ summary: summaryOf(1), segments }]));
      return tryOut(flip(bytes, (HEADER_LENGTH + FRAME_HEAD_LENGTH) * 8));
    };
    const none = [undefined];
    expect(afterLostChunk(packed.stored).frames[0]?.segments).toEqual(none);
    expect(afterLostChunk(fake(packed.plainLength + 1)).frames[0]?.segments).toEqual(none);
    expect(afterLostChunk(fake(packed.plainLength)).frames[0]?.segments).toEqual(none);
    expect(afterLostChunk(fake(2 ** 32 - 1)).frames[0]?.segments).toEqual(none);
    expect(afterLostChunk(fake(packed.plainLength), fake(packed.plainLength)).frames[0]?.segments).toHaveLength(4);
  });

  it('finds the segments of a frame whose first chunk is authentic but invalid', () => {
    const file = new SealedFile(key, [content]);
    const segment = packSegment(eventsOf(7, 2, 3000));
    const head = Buffer.alloc(9);
    head.writeUInt8(1, 0);
    head.writeUInt32BE(segment.stored.length, 1);
    head.writeUInt32BE(segment.plainLength, 5);
    const plain = Buffer.concat([Buffer.alloc(40, 0xff), head, segment.stored]);
    const length = 56 + plain.length + 16;
    const context = Buffer.concat([Buffer.from('coffer/v1/frame\0'), file.chains[0]!.link, Buffer.alloc(8 + 4)]);
    context.writeUInt32BE(length, context.length - 4);
    const message = sealMessage(key.frameKey, context, [plain]);
    const found = tryOut(Buffer.concat([file.header, context.subarray(-4), message]));
    expect(idsOf(found)).toEqual([7, 8]);
    expect(found.frames[0]).toMatchObject({ summary: undefined, intact: false });
    expect(frameSecrets(key, file.chains[0]!, { length, salt: message.subarray(0, 24) }).commitment).toEqual(
      message.subarray(24, 56),
    );
  });
});
