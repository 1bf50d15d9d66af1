import { type Growing, growths } from './fit.ts';
import type { Machine } from './machine.ts';
import type { Curve, Line, Part, Size } from './part.ts';
import type { Run } from './part-run.ts';
import type { Threshold, Thresholds } from './thresholds.ts';

/** Up to its target, or not. */
export type Verdict = 'ok' | 'short';

/** A line beside what it may be at most. */
export interface RatedLine extends Line {
  readonly target?: number;
  readonly verdict?: Verdict;
}

/** A curve beside how its series grow. */
export interface RatedCurve extends Curve {
  readonly growths: readonly Growing[];
  readonly target?: number;
  readonly verdict?: Verdict;
}

/** A part that was run, rated. */
export interface RatedRun extends Omit<Run, keyof Part> {
  readonly lines: readonly RatedLine[];
  readonly curves: readonly RatedCurve[];
  readonly notes: readonly string[];
}

/** Everything a run of the bench found out. */
export interface Report {
  /** When it began: UTC, ISO 8601. */
  readonly date: string;
  readonly size: Size;
  readonly machine: Machine;
  /** What was measured of the program: when it was built, and whether this run did it. */
  readonly build: string;
  readonly runs: readonly RatedRun[];
  /** What to know of all the figures. */
  readonly notes: readonly string[];
  readonly seconds: number;
}

/** Puts each figure of a run beside its target. */
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
 * Why a run fails, a sentence each. A part that failed always does. What is short of its target does not; what is above its bound for the
 * short form does there, and so does a figure with such a bound that is missing: a bench that measures nothing must not pass.
 */
export function failuresOf({ runs, size }: Report, thresholds: Thresholds): string[] {
  const failed = runs.filter(({ error }) => error !== undefined).map(({ name }) => `the part ${name} failed`);
  return size === 'full' ? failed : [...failed, ...runs.flatMap((run) => beyond(run, thresholds))];
}

/** What a run should have measured and did not, by id. */
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
  if (figure === undefined) return `${what} was not measured, and may be ${bound} at most`;
  // NaN is not at most anything.
  return figure <= bound ? undefined : `${what} is ${figure.toFixed(2)}, and may be ${bound} at most`;
}

function verdictOn(figure: number | undefined, target: number): { target: number; verdict: Verdict } {
  return { target, verdict: figure !== undefined && figure <= target ? 'ok' : 'short' };
}

/** What a threshold is held against among the lines, if it was measured. */
export function figureIn(lines: readonly Line[], id: string, threshold: Threshold): number | undefined {
  const line = lines.find((each) => each.id === id);
  return line && figureOf(line, threshold);
}

/** What a target is held against: the ratio, or the median where the target is absolute. */
function figureOf({ value, unit, against }: Line, { absolute }: Threshold): number | undefined {
  if (absolute === undefined) return against?.ratio;
  return absolute === unit ? value.median : undefined;
}

/** What the target of a curve is held against, if its series was fitted. */
export function exponentOf({ growths: all, expect }: RatedCurve): number | undefined {
  return all.find(({ series }) => series === expect?.series)?.worst;
}
