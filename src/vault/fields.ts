/** Tells whether a value is what a field may have. */
export type Check = (value: unknown) => boolean;

/**
 * Names the first field of a parsed JSON object that is not what its check wants: '' where it is no object at all, undefined where
 * everything is right. Fields without a check may be anything, a newer version may have written them.
 *
 * By hand, for what is read before a list can be shown: zod is 95 modules, a quarter of all that `coffer sessions` did.
 */
export function wrongField(value: unknown, checks: Readonly<Record<string, Check>>): string | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return '';
  const fields = new Map(Object.entries(value));
  return Object.keys(checks).find((name) => !checks[name]?.(fields.get(name)));
}

export function isText(value: unknown): value is string {
  return typeof value === 'string';
}

/** A whole number that a double holds exactly. */
export function isInteger(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

/** The check of a field that may be missing. */
export function optional(check: Check): Check {
  return (value) => value === undefined || check(value);
}

export function oneOf(...allowed: readonly unknown[]): Check {
  return (value) => allowed.includes(value);
}
