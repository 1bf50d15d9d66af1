import { existsSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { type Searched, type SearchHit, search, wantedText } from '../../../src/session/search/search.ts';
import type { Sessions } from '../../../src/session/sessions.ts';
import { fillVast, realistic } from '../../support/vast.ts';
import { type Home, home, reply, user } from '../../support/vault.ts';

const SESSIONS = 30;

describe('a search with an index', () => {
  it('opens only sessions that may contain the text, and finds the same as a search without an index', async () => {
    const at = await filled();
    const first = await looked(at, 'gasket xq7z');
    expect(first.opened).toBe(SESSIONS);
    expect(existsSync(join(at.directory, 'texts'))).toBe(true);
    for (const [text, most] of [
      ['gasket xq7z', 3],
      ['GASKET XQ7Z', 3],
      ['Gä\u0308sket', 3],
      ['nowhere at all', 3],
      ['日本', 3],
      ['function', SESSIONS],
      ['ga', SESSIONS],
      ['tagged', 0],
    ] as const) {
      const { opened, found } = await looked(at, text);
      expect(opened, text).toBeLessThanOrEqual(most);
      expect(found, text).toEqual(await foundWithout(at, text));
    }
    expect((await looked(at, 'gasket xq7z')).found).toHaveLength(1);
  });

  it('finds text recorded since, and no deleted text', async () => {
    const at = await filled();
    await looked(at, 'gasket xq7z');
    const sessions = await at.open();
    const rows = await sessions.list();
    await sessions.change(rows[3]!, (session) => session.append(user('a flange'), reply('and gasket xq7z too')));
    const after = await looked(at, 'gasket xq7z');
    expect(after.opened).toBeLessThan(5);
    expect(after.found).toHaveLength(2);
    expect((await looked(at, 'a flange')).found).toHaveLength(1);
    await sessions.delete((await sessions.list()).find(({ uuid }) => uuid === rows[3]!.uuid)!);
    expect(existsSync(join(at.directory, 'texts'))).toBe(false);
    expect((await looked(at, 'gasket xq7z')).found).toHaveLength(1);
    expect((await looked(at, 'a flange')).found).toEqual([]);
  });

  it('reports unreadable sessions on each search', async () => {
    const at = await filled();
    const [broken, other] = at.files();
    truncateSync(at.path(broken!), 300);
    await looked(at, 'gasket xq7z');
    expect((await looked(at, 'nowhere')).found).toMatchObject([{ error: { code: 'UNAUTHENTIC' } }]);
    const bytes = readFileSync(at.path(other!));
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(at.path(other!), bytes);
    expect((await looked(at, 'nowhere')).found).toHaveLength(2);
    expect(await foundWithout(at, 'nowhere')).toHaveLength(2);
  });

  it('reads an unreadable session once per search, and not again for the index', async () => {
    const at = await filled(3, 300_000);
    const [broken] = at.files();
    const bytes = readFileSync(at.path(broken!));
    bytes[60_000]! ^= 1;
    writeFileSync(at.path(broken!), bytes);
    expect(await looked(at, 'nowhere at all')).toMatchObject({ opened: 3, openedAfter: 2 });
    expect(await looked(at, 'nowhere at all')).toMatchObject({ opened: 1, openedAfter: 0 });
  });

  it('finds names and tags of sessions that it does not open', async () => {
    const at = await filled();
    const sessions = await at.open();
    const [row] = await sessions.list();
    await sessions.change(row!, (session) => session.append({ type: 'tags', tags: ['pumps'] }));
    await looked(at, 'gasket xq7z');
    const { found } = await looked(at, 'pumps');
    expect(found).toEqual(await foundWithout(at, 'pumps'));
    expect(found).toMatchObject([{ matches: [{ role: 'tag', line: 'pumps' }] }]);
  });

  it('is not built for a search that was abandoned', async () => {
    const at = await filled();
    const sessions = await at.open();
    for await (const _ of search(sessions, await sessions.list(), 'function')) break;
    await sessions.close();
    expect(existsSync(join(at.directory, 'texts'))).toBe(false);
  });

  it('adds the sessions of a filtered search, and then those of the next', async () => {
    const at = await filled();
    const sessions = await at.open();
    const rows = await sessions.list();
    const some = async (from: number, to: number): Promise<void> => {
      for await (const _ of search(sessions, rows.slice(from, to), 'nowhere'));
      await sessions.upkeep.settle();
    };
    await some(0, 12);
    await some(12, SESSIONS);
    expect((await looked(at, 'gasket xq7z')).opened).toBeLessThan(4);
    expect((await looked(at, 'gasket xq7z')).found).toEqual(await foundWithout(at, 'gasket xq7z'));
  });
});

/** Makes a vault of settled sessions, each with a text of its own. */
async function filled(sessions = SESSIONS, bytes = 12_000): Promise<Home> {
  const at = home();
  const said = realistic(bytes);
  const events = (number: number) => [...said(number), user(number === 11 ? 'the GÄSKET' : `the Gasket xq${number}z`)];
  await fillVast({ directory: at.directory, keyring: at.keyring, sessions, events });
  const latest = Math.max(...at.files().map((name) => statSync(at.path(name)).ctimeMs));
  await pause(Math.max(0, latest + 102 - Date.now()));
  return at;
}

/**
 * Searches for a text like a separate process, until the index is saved. Counts the sessions opened
 * during and after the search.
 */
async function looked(at: Home, text: string): Promise<{ found: SearchHit[]; opened: number; openedAfter: number }> {
  const sessions = await at.open();
  let opened = 0;
  const counting: Searched = {
    texts: () => sessions.texts(),
    scan: (row, onLines) => {
      opened++;
      return sessions.scan(row, onLines);
    },
  };
  const found = await all(counting, sessions, text);
  const during = opened;
  await sessions.close();
  return { found, opened: during, openedAfter: opened - during };
}

async function foundWithout(at: Home, text: string): Promise<SearchHit[]> {
  const sessions = await at.open();
  return all({ scan: (row, onLines) => sessions.scan(row, onLines) }, sessions, text);
}

async function all(searched: Searched, sessions: Sessions, text: string): Promise<SearchHit[]> {
  const found: SearchHit[] = [];
  for await (const one of search(searched, await sessions.list(), wantedText(text))) found.push(one);
  return found;
}
