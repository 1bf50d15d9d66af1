/** Tells whether a value is valid for a field. */
export type Check = (value: unknown) => boolean;

/**
 * Returns the name of the first field of a parsed JSON object that fails its check: '' if the value
 * isn't an object, undefined if every field passes. Fields without a check may hold anything: a
 * newer version may have written them.
 *
 * Written by hand, because it checks what is read before a list can be shown: zod is 95 modules,
 * and loading them took a quarter of the time of `coffer sessions`.
 */
export function wrongField(value: unknown, checks: Readonly<Record<string, Check>>): string | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return '';
  const fields = new Map(Object.entries(value));
  return Object.keys(checks).find((name) => !checks[name]?.(fields.get(name)));
}

/** Tells whether a value is a string. */
export function isText(value: unknown): value is string {
  return typeof value === 'string';
}

/** Tells whether a value is an integer that a double holds exactly. */
export function isInteger(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

/** Returns a check that also accepts a missing field. */
export function optional(check: Check): Check {
  return (value) => value === undefined || check(value);
}

/** Returns a check that accepts only these values. */
export function oneOf(...allowed: readonly unknown[]): Check {
  return (value) => allowed.includes(value);
}
