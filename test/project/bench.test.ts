import { describe, expect, it } from 'vitest';
import { interleave, type Spread } from '../../bench/measure.ts';
import { baseLine, format, ratedLine } from '../../bench/report.ts';

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

  it('gives the median and how far the times spread', async () => {
    let run = -4;
    const spreads = await interleave([{ name: 'a', run: () => ++run }], 11);
    expect(spreads.get('a')).toEqual({ runs: 11, median: 5, p10: 1, p90: 9 });
    let even = -4;
    const between = await interleave([{ name: 'a', run: () => ++even }], 2);
    expect(between.get('a')).toMatchObject({ median: 0.5 });
  });
});

describe('a line of the bench', () => {
  it('is ok up to its target, short above, and not rated without one', () => {
    const base = baseLine('nothing', spread(10));
    expect(ratedLine('a', spread(60), base, 6)).toMatchObject({
      verdict: 'ok',
      against: { what: 'nothing', ratio: 6 },
    });
    expect(ratedLine('a', spread(60.1), base, 6)).toMatchObject({ verdict: 'short', target: 6 });
    expect(ratedLine('a', spread(60), base)).not.toHaveProperty('verdict');
  });

  it('is shown with its spread, its ratio, its target and the verdict', () => {
    const base = baseLine('nothing', spread(10));
    const lines = [base, ratedLine('much', spread(75), base, 6)];
    const shown = format({ machine: 'm', build: 'b', lines, notes: ['left out: x'], seconds: 3 });
    expect(shown).toMatch(/^nothing +10\.0 ms +5\.00 – 20\.0$/m);
    expect(shown).toMatch(/^much +75\.0 ms +37\.5 – 150\.0 +7\.50 +≤ 6 .*short/m);
    expect(shown).toMatch(/^ {2}left out: x$/m);
  });
});

function spread(median: number): Spread {
  return { runs: 1, median, p10: median / 2, p90: median * 2 };
}
