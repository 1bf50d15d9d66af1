import type { Spread } from './measure.ts';

/** What a part of the bench found. */
export interface Part {
  readonly lines: readonly Line[];
  readonly curves: readonly Curve[];
  /** What was left out and why, and what to know about the figures. */
  readonly notes: readonly string[];
}

/** One thing that was measured. */
export interface Line {
  /** Stable, as 'step-1mb': thresholds.json rates a line by it. */
  readonly id: string;
  /** As 'a step of 2 KB in a 1 MB session'. */
  readonly what: string;
  /** In `unit`. */
  readonly value: Spread;
  readonly unit: 'ms' | 'MiB' | '%' | 'flushes';
  /** What it is compared with, and how many times that it is: this is rated, unless the target is absolute. */
  readonly against?: { readonly what: string; readonly ratio: number };
}

/** A cost over something: plotted on logarithmic axes, and fitted. */
export interface Curve {
  /** Stable; names the picture's file. */
  readonly id: string;
  readonly title: string;
  /** What an axis shows, its unit last in parentheses: 'size of the session (bytes)'. */
  readonly x: string;
  readonly y: string;
  readonly series: readonly Series[];
  /** How fast the series of that name may grow. */
  readonly expect?: { readonly series: string; readonly atMost: Growth };
}

/** Points of one colour: x and y, each greater than 0. */
export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [number, number])[];
}

/** How fast a cost may grow with what it is measured over. */
export type Growth = 'flat' | 'linear';

/** `full`: all of it, everything within ten minutes; `short`: for CI, at most two minutes, at smaller sizes. */
export type Size = 'full' | 'short';

/** Measures one part, with its data below `folder`, which is empty and on the disk that is measured. */
export type Measure = (folder: string, size: Size) => Promise<Part>;
