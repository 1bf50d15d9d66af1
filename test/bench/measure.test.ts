import { describe, expect, it } from 'vitest';
import { interleave } from '../../bench/measure.ts';

describe('interleave', () => {
  it('runs every task once a round, in changing order, and leaves the warm-up out', async () => {
    const order: string[] = [];
    const task = (name: string) => ({ name, run: () => order.push(name) });
    const spreads = await interleave([task('a'), task('b')], 40);
    expect(order).toHaveLength(2 * (3 + 40));
    const rounds = Array.from({ length: 43 }, (_, round) => order.slice(2 * round, 2 * round + 2).join());
    expect(new Set(rounds)).toEqual(new Set(['a,b', 'b,a']));
    expect([...spreads.keys()]).toEqual(['a', 'b']);
    expect(spreads.get('a')?.runs).toBe(40);
    expect(spreads.get('a')?.p10).toBeGreaterThan(6);
  });

  it('returns the median and the spread of the times', async () => {
    let run = -4;
    const spreads = await interleave([{ name: 'a', run: () => ++run }], 11);
    expect(spreads.get('a')).toEqual({ runs: 11, median: 5, p10: 1, p90: 9 });
    let even = -4;
    const between = await interleave([{ name: 'a', run: () => ++even }], 2);
    expect(between.get('a')).toMatchObject({ median: 0.5 });
  });
});
