/** How often a request is made in all. */
const TRIES = 3;

/** A server that asks for a longer pause is not waited for, in seconds. */
const LONGEST = 60;

/** Too many requests, overloaded, or broken for a moment: 408, 409 and 425 are of that kind, 501 and 505 are not. */
const PASSING: ReadonlySet<number> = new Set([408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529]);

/**
 * Returns how many seconds to wait before a request that failed is made again; undefined if it should not be. `attempt` counts from 1.
 * Servers say how long in `retry-after-ms` or `retry-after` (seconds or a date, RFC 9110 §10.2.3); without them it is 1 s, then 2 s.
 */
export function retryIn(
  { status, headers, word }: { status: number | undefined; headers: unknown; word: string | undefined },
  attempt: number,
): number | undefined {
  if (attempt >= TRIES || status === undefined || !PASSING.has(status) || word === 'insufficient_quota')
    return undefined;
  const seconds = askedFor(headers) ?? 2 ** (attempt - 1);
  return seconds <= LONGEST ? seconds : undefined;
}

/** How many seconds the headers of a response, in lower case, ask to wait. */
export function askedFor(headers: unknown, now: number = Date.now()): number | undefined {
  if (typeof headers !== 'object' || headers === null) return undefined;
  const milliseconds = Reflect.get(headers, 'retry-after-ms');
  if (isNumber(milliseconds)) return Number(milliseconds) / 1000;
  const after: unknown = Reflect.get(headers, 'retry-after');
  if (isNumber(after)) return Number(after);
  const date = typeof after === 'string' ? Date.parse(after) : Number.NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, (date - now) / 1000);
}

function isNumber(value: unknown): boolean {
  return typeof value === 'string' && /^\d{1,8}(\.\d{1,6})?$/.test(value);
}
