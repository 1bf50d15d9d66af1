import { describe, expect, it } from 'vitest';
import { parts } from '../../bench/parts.ts';
import { parseThresholds, readThresholds } from '../../bench/thresholds.ts';
import { boundsFrom } from '../../bench/thresholds-set.ts';
import { blocked, curve, line, report, run, thresholds } from './made-up.ts';

describe('bench/thresholds.json', () => {
  it('has a part of the bench for each of its parts, and bounds for the short form in each that CI can rate', () => {
    const { parts: known } = readThresholds();
    expect(Object.keys(known).sort()).toEqual(Object.keys(parts).sort());
    const rated = Object.values(known).flatMap((part) => Object.values(part));
    expect(rated.filter(({ short }) => short !== undefined).length).toBeGreaterThan(rated.length / 2);
  });

  it.each([
    ['an unknown key', { ...thresholds, sett: 1 }],
    ['no date', { ...thresholds, set: 'today' }],
    ['a target of nothing', { ...thresholds, parts: { part: { step: { target: 0 } } } }],
    ['a time that fails', { ...thresholds, parts: { part: { step: { target: 5, absolute: 'ms', short: 9 } } } }],
    ['a bound below its target', { ...thresholds, parts: { part: { step: { target: 5, short: 4 } } } }],
    ['no bound on growth', { ...thresholds, growth: {} }],
  ])('may not have %s', (_, wrong) => {
    expect(parseThresholds(JSON.stringify(thresholds))).toEqual(thresholds);
    expect(() => parseThresholds(JSON.stringify(wrong))).toThrow();
  });
});

describe('boundsFrom', () => {
  const runs = [2.1, 1.5].map((ratio) =>
    report([run({ lines: [line('step', ratio), blocked(99)], curves: [curve(ratio / 10)] })]),
  );

  it('sets each ratio and each exponent to the worst seen plus a margin', () => {
    const set = boundsFrom(runs, thresholds, '2026-11-22');
    expect(set.parts['part']?.['step']).toEqual({ target: 2, short: 3.15 });
    expect(set.growth).toEqual({ flat: { target: 0.1, short: 0.41 }, linear: { target: 1.1 } });
    expect(set).toMatchObject({ set: '2026-11-22', how: expect.stringContaining('the worst of 2 runs') });
    expect(parseThresholds(JSON.stringify(set))).toEqual(set);
  });

  it('sets no bound for absolute or missing figures, and none below a target', () => {
    const set = boundsFrom(runs, thresholds, '2026-11-22');
    expect(set.parts['part']?.['blocked']).toEqual({ target: 5, absolute: 'ms' });
    expect(set.parts['other']).toEqual({ elsewhere: { target: 1 } });
    const low = [report([run({ lines: [line('step', 0.5)] })])];
    expect(boundsFrom(low, thresholds, '2026-11-22').parts['part']?.['step']).toEqual({ target: 2, short: 2 });
  });
});
