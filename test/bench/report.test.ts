import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { failuresOf, missingOf, rate } from '../../bench/report.ts';
import { format, markdown } from '../../bench/report-text.ts';
import { blocked, curve, line, report, run, thresholds } from './made-up.ts';

describe('a line', () => {
  it.each([
    [2, 'ok'],
    [2.001, 'short'],
    [Number.NaN, 'short'],
    [Number.POSITIVE_INFINITY, 'short'],
  ])('with the ratio %d of at most 2 is %s', (ratio, verdict) => {
    expect(rate(run({ lines: [line('step', ratio)] }), thresholds).lines).toEqual([
      { ...line('step', ratio), target: 2, verdict },
    ]);
  });

  it('is compared with an absolute target by its median, in the unit of the target', () => {
    expect(rate(run({ lines: [blocked(5)] }), thresholds).lines[0]).toMatchObject({ target: 5, verdict: 'ok' });
    expect(rate(run({ lines: [blocked(5.1)] }), thresholds).lines[0]).toMatchObject({ verdict: 'short' });
    expect(rate(run({ lines: [blocked(1, '%')] }), thresholds).lines[0]).toMatchObject({ verdict: 'short' });
  });

  it('is not rated without a target, or if it belongs to another part', () => {
    expect(rate(run({ lines: [line('peer', 9)] }), thresholds).lines).toEqual([line('peer', 9)]);
    expect(rate(run({ name: 'other', lines: [line('step', 9)] }), thresholds).lines).toEqual([line('step', 9)]);
  });
});

describe('a curve', () => {
  it.each([
    [0.05, 'flat', 'ok'],
    [0.2, 'flat', 'short'],
    [1, 'linear', 'ok'],
    [1.2, 'linear', 'short'],
  ] as const)('that grows by the power of %d is %s: %s', (power, atMost, verdict) => {
    const [rated] = rate(run({ curves: [curve(power, atMost)] }), thresholds).curves;
    expect(rated).toMatchObject({ target: atMost === 'flat' ? 0.1 : 1.1, verdict });
  });

  it('is short if the series that counts is missing', () => {
    const without = { ...curve(0), series: curve(0).series.slice(1) };
    expect(rate(run({ curves: [without] }), thresholds).curves[0]).toMatchObject({ verdict: 'short' });
  });
});

describe('the short form', () => {
  const fine = { lines: [line('step', 2.9), blocked(50)], curves: [curve(0.25)] };

  it('passes below its bounds, even if it misses a target, and never fails on an absolute figure', () => {
    expect(failuresOf(report([run(fine)]), thresholds)).toEqual([]);
  });

  it.each([
    ['a ratio above its bound', { lines: [line('step', 3.1)] }, 'step is 3.10; the limit is 3'],
    ['a ratio that is not a number', { lines: [line('step', Number.NaN)] }, 'step is NaN; the limit is 3'],
    ['a line that is missing', { lines: [line('stop', 1)] }, 'step was not measured; the limit is 3'],
    ['a line without a baseline', { lines: [{ ...blocked(1), id: 'step' }] }, 'step was not measured; the limit is 3'],
    ['a curve that is steeper', { curves: [curve(0.4)] }, 'growth of cost is 0.40; the limit is 0.3'],
    [
      'a curve without its series',
      { curves: [{ ...curve(0), series: [] }] },
      'growth of cost was not measured; the limit is 0.3',
    ],
  ])('fails with %s', (_, found, reason) => {
    expect(failuresOf(report([run({ ...fine, ...found })]), thresholds)).toEqual([reason]);
    expect(failuresOf(report([run({ ...fine, ...found })], 'full'), thresholds)).toEqual([]);
  });

  it('ignores parts that were not run', () => {
    expect(failuresOf(report([run(fine)]), thresholds)).toEqual([]);
    expect(failuresOf(report([run(fine), run({ name: 'other' })]), thresholds)).toEqual([
      'elsewhere was not measured; the limit is 1',
    ]);
  });

  it('fails, as the full form does, when a part failed', () => {
    const failed = report([run({ ...fine, error: 'Error: no disk' })], 'full');
    expect(failuresOf(failed, thresholds)).toEqual(['the part part failed']);
  });
});

describe('missingOf', () => {
  it('returns the targets without a figure of the parts that ran', () => {
    expect(missingOf(report([run({ lines: [line('step', 1)] })]), thresholds)).toEqual(['blocked']);
    expect(missingOf(report([run({ lines: [line('step', 1), blocked(1)] })]), thresholds)).toEqual([]);
  });
});

describe('a report', () => {
  const whole = report([
    run({ lines: [line('step', 2.5), line('peer', 1234.5), blocked(0.0123)], curves: [curve(0)], notes: ['a note'] }),
    run({ name: 'failing', seconds: 90, error: 'Error: no disk\n    at somewhere' }),
  ]);
  const text = stripVTControlCharacters(format(whole));

  it('is a table by part, with spread, ratio, target and verdict', () => {
    expect(text).toMatch(/^part \(1 s\)\n {2}what step is {2}/m);
    expect(text).toMatch(/^ {2}what step is +2\.50 ms +1\.25 – 5\.00 +2\.50 +≤ 2 {2}short {2}the floor$/m);
    expect(text).toMatch(/^ {2}what peer is +1,235 ms +617 – 2,469 +1,235 +the floor$/m);
    expect(text).toMatch(/^ {2}the thread is blocked +0\.012 ms +0\.006 – 0\.025 +≤ 5 ms {2}ok$/m);
    expect(text).toMatch(/^ {2}Cost of a step: coffer ∝ x\^0\.00 ± 0\.00, 0\.00 at its steepest, ≤ 0\.1 \(flat\) ok$/m);
    expect(text).toMatch(/^ {2}Cost of a step: a peer & <its> way ∝ x\^1\.00 ± 0\.00$/m);
    expect(text).toMatch(/^ {2}a note$/m);
  });

  it('names the machine, the date, how long it took, and the part that failed with its error', () => {
    expect(text).toMatch(
      /^2026-11-21 12:34 UTC\nNode 24, 2 × a processor, kernel 6\.1\next4 on \/dev\/vda\ndist as it was\n/,
    );
    expect(text).toMatch(/^failing \(1\.5 min\)\n {2}failed: Error: no disk\n {6}at somewhere$/m);
    expect(text).toMatch(/^a note on all\nmeasured in 5\.0 min, the short form\n$/m);
  });

  it('is the same in Markdown, with a picture for each curve', () => {
    const page = markdown(whole);
    expect(page).toContain('| what step is | 2.50 ms | 1.25 – 5.00 | 2.50 | ≤ 2 | short | the floor |\n');
    expect(page).toContain('\n![Cost of a step](cost.svg)\n\n- Cost of a step: coffer ∝ x^0.00');
    expect(page).toContain('\n## failing\n\nFailed:\n\n    Error: no disk\n');
    expect(stripVTControlCharacters(page)).toBe(page);
    expect(page).not.toMatch(/undefined|\n\n\n|\n\n$/);
  });
});
