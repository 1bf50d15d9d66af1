import type { Spread } from './measure.ts';

/** The results of a part of the bench. */
export interface Part {
  readonly lines: readonly Line[];
  readonly curves: readonly Curve[];
  /** Parts left out with the reason, and remarks on the figures. */
  readonly notes: readonly string[];
}

/** One measurement. */
export interface Line {
  /** A stable id, such as 'step-1mb', by which thresholds.json rates the line. */
  readonly id: string;
  /** A description, such as 'a step of 2 KB in a 1 MB session'. */
  readonly what: string;
  /** The values, in `unit`. */
  readonly value: Spread;
  readonly unit: 'ms' | 'MiB' | '%' | 'flushes';
  /** The baseline and the ratio to it; the ratio is rated, unless the target is absolute. */
  readonly against?: { readonly what: string; readonly ratio: number };
}

/** A cost as a function of a size or count: plotted on logarithmic axes, and fitted. */
export interface Curve {
  /** A stable id; the name of the chart's file. */
  readonly id: string;
  readonly title: string;
  /** The label of an axis, its unit last in parentheses: 'size of the session (bytes)'. */
  readonly x: string;
  readonly y: string;
  readonly series: readonly Series[];
  /** The fastest acceptable growth of one series. */
  readonly expect?: { readonly series: string; readonly atMost: Growth };
}

/** A series of points x, y, each greater than 0. */
export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [number, number])[];
}

/** The growth of a cost. */
export type Growth = 'flat' | 'linear';

/**
 * `full`: everything, within ten minutes; `short`: for CI, at most two minutes, at smaller sizes.
 */
export type Size = 'full' | 'short';

/** Measures one part, with its data in `folder`, which is empty and on the disk to measure. */
export type Measure = (folder: string, size: Size) => Promise<Part>;
