import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { allOf, isIn, keepThoseWith, type Shard, shardsOf } from '../../../src/vault/search/postings.ts';

describe('shardsOf', () => {
  it('records which documents have which trigrams', () => {
    fc.assert(
      fc.property(documents, fc.array(trigram, { maxLength: 5 }), (sets, others) => {
        const shards = shardsOf(sets.map((set) => Uint32Array.from(set)));
        for (const wanted of new Set([...sets.flatMap((set) => [...set]), ...others]))
          expect(having(shards, wanted, sets.length), `${wanted}`).toEqual(sets.map((set) => set.has(wanted)));
      }),
      { numRuns: 300 },
    );
  });

  it('puts each trigram into a single shard', () => {
    const sets = Array.from({ length: 50 }, (_, place) => {
      return new Set(Array.from({ length: 3000 }, (_, index) => (index * (place + 3) * 7919) % 2 ** 24));
    });
    const shards = shardsOf(sets.map((set) => Uint32Array.from(set)));
    expect(shards.length).toBeGreaterThan(10);
    expect(Math.max(...shards.map(({ bytes }) => bytes.length))).toBeLessThan(17_000);
    expect(shards.map(({ first }) => first)).toEqual(shards.map(({ first }) => first).toSorted((a, b) => a - b));
    for (const { first } of shards) {
      for (const wanted of [first - 1, first, first + 1])
        expect(having(shards, wanted, 50)).toEqual(sets.map((set) => set.has(wanted)));
    }
  });

  it('uses less than a byte for each trigram that most documents have', () => {
    const own = Uint32Array.from({ length: 10_000 }, (_, index) => index * 3);
    const shards = shardsOf(Array.from({ length: 100 }, (_, place) => (place === 7 ? own.subarray(1) : own)));
    expect(shards.reduce((sum, { bytes }) => sum + bytes.length, 0)).toBeLessThan(25_000);
  });

  it('returns no shards for no documents', () => {
    expect(shardsOf([])).toEqual([]);
    expect(shardsOf([new Uint32Array(0)])).toEqual([]);
  });
});

describe('keepThoseWith', () => {
  it('keeps the documents that have all of several trigrams', () => {
    const [shard] = shardsOf([Uint32Array.of(1, 2), Uint32Array.of(2, 3), Uint32Array.of(2, 3, 4)]) as [Shard];
    const among = allOf(3);
    const places = (): number[] => [0, 1, 2].filter((place) => isIn(among, place));
    keepThoseWith(among, shard, 2, 3);
    expect(places()).toEqual([0, 1, 2]);
    keepThoseWith(among, shard, 3, 3);
    expect(places()).toEqual([1, 2]);
    keepThoseWith(among, shard, 1, 3);
    expect(places()).toEqual([]);
  });
});

function having(shards: readonly Shard[], wanted: number, count: number): boolean[] {
  const among = allOf(count);
  const shard = shards.findLast(({ first }) => first <= wanted);
  if (shard) keepThoseWith(among, shard, wanted, count);
  else among.fill(0);
  return Array.from({ length: count }, (_, place) => isIn(among, place));
}

const trigram = fc.oneof(
  fc.nat(40),
  fc.nat(0xffffff),
  fc.constantFrom(0, 127, 128, 0x3fff, 0x4000, 0xfff, 0x1000, 0xffffff),
);
const documents = fc.array(
  fc.array(trigram, { maxLength: 40 }).map((all) => new Set(all)),
  { maxLength: 40 },
);
