import { createHash, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { constants, zstdCompress, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_PLAIN, type Segment } from '../../src/envelope/format.ts';
import { cutSegments, packSegment, packSegmentAside, storeSegment, unpackSegment } from '../../src/envelope/segment.ts';
import { buffersOf, expectRefusal } from './support.ts';

const aside = promisify(zstdCompress);
const compressible = Buffer.from('{"type":"message","role":"user"}\n'.repeat(200));

describe('packSegment', () => {
  it('survives a round trip, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 5000 }), (lines) => {
        expect(unpackSegment(packSegment(lines))).toEqual(Buffer.from(lines));
      }),
    );
  });

  it('packs the same off the main thread', async () => {
    for (const lines of [compressible, randomBytes(1000)]) {
      const segment = await packSegmentAside(lines, aside);
      expect(unpackSegment(segment)).toEqual(lines);
      expect(segment.codec).toBe(packSegment(lines).codec);
    }
  });

  it('packs exactly one frame, even if it exactly fills 16 KiB', async () => {
    // Hashes in hex digits shrink to about half. With Node 24.21 it takes 32,693 of them to exactly
    // fill 16 KiB.
    const hashes = Array.from({ length: 260 }, (_, at) => createHash('sha512').update(`${at}`).digest('hex'));
    const digits = Buffer.from(hashes.join(''));
    for (let length = 32_650; length < 32_750; length++) {
      const lines = digits.subarray(0, length);
      expect(unpackSegment(packSegment(lines))).toEqual(lines);
      expect(unpackSegment(await packSegmentAside(lines, aside))).toEqual(lines);
    }
  });

  it('compresses if that is smaller', () => {
    const segment = packSegment(compressible);
    expect(segment).toMatchObject({ codec: 1, plainLength: compressible.length });
    expect(segment.stored.length).toBeLessThan(200);
  });

  it('stores what does not get smaller, without copying it', () => {
    const lines = randomBytes(1000);
    const segment = packSegment(lines);
    expect(segment).toEqual({ codec: 0, plainLength: 1000, stored: lines });
    expect(segment.stored.buffer).toBe(lines.buffer);
  });

  it('refuses more than a segment can hold', async () => {
    const huge = new Uint8Array(MAX_PLAIN + 1);
    expectRefusal(() => packSegment(huge), 'NOT_SAVED');
    expectRefusal(() => storeSegment(huge), 'NOT_SAVED');
    await expect(packSegmentAside(huge, aside)).rejects.toMatchObject({ code: 'NOT_SAVED' });
  });
});

