import { describe, expect, it } from 'vitest';
import type { Row } from '../../../src/session/list/row.ts';
import { lastSession, selectRow } from '../../../src/session/list/select.ts';

function row(number: number, id: string, more: Partial<Row> = {}): Row {
  return {
    number,
    fileId: `${number}`.repeat(32),
    label: id,
    autosave: false,
    kind: 'session',
    id,
    uuid: `${number}b6682a8-0000-4000-8000-000000000000`,
    begun: 0,
    updated: 100 - number,
    directory: '/',
    model: 'demo/echo',
    messages: 1,
    inputTokens: null,
    outputTokens: null,
    cost: null,
    status: 'completed',
    firstEvent: 1,
    lastEvent: 1,
    ...more,
  };
}

const rows = [
  row(1, '2026-11-20_12-31', { label: '_autosave', autosave: true, updated: 1 }),
  row(2, '2026-11-20_12-30_fixing-auth-bug', { kind: 'snapshot', name: 'fixing-auth-bug' }),
  row(3, '2026-11-20_12-30_fixing-auth-bug-2', { kind: 'snapshot', name: 'fixing-auth-bug' }),
  row(4, '2025-01-01_00-00_only', { kind: 'snapshot', name: 'only' }),
];

describe('selectRow', () => {
  it.each([
    ['1', 1],
    [' 2 ', 2],
    ['_autosave', 1],
    ['last', 1],
    ['2026-11-20_12-30_fixing-auth-bug', 2],
    ['2026-11-20_12-30_fixing-auth-bug-2', 3],
    ['only', 4],
    ['2025', 4],
    ['4b6682a8', 4],
    ['4B66', 4],
    ['2026-11-20_12-31', 1],
  ])('resolves %s to row %i', (which, number) => {
    expect(selectRow(which, rows).number).toBe(number);
  });

  it('rejects an ambiguous prefix and names the candidates', () => {
    expect(() => selectRow('2026-11-20_12-30', rows)).toThrow(
      '2026-11-20_12-30 could be any of 2: 2026-11-20_12-30_fixing-auth-bug, 2026-11-20_12-30_fixing-auth-bug-2',
    );
    expect(() => selectRow('fixing-auth-bug', rows)).toThrow('could be any of 2');
  });

  it.each(['99', 'nothing', '', '0', '-1', '5', '202'])('finds nothing for "%s"', (which) => {
    expect(() => selectRow(which, rows)).toThrow(expect.objectContaining({ code: 'SESSION_NOT_FOUND' }));
  });

  it('does not take a wrong row number for a prefix of a UUID', () => {
    const unlucky = [row(1, '2026-11-20_12-31', { uuid: '99b6682a-0000-4000-8000-000000000000' })];
    expect(() => selectRow('99', unlucky)).toThrow(expect.objectContaining({ code: 'SESSION_NOT_FOUND' }));
    expect(selectRow('99b6', unlucky).number).toBe(1);
  });

  it('resolves a row number in the list that was shown', () => {
    const now = [row(1, '2026-11-20_13-00_new'), ...rows.map((old) => ({ ...old, number: old.number + 1 }))];
    expect(selectRow('2', now, rows).id).toBe('2026-11-20_12-30_fixing-auth-bug');
    expect(() => selectRow('4', rows.slice(0, 3), rows)).toThrow('no longer exists');
  });

  it('finds nothing in an empty vault', () => {
    expect(() => selectRow('last', [])).toThrow(expect.objectContaining({ code: 'SESSION_NOT_FOUND' }));
  });
});

describe('lastSession', () => {
  const NOW = 1_000;
  const pointed = (updated: number) => row(1, 'pointed', { label: '_autosave', autosave: true, begun: 100, updated });
  const other = (begun: number, updated: number, more: Partial<Row> = {}) =>
    row(2, 'other', { begun, updated, ...more });

  it.each<[string, Row[], string | undefined]>([
    ['the newest', [pointed(500), other(50, 400)], 'pointed'],
    ['one that was open at the same time as _autosave and used later', [pointed(500), other(50, 600)], 'other'],
    ['_autosave, if it was resumed after another that began later', [pointed(500), other(550, 600)], '_autosave'],
    ['_autosave, saved by a clock far behind', [pointed(0), other(700, 800)], '_autosave'],
    ['_autosave, if another is dated in the future', [pointed(500), other(50, 2_000)], '_autosave'],
    ['the newest, if _autosave is held', [{ ...pointed(500), held: { pid: 1, since: 0 } }, other(50, 400)], 'other'],
    ['the newest, if _autosave points elsewhere', [other(50, 2_000), row(3, 'third', { updated: 1 })], 'other'],
    ['none', [], undefined],
  ])('is %s', (_, among, expected) => {
    const found = lastSession(among, NOW);
    expect(found?.id).toBe(expected === '_autosave' ? 'pointed' : expected);
  });
});
