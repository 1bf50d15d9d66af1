import type { Sample } from './sample.ts';

/*
 * A fault campaign attacks one promise of the vault, on the real code in real processes, and says in figures what it found.
 * What was acknowledged is recorded by the campaign, never by the vault under test.
 */

/** A deliberately wrong way of doing it, put through the same attack: a campaign that does not catch it can't find a fault. */
export interface Control {
  /** What is wrong with it: `overwriting in place`. */
  readonly name: string;
  /** In how many cases its fault showed; 0 means that the campaign is blind. */
  readonly caught: number;
  readonly cases: number;
}

/** What a campaign found. */
export interface Figures {
  /** How many states, faults or inputs were tried. */
  readonly cases: number;
  /** Acknowledged steps (or keys, or sessions) that were gone afterwards. Promised: 0. */
  readonly lost: number;
  /** Forgeries and damaged bytes that were believed. Promised: 0. Undefined where the campaign forges nothing. */
  readonly accepted?: number;
  readonly controls: readonly Control[];
  /** Further figures, each a short phrase for people: `stray temps left 0`, `frames cut after the last mark 12`. */
  readonly notes: readonly string[];
  /** Everything that broke a promise, one line each with what reproduces it. Empty when all is as promised. */
  readonly failures: readonly string[];
}

/** One attack. */
export interface Campaign {
  /** As the table shows it: `every crash point`. */
  readonly name: string;
  /** What has to be there: programs on PATH, `root`. Where one is missing the campaign is not run, and that fails the whole run. */
  readonly needs: readonly string[];
  /** The longest it may take, in seconds, on a machine on which `node -e 0` takes {@link REFERENCE_MS}; a slower one gets more. */
  readonly limits: { readonly short: number; readonly whole: number };
  /** Runs the cases of `sample` in a folder of its own, which the caller removes; `tell` reports progress. */
  run(folder: string, tell: (line: string) => void, sample: Sample): Promise<Figures>;
}

/** How many milliseconds `node -e 0` takes on the machine that limits are stated for. */
export const REFERENCE_MS = 40;
