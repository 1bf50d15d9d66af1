import { describe, expect, it } from 'vitest';
import { Sample, seedOf, seedOfCommit } from './sample.ts';

const INTERVAL = 7;
const SEED = seedOf('6c8de3511dcf0d6679228e260623c9a888a81a32');

/** Kinds with many cases, with as many as the interval, with few, and with a single one. */
const cases: readonly (readonly [kind: string, number: number])[] = Object.entries({
  many: 45,
  seven: 7,
  few: 3,
  one: 1,
})
  .flatMap(([kind, count]) => Array.from({ length: count }, (_, number) => [kind, number] as const))
  .sort(([, one], [, other]) => one - other);

function sampled(seed: number | undefined): string[] {
  return [...new Sample(seed).of(cases, INTERVAL, ([kind]) => kind)].map(String);
}

describe('Sample', () => {
  it('selects everything in the whole form, in order', () => {
    expect(sampled(undefined)).toEqual(cases.map(String));
  });

  it('selects the same cases for the same seed', () => {
    expect(sampled(SEED)).toEqual(sampled(SEED));
  });

  it('selects other cases for the next seed', () => {
    expect(sampled(SEED + 1)).not.toEqual(sampled(SEED));
  });

  it('selects about one case in as many as the interval', () => {
    for (let shift = 0; shift < INTERVAL; shift++) {
      const many = sampled(SEED + shift).filter((one) => one.startsWith('many'));
      expect([6, 7]).toContain(many.length);
    }
  });

  it('selects every case with as many successive seeds as the interval', () => {
    const union = new Set(Array.from({ length: INTERVAL }, (_, shift) => sampled(SEED + shift)).flat());
    expect([...union].sort()).toEqual(cases.map(String).sort());
  });

  it('selects at least one case of each kind, and none twice', () => {
    for (let shift = 0; shift < INTERVAL; shift++) {
      const selected = sampled(SEED + shift);
      expect(new Set(selected.map((one) => one.split(',')[0]))).toEqual(new Set(['many', 'seven', 'few', 'one']));
      expect(new Set(selected).size).toBe(selected.length);
    }
  });

  it('covers every column of a table whose rows are the kinds', () => {
    const table = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].flatMap((row) => [...'1234567'].map((column) => row + column));
    const selected = [...new Sample(SEED).of(table, INTERVAL, (one) => one[0]!)];
    expect(selected.map((one) => one[1]).sort()).toEqual([...'1234567']);
  });

  it('splits the cases of a control into batches that hold every case once', () => {
    const batches = [...new Sample(SEED).batches(cases, 10)];
    expect(batches.map(({ length }) => length).sort()).toEqual([10, 10, 9, 9, 9, 9].sort());
    expect(batches.flat().map(String).sort()).toEqual(cases.map(String).sort());
  });

  it('starts a control with another batch for the next seed', () => {
    const [first] = new Sample(SEED).batches(cases, 10);
    expect([...new Sample(SEED + 1).batches(cases, 10)][0]).not.toEqual(first);
  });

  it('puts the likely cases of a control first', () => {
    const batches = [...new Sample(SEED).batches(cases, 10, ([kind]) => kind === 'few')];
    expect(batches[0]!.map(([kind]) => kind)).toEqual(['few', 'few', 'few']);
    expect(batches.flat().map(String).sort()).toEqual(cases.map(String).sort());
  });

  it('puts all cases of a control into one batch in the whole form', () => {
    expect([...new Sample().batches(cases, 10)]).toEqual([cases]);
  });

  it.each([-1, 0.5, Number.NaN])('rejects %d as a seed', (seed) => {
    expect(() => new Sample(seed)).toThrow('must be an integer of at least 0');
  });
});

describe('seedOfCommit', () => {
  it('returns an integer that stays the same', () => {
    expect(seedOfCommit()).toBe(seedOfCommit());
    expect(seedOfCommit()).toBeGreaterThanOrEqual(0);
  });
});
