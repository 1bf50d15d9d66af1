import { describe, expect, it } from 'vitest';
import { askedFor, retryIn } from '../../../src/chat/wire/retry.ts';

const NOW = Date.parse('2026-11-20T12:00:00Z');

describe('a failed request', () => {
  const waits = (status: number | undefined, headers: unknown = {}, word?: string): (number | undefined)[] =>
    [1, 2, 3].map((attempt) => retryIn({ status, headers, word }, attempt));

  it.each([408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529])(
    'with %d is made again after a second, then after two, and no more',
    (status) => {
      expect(waits(status)).toEqual([1, 2, undefined]);
    },
  );

  it.each([undefined, 301, 400, 401, 403, 404, 413, 422, 501, 505])('with %s is not retried', (status) => {
    expect(waits(status)).toEqual([undefined, undefined, undefined]);
  });

  it('is retried when the server says, at most a minute later', () => {
    expect(waits(429, { 'retry-after': '7' })).toEqual([7, 7, undefined]);
    expect(waits(429, { 'retry-after': '60' })).toEqual([60, 60, undefined]);
    expect(waits(429, { 'retry-after': '61' })).toEqual([undefined, undefined, undefined]);
  });

  it('because of an exhausted quota is not retried', () => {
    expect(waits(429, {}, 'insufficient_quota')).toEqual([undefined, undefined, undefined]);
  });
});

describe('how long a server asks to wait', () => {
  it.each([
    [{ 'retry-after': '20' }, 20],
    [{ 'retry-after': '0.5' }, 0.5],
    [{ 'retry-after-ms': '1500', 'retry-after': '20' }, 1.5],
    [{ 'retry-after': 'Fri, 20 Nov 2026 12:00:09 GMT' }, 9],
    [{ 'retry-after': 'Fri, 20 Nov 2026 11:00:00 GMT' }, 0],
    [{ 'retry-after-ms': 'soon', 'retry-after': '3' }, 3],
    [{ 'retry-after': 'soon' }, undefined],
    [{ 'retry-after': '-1e9' }, undefined],
    [{}, undefined],
    [undefined, undefined],
  ])('with %j is %s seconds', (headers, seconds) => {
    expect(askedFor(headers, NOW)).toBe(seconds);
  });
});
