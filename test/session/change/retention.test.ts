import { describe, expect, it } from 'vitest';
import { CofferError } from '../../../src/errors.ts';
import { clockTrouble, expiredOf, isOff, type Policy, takesAll } from '../../../src/session/change/retention.ts';
import type { Row } from '../../../src/session/list/row.ts';
import { summarize } from '../../../src/session/list/summary.ts';
import { emptyState } from '../../../src/session/state.ts';

const DAY = 86_400_000;
const NOW = Date.parse('2025-07-04T12:00:00Z');

/** Returns the row of a session last used `days` days ago. */
function row(id: string, days: number, parts: Partial<Row> = {}): Row {
  const summary = summarize({ ...emptyState, status: 'completed' }, { kind: 'session', id, uuid: id, name: undefined });
  return {
    ...summary,
    number: 1,
    fileId: id,
    label: id,
    autosave: false,
    updated: NOW - days * DAY,
    status: 'completed',
    ...parts,
  };
}

function ids(rows: readonly Row[], policy: Policy): string[] {
  return expiredOf(rows, policy, NOW).map(({ row: { id } }) => id);
}

/** One row of each kind that is never pruned. */
const kept: readonly Row[] = [
  row('named', 99, { name: 'fixing auth' }),
  row('named snapshot', 99, { kind: 'snapshot', name: 'before' }),
  row('pinned', 99, { pinned: true }),
  row('pinned snapshot', 99, { kind: 'snapshot', pinned: true }),
  row('held', 99, { held: { pid: 1, since: 0 } }),
  row('unreadable', 99, { unreadable: new CofferError('UNAUTHENTIC', 'damaged') }),
  row('rolled back', 99, { rolledBack: 'an older copy' }),
];

describe('retention', () => {
  it('is off by default', () => {
    expect(isOff({})).toBe(true);
    expect(isOff({ maxSessions: 1 })).toBe(false);
    expect(isOff({ retentionDays: 1 })).toBe(false);
    expect(ids([row('old', 9999)], {})).toEqual([]);
  });

  it.each(kept.map((one) => [one.id, one] as const))('never deletes a row that is %s', (_, one) => {
    expect(ids([row('a', 1), one], { maxSessions: 1, retentionDays: 1 })).toEqual([]);
  });

  it('deletes the same rows if they are not protected', () => {
    expect(ids([row('a', 1), row('plain', 99)], { maxSessions: 1 })).toEqual(['plain']);
    const rows = [row('a', 0), row('plain', 99), row('taken', 99, { kind: 'snapshot' })];
    expect(ids(rows, { retentionDays: 1 })).toEqual(['plain', 'taken']);
  });

  it('returns the reason', () => {
    expect(expiredOf([row('n', 3), row('a', 40)], { retentionDays: 30 }, NOW)[0]?.reason).toBe(
      'it is 37 days older than the newest session, the limit is 30',
    );
    expect(expiredOf([row('a', 1), row('b', 2)], { maxSessions: 1 }, NOW)[0]?.reason).toBe(
      'it has no name and is not among the newest 1',
    );
  });
});

describe('retention by count', () => {
  it('keeps the newest, and returns the others oldest first', () => {
    const rows = [row('b', 2), row('d', 4), row('a', 1), row('c', 3)];
    expect(ids(rows, { maxSessions: 2 })).toEqual(['d', 'c']);
    expect(ids(rows, { maxSessions: 4 })).toEqual([]);
  });

  it('always keeps the current session, which counts, and snapshots, which do not', () => {
    const present = row('present', 9, { autosave: true });
    const rows = [row('a', 1), present, row('b', 2), row('s', 50, { kind: 'snapshot' }), row('n', 50, { name: 'n' })];
    expect(ids(rows, { maxSessions: 1 })).toEqual(['b', 'a']);
    const named = { ...present, name: 'the present one' };
    expect(ids([row('a', 1), named], { maxSessions: 1 })).toEqual(['a']);
  });

  it('does not count named or pinned sessions', () => {
    const newer = kept.filter(({ name, pinned }) => name !== undefined || pinned === true);
    const rows = [...newer.map((one) => ({ ...one, updated: NOW })), row('a', 1), row('b', 2)];
    expect(newer).toHaveLength(4);
    expect(ids(rows, { maxSessions: 2 })).toEqual([]);
  });
});

describe('retention by age', () => {
  it('deletes sessions older than the limit, to the millisecond', () => {
    const rows = [row('a', 30), row('b', 31), row('c', 0)];
    expect(ids(rows, { retentionDays: 30 })).toEqual(['b']);
    expect(ids([row('a', 30, { updated: NOW - 30 * DAY - 1 }), row('n', 0)], { retentionDays: 30 })).toEqual(['a']);
  });

  it.each([-20_000, -40, 0, 40, 400, 20_000])('does not depend on a clock that is %i days off', (off) => {
    const rows = [row('b', 31), row('a', 29), row('n', 0)];
    const found = expiredOf(rows, { retentionDays: 30 }, NOW + off * DAY).map(({ row: { id } }) => id);
    expect(found).toEqual(off < 0 ? [] : ['b']);
    expect(expiredOf(rows.slice(0, 1), { retentionDays: 30 }, NOW + off * DAY)).toEqual([]);
  });

  it.each<[string, Row[], boolean]>([
    ['nothing', [row('a', 1), row('n', 0)], false],
    ['some', [row('b', 40), row('a', 20), row('n', 0)], false],
    ['all but the newest', [row('b', 40), row('a', 41), row('n', 0)], true],
    ['the only one but the newest', [row('b', 40), row('n', 0)], true],
    ['all but the newest and protected ones', [...kept, row('b', 40), row('n', 0)], true],
    ['all before a gap, with several after it', [row('b', 80), row('c', 81), row('a', 1), row('n', 0)], true],
    ['some, without a gap', [row('b', 80), row('c', 50), row('a', 28), row('n', 0)], false],
    ['all, and the newest is pinned', [row('b', 40), row('n', 0, { pinned: true })], true],
    ['nothing, because all are protected', [...kept, row('n', 0)], false],
    ['nothing, because there are no sessions', [], false],
  ])('requires a question if it would delete all: %s', (_, rows, all) => {
    expect(takesAll(rows, { retentionDays: 30 }, NOW)).toBe(all);
    expect(takesAll(rows, { maxSessions: 1 }, NOW)).toBe(false);
  });

  it('requires a question if it would delete all but the newest, however short the gap', () => {
    const rows = [row('b', 10), row('a', 9), row('n', 0)];
    expect(takesAll(rows, { retentionDays: 5 }, NOW)).toBe(true);
    expect(takesAll([...rows, row('c', 4)], { retentionDays: 5 }, NOW)).toBe(false);
  });

  it('deletes nothing by age if a session was saved in the future', () => {
    const rows = [row('old', 99), row('ahead', -1)];
    expect(ids(rows, { retentionDays: 30 })).toEqual([]);
    expect(clockTrouble(rows, NOW)).toContain('ahead was saved in the future, at 2025-07-05T12:00:00.000Z');
    expect(clockTrouble([row('old', 99)], NOW)).toBeUndefined();
    expect(ids(rows, { maxSessions: 1, retentionDays: 30 })).toEqual(['old']);
  });
});
