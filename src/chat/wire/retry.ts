/** Attempts per request, including the first. */
const TRIES = 3;

/** Longest pause to wait for if a server asks for one, in seconds; after that the request fails. */
const LONGEST_WAIT = 60;

/**
 * Statuses of transient failures: too many requests, overloaded, temporarily broken. 408, 409 and
 * 425 belong here, 501 and 505 don't.
 */
const TRANSIENT: ReadonlySet<number> = new Set([408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529]);

/**
 * Returns how many seconds to wait before retrying a failed request; undefined if it should not be
 * retried. `attempt` counts from 1. Servers may specify the time in `retry-after-ms` or
 * `retry-after` (seconds or a date, RFC 9110 §10.2.3); otherwise it is 1 s, then 2 s.
 */
export function retryIn(
  { status, headers, word }: { status: number | undefined; headers: unknown; word: string | undefined },
  attempt: number,
): number | undefined {
  if (attempt >= TRIES || status === undefined || !TRANSIENT.has(status) || word === 'insufficient_quota')
    return undefined;
  const seconds = askedFor(headers) ?? 2 ** (attempt - 1);
  return seconds <= LONGEST_WAIT ? seconds : undefined;
}

/**
 * Returns how many seconds the response headers (names in lower case) ask to wait; undefined if
 * they don't.
 */
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
