import { describe, expect, it } from 'vitest';
import { clock } from './clock.ts';
import { type Hold, overlapsIn, Spans } from './writers-holds.ts';

function hold(pid: number, from: number, until: number, fileId = 'one'): Hold {
  return { pid, fileId, from, until };
}

describe('overlapsIn', () => {
  it('finds none if one hold follows the other, in whatever order they are given', () => {
    expect(overlapsIn([hold(2, 20, 30), hold(1, 10, 20), hold(3, 30, 40)])).toEqual([]);
    expect(overlapsIn([hold(1, 10, 20), hold(2, 15, 25, 'two')])).toEqual([]);
  });

  it('finds two at once', () => {
    expect(overlapsIn([hold(2, 19, 30), hold(1, 10, 20)])).toEqual(['1 and 2 both had one for 1 µs']);
  });

  it('finds a hold inside another one, and the next one as well', () => {
    const found = overlapsIn([hold(1, 10, 100), hold(2, 20, 30), hold(3, 40, 50)]);
    expect(found).toEqual(['1 and 2 both had one for 10 µs', '1 and 3 both had one for 10 µs']);
  });

  it('counts a process that never released its hold', () => {
    expect(overlapsIn([hold(1, 10, Number.POSITIVE_INFINITY), hold(2, 20, 30)])).toHaveLength(1);
  });
});

describe('Spans', () => {
  it('knows which process was at a file since when', () => {
    const spans = new Spans();
    const before = clock();
    const span = spans.begin(1, 'one');
    expect(spans.had(1, 'one', before)).toBe(true);
    expect(spans.had(1, 'two', before)).toBe(false);
    expect(spans.had(2, 'one', before)).toBe(false);
    spans.end(span);
    expect(spans.had(1, 'one', before - 1)).toBe(true);
    expect(spans.had(1, 'one', clock() + 1)).toBe(false);
  });

  it('counts a process that makes a new file as being at any file', () => {
    const spans = new Spans();
    spans.begin(1, undefined);
    expect(spans.had(1, 'one', clock())).toBe(true);
  });
});
