/*
 * Sets the bounds of the short form from runs of it: `npm run -s bench -- --short --json >
 * run-1.json` five times or more, on an otherwise idle machine (a busy disk pulls every ratio
 * towards 1), then `node bench/thresholds-set.ts run-*.json`.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Report } from './report.ts';
import { exponentOf, figureIn } from './report.ts';
import { readThresholds, type Threshold, type Thresholds } from './thresholds.ts';

/** The margin that two noisy processors need above the worst result seen. */
const ROOM = { ratio: 1.5, exponent: 0.2 };

/**
 * Returns the thresholds with bounds from these runs. A figure that no run measured gets no bound,
 * and neither does an absolute one.
 */
export function boundsFrom(reports: readonly Report[], { parts, growth }: Thresholds, date: string): Thresholds {
  const runs = reports.flatMap((report) => report.runs);
  const bounded = Object.entries(parts).map(([part, known]) => {
    const own = runs.filter(({ name }) => name === part);
    const set = Object.entries(known).map(([id, threshold]) => {
      const seen = threshold.absolute ? [] : own.map(({ lines }) => figureIn(lines, id, threshold));
      return [id, withBound(threshold, seen, (worst) => worst * ROOM.ratio)];
    });
    return [part, Object.fromEntries(set)];
  });
  const curves = runs.flatMap((run) => run.curves);
  const exponents = Object.entries(growth).map(([atMost, threshold]) => {
    const seen = curves.filter(({ expect }) => expect?.atMost === atMost).map(exponentOf);
    return [atMost, withBound(threshold, seen, (worst) => worst + ROOM.exponent)];
  });
  const how = `The targets are those that coffer was built for. Each bound is the worst of ${reports.length} runs of the short form, times ${ROOM.ratio} (exponents: plus ${ROOM.exponent}), and no less than its target; bench/thresholds-set.ts sets them.`;
  return {
    set: date,
    how,
    parts: Object.fromEntries(bounded),
    growth: Object.fromEntries(exponents) as unknown as Thresholds['growth'],
  };
}

function withBound(
  { target, absolute }: Threshold,
  figures: readonly (number | undefined)[],
  room: (worst: number) => number,
): Threshold {
  const seen = figures.filter((figure) => figure !== undefined);
  if (seen.length === 0) return absolute ? { target, absolute } : { target };
  return { target, short: Math.max(target, Math.round(room(Math.max(...seen)) * 100) / 100) };
}

if (import.meta.main) {
  const reports = process.argv.slice(2).map((path) => JSON.parse(readFileSync(path, 'utf8')) as Report);
  if (reports.length === 0 || reports.some(({ size }) => size !== 'short')) {
    throw new TypeError('name runs of the short form: npm run -s bench -- --short --json > run-1.json');
  }
  const set = boundsFrom(reports, readThresholds(), new Date().toISOString().slice(0, 10));
  writeFileSync(join(import.meta.dirname, 'thresholds.json'), `${JSON.stringify(set, undefined, 2)}\n`);
}
