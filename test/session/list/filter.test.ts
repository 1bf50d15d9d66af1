import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CofferError } from '../../../src/errors.ts';
import {
  type Filter,
  filterRows,
  parseCount,
  parseSinceHours,
  parseStatuses,
} from '../../../src/session/list/filter.ts';
import type { Row } from '../../../src/session/list/row.ts';
import { temporaryFolder } from '../../support/vault.ts';

function row(number: number, more: Partial<Row> = {}): Row {
  const id = `2025-07-04_12-3${number}`;
  return {
    ...{ number, fileId: `${number}`.repeat(32), label: id, autosave: false, kind: 'session', id, uuid: '', begun: 0 },
    ...{
      updated: 1000 - number,
      directory: '/',
      model: 'demo/echo',
      messages: 2,
      inputTokens: null,
      outputTokens: null,
    },
    ...{ cost: null, status: 'completed', firstEvent: 1, lastEvent: 1 },
    ...more,
  };
}

const rows = [
  row(1, { status: 'running', name: 'Token Check' }),
  row(2, { status: 'interrupted', tags: ['auth'], archived: true }),
  row(3, { status: 'failed', title: 'the ΑΣΣΟΣ bug', directory: '/work' }),
  row(4, { unreadable: new CofferError('UNAUTHENTIC', 'broken'), status: 'failed' }),
];

function numbers(filter: Filter): number[] {
  return filterRows(rows, filter).rows.map(({ number }) => number);
}

describe('filterRows', () => {
  it('omits archived rows by default, and counts them', () => {
    expect(filterRows(rows, {})).toMatchObject({ rows: [{ number: 1 }, { number: 3 }, { number: 4 }], archived: 1 });
    expect(filterRows(rows, { archived: true })).toEqual({ rows, archived: 0 });
    expect(filterRows(rows, { text: 'token' }).archived).toBe(0);
  });

  it('keeps row numbers, and omits unreadable rows if a filter is set', () => {
    expect(numbers({ statuses: parseStatuses('failed'), archived: true })).toEqual([2, 3]);
    expect(numbers({ statuses: parseStatuses('running,failed') })).toEqual([1, 3]);
    expect(numbers({ since: 998, archived: true })).toEqual([1, 2]);
    expect(numbers({ since: 0, archived: true })).toEqual([1, 2, 3]);
  });

  it.each([
    ['token check', [1]],
    ['AUTH', [2]],
    ['ασσος', [3]],
    ['12-33', [3]],
    ['.*', []],
    ['', [1, 2, 3]],
  ])('finds %j in a name, a title, an id or a tag', (text, found) => {
    expect(numbers({ text, archived: true })).toEqual(found);
  });

  it('matches the rows of a directory, and of the same project in a directory that is gone', () => {
    const folder = temporaryFolder();
    const there = join(folder, 'there');
    mkdirSync(there);
    const project = { first: 'c'.repeat(40), path: '' };
    const here = { directory: '/here', branch: undefined, worktree: undefined, project };
    const all = [
      row(1, { directory: '/here' }),
      row(2, { directory: join(folder, 'gone'), project }),
      row(3, { directory: there, project }),
    ];
    expect(filterRows(all, { here }).rows.map(({ number }) => number)).toEqual([1, 2]);
  });
});

describe('parseStatuses', () => {
  it('accepts several, and includes interrupted in failed', () => {
    expect([...parseStatuses(' running, cancelled ')]).toEqual(['running', 'cancelled']);
    expect([...parseStatuses('failed')]).toEqual(['failed', 'interrupted']);
    expect([...parseStatuses('interrupted')]).toEqual(['interrupted']);
  });

  it.each(['', 'done', 'running,', 'Running', 'running completed'])('rejects %j and lists the statuses', (text) => {
    expect(() => parseStatuses(text)).toThrow(
      /^--status takes running, completed, cancelled, failed, interrupted, .*, not /,
    );
  });
});

describe('parseSinceHours', () => {
  it.each([
    ['24', 24],
    ['0.5', 0.5],
    ['.5', 0.5],
    [' 1. ', 1],
  ])('accepts %j', (text, hours) => {
    expect(parseSinceHours(text, 100_000_000)).toBe(100_000_000 - hours * 3_600_000);
  });

  it.each(['', 'x', '0', '-1', '1e3', '0x10', 'Infinity', '1,5', '9'.repeat(400)])('rejects %j', (text) => {
    expect(() => parseSinceHours(text)).toThrow(expect.objectContaining({ code: 'USAGE' }));
  });
});

describe('parseCount', () => {
  it('accepts whole numbers of at least 1', () => {
    expect(['1', '50', ' 007 '].map((text) => parseCount('--limit', text))).toEqual([1, 50, 7]);
  });

  it.each(['', '0', '-1', 'x', '1.5', '1e3', '9'.repeat(20)])('rejects %j', (text) => {
    expect(() => parseCount('--limit', text)).toThrow(/^--limit takes a whole number of at least 1, not /);
  });
});
