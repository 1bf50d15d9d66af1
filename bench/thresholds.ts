import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { Growth, Line } from './part.ts';

/** What a figure may be at most. */
export interface Threshold {
  /** What is aimed at: `ok` up to it, `short` above. */
  readonly target: number;
  /** A target in this unit instead of a ratio: shown, but never a reason to fail. */
  readonly absolute?: Line['unit'] | undefined;
  /** The ratio above which the short form fails; it fails as well where nothing was measured against it. */
  readonly short?: number | undefined;
}

/** bench/thresholds.json. */
export interface Thresholds {
  /** The date they were set, and how. */
  readonly set: string;
  readonly how: string;
  /** By the name of a part, then by the id of a line. */
  readonly parts: Readonly<Record<string, Readonly<Record<string, Threshold>>>>;
  /** Of the exponents that curves are fitted with. */
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

/** Reads thresholds out of JSON; what they may not be is a ZodError. */
export function parseThresholds(text: string): Thresholds {
  return schema.parse(JSON.parse(text));
}

/** Those of this repository. */
export function readThresholds(): Thresholds {
  return parseThresholds(readFileSync(join(import.meta.dirname, 'thresholds.json'), 'utf8'));
}
