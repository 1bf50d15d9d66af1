import { type Growing, growths } from './fit.ts';
import type { Machine } from './machine.ts';
import type { Curve, Line, Part, Size } from './part.ts';
import type { Run } from './part-run.ts';
import type { Threshold, Thresholds } from './thresholds.ts';

/** `ok` if a figure is at most its target, else `short`. */
export type Verdict = 'ok' | 'short';

/** A line with its target. */
export interface RatedLine extends Line {
  readonly target?: number;
  readonly verdict?: Verdict;
}

/** A curve with the growth of its series. */
export interface RatedCurve extends Curve {
  readonly growths: readonly Growing[];
  readonly target?: number;
  readonly verdict?: Verdict;
}

/** A part that was run, with ratings. */
export interface RatedRun extends Omit<Run, keyof Part> {
  readonly lines: readonly RatedLine[];
  readonly curves: readonly RatedCurve[];
  readonly notes: readonly string[];
}

/** The results of a bench run. */
export interface Report {
  /** The start of the run: UTC, ISO 8601. */
  readonly date: string;
  readonly size: Size;
  readonly machine: Machine;
  /** The build of the program that was measured: its date, and whether this run made it. */
  readonly build: string;
  readonly runs: readonly RatedRun[];
  /** Remarks on all figures. */
  readonly notes: readonly string[];
  readonly seconds: number;
}

/** Rates each figure of a run against its target. */
export function rate(run: Run, thresholds: Thresholds): RatedRun {
  const known = thresholds.parts[run.name] ?? {};
  const lines = run.lines.map((line): RatedLine => {
    const threshold = known[line.id];
    return threshold ? { ...line, ...verdictOn(figureOf(line, threshold), threshold.target) } : line;
  });
  const curves = run.curves.map((curve): RatedCurve => {
    const rated = { ...curve, growths: growths(curve) };
    if (curve.expect === undefined) return rated;
    return { ...rated, ...verdictOn(exponentOf(rated), thresholds.growth[curve.expect.atMost].target) };
  });
  return { ...run, lines, curves };
}

/**
 * Returns the reasons why a run fails. A part that failed always fails the run. A missed target
 * never does. In the short form, a figure above its bound fails the run, and so does a missing
 * figure that has a bound: a bench that measures nothing must not pass.
 */
export function failuresOf({ runs, size }: Report, thresholds: Thresholds): string[] {
  const failed = runs.filter(({ error }) => error !== undefined).map(({ name }) => `the part ${name} failed`);
  return size === 'full' ? failed : [...failed, ...runs.flatMap((run) => beyond(run, thresholds))];
}

/** Returns the ids of the figures that a run should have measured and didn't. */
export function missingOf({ runs }: Report, thresholds: Thresholds): string[] {
  return runs.flatMap(({ name, lines }) =>
    Object.entries(thresholds.parts[name] ?? {})
      .filter(([id, threshold]) => figureIn(lines, id, threshold) === undefined)
      .map(([id]) => id),
  );
}

function beyond({ name, lines, curves }: RatedRun, { parts, growth }: Thresholds): string[] {
  const ratios = Object.entries(parts[name] ?? {}).map(([id, threshold]) =>
    judged(id, figureIn(lines, id, threshold), threshold.short),
  );
  const exponents = curves.flatMap((curve) =>
    curve.expect ? [judged(`growth of ${curve.id}`, exponentOf(curve), growth[curve.expect.atMost].short)] : [],
  );
  return [...ratios, ...exponents].filter((reason) => reason !== undefined);
}

function judged(what: string, figure: number | undefined, bound: number | undefined): string | undefined {
  if (bound === undefined) return undefined;
  if (figure === undefined) return `${what} was not measured; the limit is ${bound}`;
  // NaN must fail, and any comparison with it is false.
  return figure <= bound ? undefined : `${what} is ${figure.toFixed(2)}; the limit is ${bound}`;
}

function verdictOn(figure: number | undefined, target: number): { target: number; verdict: Verdict } {
  return { target, verdict: figure !== undefined && figure <= target ? 'ok' : 'short' };
}

/** Returns the figure that a threshold is compared with, if it was measured. */
export function figureIn(lines: readonly Line[], id: string, threshold: Threshold): number | undefined {
  const line = lines.find((each) => each.id === id);
  return line && figureOf(line, threshold);
}

/** Returns the ratio, or the median if the target is absolute. */
function figureOf({ value, unit, against }: Line, { absolute }: Threshold): number | undefined {
  if (absolute === undefined) return against?.ratio;
  return absolute === unit ? value.median : undefined;
}

/** Returns the exponent that the target of a curve is compared with, if its series was fitted. */
export function exponentOf({ growths: all, expect }: RatedCurve): number | undefined {
  return all.find(({ series }) => series === expect?.series)?.worst;
}
