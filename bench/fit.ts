import type { Curve, Series } from './part.ts';

/** The power law y = c·x^k that fits the points best. */
export interface Fit {
  readonly c: number;
  /** 0 is flat, 1 is linear. */
  readonly k: number;
  /** The standard error of `k`; 0 for two points, which a line always fits exactly. */
  readonly spread: number;
}

/** The growth of a series. */
export interface Growing extends Fit {
  readonly series: string;
  /**
   * The greater of the exponents over all points and over the last two decades of x, which shows a
   * rise that only large values have.
   */
  readonly worst: number;
}

/**
 * Fits by least squares on the logarithms. Throws a RangeError unless there are two points of
 * different x, and all coordinates are greater than 0.
 */
export function powerLaw(points: Series['points']): Fit {
  if (points.some(([x, y]) => !(x > 0 && y > 0))) throw new RangeError('a fit needs values greater than 0');
  const logs = points.map(([x, y]) => [Math.log(x), Math.log(y)] as const);
  const meanX = mean(logs.map(([x]) => x));
  const meanY = mean(logs.map(([, y]) => y));
  const squares = sum(logs.map(([x]) => (x - meanX) ** 2));
  if (!(squares > 0)) throw new RangeError('a fit needs two points of different x');
  const k = sum(logs.map(([x, y]) => (x - meanX) * (y - meanY))) / squares;
  const intercept = meanY - k * meanX;
  const errors = sum(logs.map(([x, y]) => (y - intercept - k * x) ** 2));
  const freedom = points.length - 2;
  return { c: Math.exp(intercept), k, spread: freedom > 0 ? Math.sqrt(errors / freedom / squares) : 0 };
}

/** Fits every series of a curve that has at least two points of different x. */
export function growths({ series }: Curve): Growing[] {
  return series
    .filter(({ points }) => new Set(points.map(([x]) => x)).size > 1)
    .map(({ name, points }) => {
      const all = powerLaw(points);
      const far = Math.max(...points.map(([x]) => x)) / 100;
      const last = points.filter(([x]) => x >= far * 0.99);
      const worst = new Set(last.map(([x]) => x)).size > 2 ? Math.max(all.k, powerLaw(last).k) : all.k;
      return { series: name, ...all, worst };
    });
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function mean(values: readonly number[]): number {
  return sum(values) / values.length;
}
