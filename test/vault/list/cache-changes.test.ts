import { execFile } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { redactionOf, redactSession } from '../../../src/session/change/redact.ts';
import { openHead } from '../../../src/vault/file/open.ts';
import type { Rewrapping } from '../../../src/vault/keys/slots/rewrap.ts';
import {
  ENOUGH,
  filled,
  indexed,
  indexOf,
  listed,
  listedAfresh,
  partsOf,
  settle,
  tempsIn,
  textOf,
  titleOf,
} from '../../support/indexed.ts';
import { keyOf } from '../../support/marks.ts';
import { begin, crashed, type Home, home, reply, user } from '../../support/vault.ts';

/** Text that zstd can't shrink enough for the file to be overwritten at every step. */
const noise = Array.from({ length: 60_000 }, (_, index) => Math.sin(index + 1).toString(36)).join('');

describe('the index after a removal', () => {
  it('has nothing of a deleted session, neither at once nor after the next list', async () => {
    const { at, fileIds } = await indexed();
    expect(await textOf(at)).toContain(titleOf(7));
    const other = await at.open();
    await other.list();
    await using sessions = await at.open();
    await sessions.delete((await sessions.list()).find(({ fileId }) => fileId === fileIds[7])!);
    expect(existsSync(indexOf(at))).toBe(false);
    for (const lister of [sessions, other, await at.open()]) {
      expect(await lister.list()).toHaveLength(ENOUGH - 1);
      expect(await textOf(at)).toContain(titleOf(8));
      expect(await textOf(at)).not.toContain(titleOf(7));
    }
  });

  it('is dropped before a deletion, so that another process notices by the file that what it read is outdated', async () => {
    const { at } = await indexed();
    const { place } = await partsOf(at);
    expect(() => place.remove('0'.repeat(32))).toThrow(expect.objectContaining({ code: 'NOT_SAVED' }));
    expect(existsSync(indexOf(at))).toBe(false);
  });

  it('is dropped before a redaction, even if that fails', async () => {
    const { at, fileIds } = await indexed();
    await using sessions = await at.open();
    const row = (await sessions.list()).find(({ fileId }) => fileId === fileIds[7])!;
    const [there, away] = [join(at.directory, 'sessions'), join(at.directory, 'away')];
    const failing = sessions.change(row, async (session) => {
      renameSync(there, away);
      try {
        await redactSession(session, redactionOf('country 7'));
      } finally {
        expect(existsSync(indexOf(at))).toBe(false);
        renameSync(away, there);
      }
    });
    await expect(failing).rejects.toMatchObject({ code: 'NOT_SAVED' });
  });

  it('has none of the redacted words', async () => {
    const { at, fileIds } = await indexed();
    expect(await textOf(at)).toContain('country 7');
    await using sessions = await at.open();
    const row = (await sessions.list()).find(({ fileId }) => fileId === fileIds[7])!;
    await sessions.change(row, (session) => redactSession(session, redactionOf('country 7')));
    expect(existsSync(indexOf(at))).toBe(false);
    await settle(at);
    const rows = await listed(at);
    expect(rows.find(({ fileId }) => fileId === fileIds[7])?.title).toBe('what is the capital of [redacted]');
    expect(await textOf(at)).toContain('[redacted]');
    expect(await textOf(at)).not.toContain('country 7');
  });

  it('has nothing sealed with the old key after a rotation', async () => {
    const { at } = await indexed();
    const { keys: before } = await partsOf(at);
    const stale = await at.open();
    await stale.list();
    await using sessions = await at.open();
    await sessions.keys.rotate(NOBODY);
    expect(existsSync(indexOf(at))).toBe(false);
    await stale.list();
    expect((await partsOf(at)).index.read(before).rows.size).toBe(0);
    rmSync(indexOf(at), { force: true });
    await settle(at);
    expect(await listed(at)).toEqual(await listedAfresh(at));
    const { index, keys } = await partsOf(at);
    expect(index.read(keys).rows.size).toBe(ENOUGH);
    expect(index.read(before).rows.size).toBe(0);
  });
});

it('a vault with a directory in place of a cache can be deleted from, redacted and rotated as usual', async () => {
  const { at, fileIds } = await filled();
  const places = [indexOf(at), join(at.directory, 'texts')];
  for (const path of places) mkdirSync(path);
  await using sessions = await at.open();
  const [first, second] = await sessions.list();
  await sessions.delete(first!);
  await sessions.change(second!, (session) => redactSession(session, redactionOf('capital')));
  await sessions.keys.rotate(NOBODY);
  expect(await sessions.list()).toHaveLength(fileIds.length - 1);
  expect((await sessions.list())[0]?.title).toContain('[redacted]');
  for (const path of places) expect(lstatSync(path).isDirectory()).toBe(true);
});

