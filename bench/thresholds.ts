import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { Growth, Line } from './part.ts';

/** The limits of a figure. */
export interface Threshold {
  /** The target: `ok` up to it, `short` above. */
  readonly target: number;
  /**
   * The unit of an absolute target; otherwise it is a ratio. An absolute target is shown, but never
   * fails a run.
   */
  readonly absolute?: Line['unit'] | undefined;
  /** The ratio above which the short form fails; it also fails if the figure is missing. */
  readonly short?: number | undefined;
}

/** The content of bench/thresholds.json. */
export interface Thresholds {
  /** The date on which the bounds were set; `how` describes the way. */
  readonly set: string;
  readonly how: string;
  /** Thresholds by part name, then by line id. */
  readonly parts: Readonly<Record<string, Readonly<Record<string, Threshold>>>>;
  /** Thresholds for the exponents that curves are fitted with. */
  readonly growth: Readonly<Record<Growth, Threshold>>;
}

const ratio = z.number().positive();
const threshold = z
  .strictObject({ target: ratio, absolute: z.enum(['ms', 'MiB', '%', 'flushes']).optional(), short: ratio.optional() })
  .refine(({ absolute, short }) => absolute === undefined || short === undefined, 'a time is never a reason to fail')
  .refine(({ target, short }) => short === undefined || short >= target, 'the short form is stricter than the target');
const schema = z.strictObject({
  set: z.iso.date(),
  how: z.string().min(1),
  parts: z.record(z.string(), z.record(z.string(), threshold)),
  growth: z.strictObject({ flat: threshold, linear: threshold }),
});

/** Parses thresholds from JSON. Throws a ZodError if they are invalid. */
export function parseThresholds(text: string): Thresholds {
  return schema.parse(JSON.parse(text));
}

/** Reads the thresholds of this repository. */
export function readThresholds(): Thresholds {
  return parseThresholds(readFileSync(join(import.meta.dirname, 'thresholds.json'), 'utf8'));
}
