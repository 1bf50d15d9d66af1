import type { Spread } from '../../bench/measure.ts';
import type { Curve, Line } from '../../bench/part.ts';
import type { Run } from '../../bench/part-run.ts';
import { type RatedRun, type Report, rate } from '../../bench/report.ts';
import type { Thresholds } from '../../bench/thresholds.ts';

/** Bounds for {@link line} and {@link curve} in a part `part`. */
export const thresholds: Thresholds = {
  set: '2026-11-21',
  how: 'made up',
  parts: {
    part: {
      step: { target: 2, short: 3 },
      blocked: { target: 5, absolute: 'ms' },
    },
    other: { elsewhere: { target: 1, short: 1 } },
  },
  growth: { flat: { target: 0.1, short: 0.3 }, linear: { target: 1.1, short: 1.3 } },
};

/** Returns a spread from half to double of a median. */
function spread(median: number, runs = 9): Spread {
  return { runs, median, p10: median / 2, p90: median * 2 };
}

/** Returns a line that takes `ratio` times as long as its baseline. */
export function line(id: string, ratio: number): Line {
  return { id, what: `what ${id} is`, value: spread(ratio), unit: 'ms', against: { what: 'the floor', ratio } };
}

/** Returns a line with an absolute figure. */
export function blocked(median: number, unit: Line['unit'] = 'ms'): Line {
  return { id: 'blocked', what: 'the thread is blocked', value: spread(median), unit };
}

/** Returns a cost that grows by a power of the size, 10 KB to 100 MB. */
export function curve(power: number, atMost: 'flat' | 'linear' = 'flat'): Curve {
  const sizes = [1e4, 1e5, 1e6, 1e7, 1e8];
  return {
    id: 'cost',
    title: 'Cost of a step',
    x: 'size of the session (bytes)',
    y: 'time (ms)',
    series: [
      { name: 'coffer', points: sizes.map((size) => [size, 0.4 * (size / 1e4) ** power]) },
      { name: 'a peer & <its> way', points: sizes.map((size) => [size, 1e-5 * size]) },
    ],
    expect: { series: 'coffer', atMost },
  };
}

/** Returns a run of a part named `part`. */
export function run(found: Partial<Run>): Run {
  return { name: 'part', seconds: 1, lines: [], curves: [], notes: [], ...found };
}

/** Returns a report of such runs. */
export function report(runs: readonly Run[], size: Report['size'] = 'short'): Report {
  return {
    date: '2026-11-21T12:34:56.789Z',
    size,
    machine: { processor: '2 × a processor', node: 'Node 24', kernel: '6.1', disk: 'ext4 on /dev/vda' },
    build: 'dist as it was',
    runs: runs.map((each): RatedRun => rate(each, thresholds)),
    notes: ['a note on all'],
    seconds: 300,
  };
}
