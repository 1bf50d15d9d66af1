import { describe, expect, it } from 'vitest';
import { CofferError } from '../../../src/errors.ts';
import { toRows } from '../../../src/session/list/row.ts';
import { type Summary, summarize } from '../../../src/session/list/summary.ts';
import { emptyState } from '../../../src/session/state.ts';
import type { Listed } from '../../../src/vault/vault.ts';

const header = { kind: 'session', keyId: '0'.repeat(32), fileId: '0'.repeat(32), generation: 1n } as const;

function listed(id: string, updated: number, changed: number): Listed {
  const summary = summarize({ ...emptyState, updated }, { kind: 'snapshot', id, uuid: id, name: id });
  return {
    fileId: id.repeat(32),
    changed,
    held: undefined,
    head: { header, summary, torn: undefined, links: [], end: 52 },
    state: { ino: 1, size: 52, mtimeMs: changed, ctimeMs: changed },
  };
}

function unreadable(id: string): Listed {
  return { fileId: id.repeat(32), changed: 99, held: undefined, error: new CofferError('UNAUTHENTIC', 'no') };
}

describe('toRows', () => {
  it('puts _autosave first, then the newest, the last written first on a tie, and unreadable files last', () => {
    const files = [unreadable('e'), listed('a', 5, 1), listed('b', 5, 2), listed('c', 9, 0), listed('d', 1, 0)];
    for (const order of [files, files.toReversed()]) {
      const rows = toRows(order, 'd'.repeat(32));
      expect(rows.map((row) => row.fileId[0])).toEqual(['d', 'c', 'b', 'a', 'e']);
      expect(rows.map((row) => row.number)).toEqual([1, 2, 3, 4, 5]);
      expect(rows[0]!.label).toBe('_autosave');
    }
  });

  it('does not let fields of a newer version override its own', () => {
    const base = listed('a', 1, 1);
    if (!('head' in base)) throw new Error('unreadable');
    const summary: Summary = Object.assign({ ...base.head.summary }, { fileId: 'x', held: 'y', number: 9 });
    const [row] = toRows([{ ...base, head: { ...base.head, summary } }], undefined);
    expect(row).toMatchObject({ fileId: 'a'.repeat(32), number: 1, held: undefined });
  });
});
