import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { keepingCaches } from '../../../src/session/change/removal.ts';
import { search } from '../../../src/session/search/search.ts';
import type { Sessions } from '../../../src/session/sessions.ts';
import { ENOUGH, indexOf, settle, textOf, titleOf } from '../../support/indexed.ts';
import { fillVast, realistic } from '../../support/vast.ts';
import { type Home, home, user } from '../../support/vault.ts';

describe('a deletion that keeps the caches', () => {
  it('leaves the list and the index without the deleted sessions, and opens no session', async () => {
    const { at, fileIds } = await searched();
    expect(await textOf(at)).toContain(titleOf(7));
    await using sessions = await at.open();
    const doomed = (await sessions.list()).filter(({ fileId }) => fileId === fileIds[7] || fileId === fileIds[8]);
    await keepingCaches(sessions, doomed, async () => {
      for (const row of doomed) await sessions.delete(row);
      expect([existsSync(indexOf(at)), existsSync(join(at.directory, 'texts'))]).toEqual([false, false]);
    });
    expect(await textOf(at)).toContain(titleOf(9));
    for (const number of [7, 8]) expect(await textOf(at)).not.toContain(titleOf(number));
    const texts = await sessions.texts();
    const { unknown } = await texts.lookUp(doomed, [1]);
    expect(unknown).toHaveLength(2);
    expect(await opened(sessions, 'nowhere at all')).toBeLessThan(ENOUGH - 2);
  });

  it('restores the caches if a deletion fails, and touches nothing if there is nothing to delete', async () => {
    const { at } = await searched();
    await using sessions = await at.open();
    const [row] = await sessions.list();
    const refused = keepingCaches(sessions, [row!], async () => {
      await sessions.delete(row!);
      await sessions.delete(row!);
    });
    await expect(refused).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
    const nothing = { texts: () => Promise.reject(new Error('asked')), list: () => Promise.reject(new Error('asked')) };
    await keepingCaches(nothing, [], async () => undefined);
    expect(existsSync(join(at.directory, 'texts'))).toBe(true);
  });
});

/**
 * Makes a vault that was listed and searched. Its index has two frames; the second one holds the
 * first ten sessions.
 */
async function searched(): Promise<{ at: Home; fileIds: string[] }> {
  const at = home();
  const said = realistic(40_000);
  const events = (number: number) => [user(titleOf(number)), ...said(number)];
  const fileIds = await fillVast({ directory: at.directory, keyring: at.keyring, sessions: ENOUGH, events });
  await settle(at);
  await using sessions = await at.open();
  const rows = await sessions.list();
  const first = new Set(fileIds.slice(0, 10));
  for (const some of [rows.filter(({ fileId }) => !first.has(fileId)), rows]) {
    for await (const _ of search(sessions, some, 'nowhere'));
    await sessions.upkeep.settle();
  }
  return { at, fileIds };
}

/** Returns the number of sessions that a search for a text opens. */
async function opened(sessions: Sessions, text: string): Promise<number> {
  let count = 0;
  const scan: Sessions['scan'] = async (row, onLines) => {
    count++;
    await sessions.scan(row, onLines);
  };
  for await (const _ of search({ scan, texts: () => sessions.texts() }, await sessions.list(), text));
  return count;
}