describe('a file that only grew', () => {
  it('is walked from its previous end, in the same process and in the next', async () => {
    const { at } = await indexed();
    const sessions = await at.open();
    const session = begin(sessions);
    await session.append(user(noise));
    for (let step = 0; step < 20; step++) await session.append(reply(`step ${step}`));
    const fileId = session.fileId!;
    const key = await keyOf(at);
    const before = openHead(at.path(fileId), fileId, key);
    expect(before.links.length).toBeGreaterThan(5);
    await session.append(user('one more'));
    const whole = openHead(at.path(fileId), fileId, key);
    expect(whole.links.length).toBe(before.links.length + 1);
    const sparse = before.links.map((link, frame) => (frame === before.links.length - 1 ? link : undefined));
    const grown = openHead(at.path(fileId), fileId, key, undefined, { ...before, links: sparse });
    expect(grown).toEqual({ ...whole, links: [...sparse, whole.links.at(-1)] });
    const wrong = [...sparse.slice(0, -1), Buffer.alloc(32)];
    expect(openHead(at.path(fileId), fileId, key, undefined, { ...before, links: wrong })).toEqual(whole);
    const header = { generation: 99n };
    expect(openHead(at.path(fileId), fileId, key, undefined, { ...before, header })).toEqual(whole);
    await sessions.close();
  });

  it('is listed with its new content, and compared with a mark of any of its frames', async () => {
    const { at } = await indexed();
    const sessions = await at.open();
    const session = begin(sessions);
    await session.append(user(noise));
    for (let step = 0; step < 9; step++) await session.append(reply(`step ${step}`));
    const left = crashed(at);
    const fileId = session.fileId!;
    await sessions.close();
    rmSync(indexOf(left));
    await settle(left);
    await listed(left);
    const { seen, keys, index } = await partsOf(left);
    const { links, header } = openHead(left.path(fileId), fileId, keys.key);
    const known = index.read(keys).rows.get(fileId)!.head.links;
    expect(known.filter((link) => link !== undefined)).toHaveLength(2);
    expect(known).toHaveLength(links.length);
    for (const frames of [1, 2, 3, links.length]) {
      seen.record(keys, new Map([[fileId, { generation: header.generation, frames, link: links[frames - 1]! }]]));
      expect((await listed(left)).filter(({ rolledBack }) => rolledBack !== undefined)).toEqual([]);
    }
    seen.record(
      keys,
      new Map([[fileId, { generation: header.generation, frames: links.length + 1, link: links[0]! }]]),
    );
    expect((await listed(left)).filter(({ rolledBack }) => rolledBack !== undefined)).toMatchObject([{ fileId }]);
  });
});

describe('a new session', () => {
  it('gets a unique id, whether the others are known from the index or not', async () => {
    const { at } = await indexed(home(), 120);
    // The minute must be the same a second later: it is part of the ids.
    vi.useFakeTimers({ toFake: ['Date'], now: Math.ceil(Date.now() / 60_000) * 60_000 });
    onTestFinished(() => void vi.useRealTimers());
    const ids: string[] = [];
    const add = async (from: Home): Promise<void> => {
      await using sessions = await from.open();
      const session = begin(sessions);
      await session.append(user('now'));
      ids.push(session.id!);
    };
    await add(at);
    vi.setSystemTime(Date.now() + 1000);
    rmSync(indexOf(at));
    await listed(at);
    await add(at);
    const { index, keys } = await partsOf(at);
    expect(index.readIds(keys).size).toBe(121);
    rmSync(indexOf(at));
    await add(at);
    const [first] = ids;
    expect(ids).toEqual([first, `${first}-2`, `${first}-3`]);
  });

  it('in a process that created others examines none of them again', async () => {
    const at = home();
    await using sessions = await at.open();
    const ids: string[] = [];
    vi.useFakeTimers({ toFake: ['Date'] });
    onTestFinished(() => void vi.useRealTimers());
    for (let number = 0; number < 5; number++) {
      const session = begin(sessions);
      await session.append(user('one'));
      ids.push(session.id!);
      await session.close();
    }
    expect(ids).toEqual([ids[0], ...[2, 3, 4, 5].map((number) => `${ids[0]}-${number}`)]);
  });
});

describe('a process that has listed before', () => {
  it.each(['with an index', 'without one'])('lists what another one has changed since, %s', async (index) => {
    const { at, fileIds } = await (index === 'with an index' ? indexed() : filled(undefined, 3));
    await settle(at);
    await using sessions = await at.open();
    await using other = await at.open();
    const listedNow = async () => (await sessions.list()).find(({ fileId }) => fileId === fileIds[1])!;
    const row = await listedNow();
    expect(row).toMatchObject({ title: titleOf(1), messages: 2 });
    await other.change(row, (session) => session.append(user('one more'), { type: 'pin', pinned: true }));
    expect(await listedNow()).toMatchObject({ messages: 3, pinned: true });
  });
});

describe('processes that list concurrently', () => {
  it('see the current files, and leave a valid index or none', async () => {
    const { at } = await indexed();
    const key = await keyOf(at);
    const child = join(import.meta.dirname, 'cache-child.ts');
    const args = [child, at.directory, key.id, key.bytes().toString('hex'), '25'];
    const run = promisify(execFile);
    const listers = [1, 2].map(async () => (await run(process.execPath, args)).stdout);
    let running = true;
    const done = Promise.all(listers).finally(() => {
      running = false;
    });
    await using sessions = await at.open();
    while (running) {
      const session = begin(sessions);
      await session.append(user('a session that comes and goes'));
      await session.close();
      rmSync(indexOf(at), { force: true });
      await sessions.delete((await sessions.list()).find(({ fileId }) => fileId === session.fileId)!);
    }
    expect(await done).toEqual(['0\n', '0\n']);
    expect(tempsIn(at)).toEqual([]);
    expect(await textOf(at)).not.toContain('comes and goes');
    expect(await listed(at)).toEqual(await listedAfresh(at));
    if (existsSync(indexOf(at))) expect(readFileSync(indexOf(at)).length).toBeGreaterThan(0);
  });
});

/** Rewrapping options for a vault without slots: no prompt is expected. */
const NOBODY: Rewrapping = {
  passphrase: async () => undefined,
  confirmCode: async () => undefined,
  onDropped: () => undefined,
};
