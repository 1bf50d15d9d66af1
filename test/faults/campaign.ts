import type { Sample } from './sample.ts';

/*
 * A fault campaign attacks one promise of the vault, on the real code in real processes, and
 * reports its findings in figures. The campaign itself records what was acknowledged, never the
 * vault under test.
 */

/**
 * A deliberately wrong implementation under the same attack: a campaign that does not catch it
 * can't find a fault.
 */
export interface Control {
  /** Its fault: `overwriting in place`. */
  readonly name: string;
  /** Number of cases in which its fault showed; 0 means that the campaign is blind. */
  readonly caught: number;
  readonly cases: number;
}

/** The findings of a campaign. */
export interface Figures {
  /** Number of states, faults or inputs tried. */
  readonly cases: number;
  /** Acknowledged steps (or keys, or sessions) that were gone afterwards. Promised: 0. */
  readonly lost: number;
  /**
   * Forgeries and damaged bytes that were believed. Promised: 0. Undefined if the campaign forges
   * nothing.
   */
  readonly accepted?: number;
  readonly controls: readonly Control[];
  /**
   * Further figures, each a short phrase for readers: `stray temps left 0`, `frames cut after the
   * last mark 12`.
   */
  readonly notes: readonly string[];
  /**
   * Every broken promise, one line each with the way to reproduce it. Empty if all promises held.
   */
  readonly failures: readonly string[];
}

/** One attack. */
export interface Campaign {
  /** Its name in the table: `every crash point`. */
  readonly name: string;
  /**
   * Requirements: programs on PATH, `root`. If one is missing the campaign is not run, and that
   * fails the whole run.
   */
  readonly needs: readonly string[];
  /**
   * The longest it may take, in seconds, on a machine on which `node -e 0` takes {@link
   * REFERENCE_MS}. A slower machine gets more.
   */
  readonly limits: { readonly short: number; readonly whole: number };
  /**
   * Runs the cases of `sample` in a separate folder, which the caller removes. `tell` reports
   * progress.
   */
  run(folder: string, tell: (line: string) => void, sample: Sample): Promise<Figures>;
}

/** Milliseconds that `node -e 0` takes on the machine for which the limits are stated. */
export const REFERENCE_MS = 40;