describe('unpackSegment', () => {
  const { stored } = packSegment(compressible);
  const plainLength = compressible.length;

  it.each([
    ['more than came', plainLength + 1],
    ['less than came', plainLength - 1],
    ['nothing', 0],
    ['more than any segment holds', MAX_PLAIN + 1],
    ['2^32 - 1 bytes', 2 ** 32 - 1],
  ])('refuses a segment that claims %s', (_, claimed) => {
    expectRefusal(() => unpackSegment({ codec: 1, plainLength: claimed, stored }));
    expectRefusal(() => unpackSegment({ codec: 0, plainLength: claimed, stored: compressible }));
  });

  it('refuses a segment above the limit even if its length is right', () => {
    const huge = Buffer.from(new ArrayBuffer(MAX_PLAIN + 1));
    expectRefusal(() => unpackSegment({ codec: 0, plainLength: huge.length, stored: huge }));
  });

  it('opens an empty segment', () => {
    const packed = zstdCompressSync(Buffer.alloc(0));
    expect(unpackSegment({ codec: 1, plainLength: 0, stored: packed })).toHaveLength(0);
    expect(unpackSegment({ codec: 0, plainLength: 0, stored: Buffer.alloc(0) })).toHaveLength(0);
  });

  it('refuses trailing data after the compressed frame: a byte, another frame', () => {
    for (const more of [Buffer.alloc(1), stored]) {
      expectRefusal(() => unpackSegment({ codec: 1, plainLength, stored: Buffer.concat([stored, more]) }));
      expectRefusal(() =>
        unpackSegment({ codec: 1, plainLength: 2 * plainLength, stored: Buffer.concat([stored, more]) }),
      );
    }
  });

  it('ignores the one empty frame that Node appends, and nothing else', () => {
    const left = Buffer.from('28b52ffd2000010000', 'hex');
    expect(unpackSegment({ codec: 1, plainLength, stored: Buffer.concat([stored, left]) })).toEqual(compressible);
    for (const more of [Buffer.concat([left, left]), left.subarray(1), Buffer.from('28b52ffd0000010000', 'hex')]) {
      expectRefusal(() => unpackSegment({ codec: 1, plainLength, stored: Buffer.concat([stored, more]) }));
    }
  });

  it('finds the end of every form of zstd frame', () => {
    const random = randomBytes(200_000);
    const forms = [
      Buffer.alloc(0),
      Buffer.from('a'),
      Buffer.alloc(300_000),
      random,
      Buffer.concat([random, Buffer.alloc(200_000)]),
    ];
    for (const plain of forms) {
      for (const [checksum, size] of [
        [0, 0],
        [1, 1],
        [0, 1],
        [1, 0],
      ] as const) {
        const params = { [constants.ZSTD_c_checksumFlag]: checksum, [constants.ZSTD_c_contentSizeFlag]: size };
        const packed = zstdCompressSync(plain, { params });
        const segment: Segment = { codec: 1, plainLength: plain.length, stored: packed };
        expect(unpackSegment(segment).equals(plain)).toBe(true);
        expectRefusal(() => unpackSegment({ ...segment, stored: Buffer.concat([packed, Buffer.alloc(1)]) }));
      }
    }
  });

  it('refuses bytes that are not a zstd frame', () => {
    expectRefusal(() => unpackSegment({ codec: 1, plainLength: 8, stored: Buffer.alloc(64, 'no frame') }));
  });

  it('refuses a compressed frame that is cut off anywhere', () => {
    for (let length = 0; length < stored.length; length++) {
      expectRefusal(() => unpackSegment({ codec: 1, plainLength, stored: stored.subarray(0, length) }));
    }
  });

  it('does not inflate a bomb', () => {
    const bomb = zstdCompressSync(Buffer.alloc(256 * 1024 * 1024));
    expect(bomb.length).toBeLessThan(32 * 1024);
    const grown = buffersOf(() => expectRefusal(() => unpackSegment({ codec: 1, plainLength: 1000, stored: bomb })));
    expect(grown).toBeLessThan(8 * 1024 * 1024);
  });

  it('returns bytes or refuses, whatever the segment', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(2000), (bytes, claimed) => {
        expectRefusal(() => unpackSegment({ codec: 1, plainLength: claimed, stored: Buffer.from(bytes) }));
      }),
    );
  });
});

describe('cutSegments', () => {
  const texts = fc.array(fc.string({ unit: fc.constantFrom('a', '\n', 'ü', '🦊'), maxLength: 40 }), { maxLength: 20 });

  it('loses, adds and moves nothing', () => {
    fc.assert(
      fc.property(texts, fc.integer({ min: 1, max: 60 }), (lines, limit) => {
        const bytes = Buffer.from(lines.join('\n'));
        expect(Buffer.concat(cutSegments(bytes, limit))).toEqual(bytes);
      }),
    );
  });

  it('splits at line ends only, and exceeds the limit only for a single line', () => {
    fc.assert(
      fc.property(texts, fc.integer({ min: 1, max: 60 }), (lines, limit) => {
        const pieces = cutSegments(Buffer.from(lines.join('\n')), limit);
        for (const [index, piece] of pieces.entries()) {
          expect(piece.length).toBeGreaterThan(0);
          if (index < pieces.length - 1) expect(piece.at(-1)).toBe(10);
          if (piece.length > limit) expect(piece.subarray(0, -1)).not.toContain(10);
        }
      }),
    );
  });

  it('puts as many lines into a piece as fit', () => {
    const pieces = cutSegments(Buffer.from('aa\nbb\ncc\ndd\n'), 7);
    expect(pieces.map(String)).toEqual(['aa\nbb\n', 'cc\ndd\n']);
  });

  it('keeps a line that is longer than the limit whole, between its neighbours and at the end', () => {
    const long = 'x'.repeat(50);
    expect(cutSegments(Buffer.from(`a\n${long}\nb\n`), 10).map(String)).toEqual(['a\n', `${long}\n`, 'b\n']);
    expect(cutSegments(Buffer.from(`a\n${long}`), 10).map(String)).toEqual(['a\n', long]);
  });

  it('has a default limit of one mebibyte', () => {
    const lines = Buffer.alloc(3 * 1024 * 1024, 'line\n');
    const pieces = cutSegments(lines);
    expect(pieces.map((piece) => piece.length)).toEqual([1048575, 1048575, 1048575, 3]);
    expect(pieces.at(-1)?.toString()).toBe('lin');
  });

  it('returns no piece for empty input', () => {
    expect(cutSegments(Buffer.alloc(0))).toEqual([]);
  });
});
