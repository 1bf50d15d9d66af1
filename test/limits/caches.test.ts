import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { appendFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { requirePosix, smallDisk } from '../files/facilities.ts';
import { makePlace, type Place, type Result } from '../support/coffer.ts';
import { fillVast, realistic } from '../support/vast.ts';

/** Enough sessions for both caches to be written. */
const SESSIONS = 60;
const CACHES = ['index', 'texts'] as const;
const LIST = ['sessions', '--json', '--all'];
const SEARCH = ['sessions', '--search', 'needle'];

/** Message of a search about a session that was deleted after it began. */
const GONE_MEANWHILE = /^\d+ can't be searched: there is no file [0-9a-f]{32} in the vault\n/gm;

beforeEach(requirePosix);

describe('the caches', () => {
  it('are written by a list and a search, whose output is the same as from the files', async () => {
    await using place = await filled();
    const plain = await withoutCaches(place);
    expect(cachesOf(place)).toEqual(['index', 'texts']);
    expect(await told(place)).toEqual(plain);
  });

  it('cost time but never return wrong results if they are outdated, damaged, from another vault or from a newer version', async () => {
    await using place = await filled();
    await using other = await filled();
    await told(place);
    await told(other);
    const kept = keep(place);
    // From here on the caches are outdated: one file less, one with another name, one more step.
    await expectFine(place, ['delete', '9', '--yes']);
    await expectFine(place, ['rename', '5', 'another name']);
    await expectFine(place, ['resume', '7', '--prompt', 'a needle of late']);
    const plain = await withoutCaches(place);
    const states: Record<string, (path: string, name: (typeof CACHES)[number]) => void> = {
      'of an earlier time': (path, name) => copyFileSync(kept[name], path),
      'of another vault': (path, name) => copyFileSync(join(other.data, name), path),
      'the other cache': (path, name) => copyFileSync(kept[name === 'index' ? 'texts' : 'index'], path),
      'a session': (path) =>
        copyFileSync(place.sessionFile(readdirSync(join(place.data, 'sessions')).sort()[0]!), path),
      'the marks': (path) => copyFileSync(join(place.data, 'seen'), path),
      empty: (path) => put(path, ''),
      'cut off': (path, name) => put(path, readFileSync(kept[name]).subarray(0, 3000)),
      'changed at its start': (path, name) => put(path, changed(readFileSync(kept[name]), 60)),
      'changed in the middle': (path, name) => put(path, changed(readFileSync(kept[name]), 3000)),
      'of a newer version': (path, name) => put(path, changed(readFileSync(kept[name]), 8)),
      'a directory': (path) => mkdirSync(path),
      'a link to nowhere': (path) => symlinkSync('/nowhere/at/all', path),
      'a pipe that nobody writes into': (path) => execFileSync('mkfifo', [path]),
    };
    for (const [state, make] of Object.entries(states)) {
      clear(place);
      for (const name of CACHES) make(join(place.data, name), name);
      expect({ state, ...(await told(place)) }).toEqual({ state, ...plain });
      expect({ state, strays: straysIn(place) }).toEqual({ state, strays: [] });
    }
    for (const state of ['of an earlier time', 'changed in the middle', 'of a newer version']) {
      for (const args of [
        ['doctor'],
        ['resume', '3', '--prompt', 'more'],
        ['--model', 'demo/echo', '--prompt', 'anew'],
      ]) {
        clear(place);
        for (const name of CACHES) states[state]!(join(place.data, name), name);
        const { code, stdout, stderr } = await place.run(args);
        expect({ state, args, code, stderr: code === 0 ? '' : stdout + stderr }).toEqual({
          state,
          args,
          code: 0,
          stderr: '',
        });
      }
    }
  });

  it('are left unwritten on a full disk, and on a read-only one, without a message and without a trace', async (context) => {
    const disk = smallDisk(context, '6m');
    await using place = await filled(join(disk.path, 'data'));
    const plain = await withoutCaches(place);
    clear(place);
    const filler = join(disk.path, 'filler');
    await fill(filler);
    expect(await told(place)).toEqual(plain);
    expect([...cachesOf(place), ...straysIn(place)]).toEqual([]);
    const chat = await place.run(['--model', 'demo/echo'], { input: 'one\n' });
    expect(chat).toMatchObject({ code: 15, stderr: expect.stringMatching(/NOT SAVED since \d\d:\d\d: disk full/) });
    await rm(filler);
    disk.remount('ro');
    expect(await told(place)).toEqual(plain);
    expect(cachesOf(place)).toEqual([]);
    expect((await place.run(['resume', '1', '--prompt', 'more'])).code).toBe(15);
    disk.remount('rw');
    expect(await told(place)).toEqual(plain);
    expect(cachesOf(place)).toEqual(['index', 'texts']);
  });

  it('show nothing that was deleted or redacted to concurrent lists and searches', async () => {
    await using place = await filled();
    const names = new Map((await place.listed()).map(({ fileId, id }) => [fileId, id]));
    const gone = new Set<string>();
    let isRedacted = false;
    let isOver = false;
    const watch = async (): Promise<number> => {
      let looks = 0;
      for (; !isOver; looks++) {
        const before = [...gone];
        const { code, stdout, stderr } = await place.run(looks % 2 === 0 ? LIST : SEARCH);
        expect({ code, stderr: stderr.replaceAll(GONE_MEANWHILE, '') }).toEqual({ code: 0, stderr: '' });
        if (looks % 2 === 1) continue;
        const rows = JSON.parse(stdout) as { fileId: string; id: string; unreadable?: unknown }[];
        for (const { fileId, id, unreadable } of rows) expect({ id, unreadable }).toEqual({ id: names.get(fileId) });
        expect(rows.filter(({ fileId }) => before.includes(fileId))).toEqual([]);
      }
      return looks;
    };
    const change = async (): Promise<void> => {
      const rows = await place.listed();
      for (const { fileId, id } of rows.slice(10, 15)) {
        await expectFine(place, ['delete', id, '--yes']);
        gone.add(fileId);
      }
      // The newest is row 1, and every third contains the needle.
      const { id } = rows[SESSIONS - 1 - 39]!;
      expect((await place.run(SEARCH)).stdout).toContain(id);
      await expectFine(place, ['redact', id], 'a needle in 39\n');
      expect((await place.run(SEARCH)).stdout).not.toContain(id);
      isRedacted = true;
    };
    const [one, two] = await Promise.all([
      watch(),
      watch(),
      change().finally(() => {
        isOver = true;
      }),
    ]);
    expect(isRedacted).toBe(true);
    expect(Math.min(one, two)).toBeGreaterThan(1);
  });
});

/** Makes a place with sessions that each contain the needle, in a separate folder. */
async function filled(data?: string): Promise<Place> {
  const place = await makePlace(data === undefined ? {} : { data });
  await fillVast({
    directory: place.data,
    env: place.libraryEnv,
    sessions: SESSIONS,
    events: (number) => [
      ...realistic(1500)(number),
      ...(number % 3 === 0
        ? [{ type: 'message' as const, message: { role: 'user' as const, content: `a needle in ${number}` } }]
        : []),
    ],
  });
  return place;
}

/** Returns the output of a list and a search. */
async function told(place: Place): Promise<Record<string, unknown>> {
  const [list, search] = [await place.run(LIST), await place.run(SEARCH)];
  return { list: plainly(list), search: plainly(search) };
}

function plainly({ code, signal, stdout, stderr }: Result): object {
  return { code, signal, stdout, stderr };
}

async function withoutCaches(place: Place): Promise<Record<string, unknown>> {
  clear(place);
  return told(place);
}

async function expectFine(place: Place, args: readonly string[], input = ''): Promise<void> {
  const { code, stderr } = await place.run(args, { input });
  expect({ args, code, stderr: code === 0 ? '' : stderr }).toEqual({ args, code: 0, stderr: '' });
}

function clear(place: Place): void {
  for (const name of CACHES) rmSync(join(place.data, name), { recursive: true, force: true });
}

function cachesOf(place: Place): string[] {
  return readdirSync(place.data).filter((name) => name === 'index' || name === 'texts');
}

/** Lists temporary files anywhere in the vault. */
function straysIn(place: Place): string[] {
  return readdirSync(place.data, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.tmp'));
}

/** Copies the current caches, by name. */
function keep(place: Place): Record<(typeof CACHES)[number], string> {
  const copy = (name: string): string => {
    const path = join(place.root, `kept-${name}`);
    renameSync(join(place.data, name), path);
    return path;
  };
  return { index: copy('index'), texts: copy('texts') };
}

function put(path: string, content: Buffer | string): void {
  writeFileSync(path, content, { mode: 0o600 });
}

function changed(bytes: Buffer, at: number): Buffer {
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  return bytes;
}

/** Fills the disk to the last byte. */
async function fill(filler: string): Promise<void> {
  await appendFile(filler, '');
  for (const size of [65_536, 4096, 1]) {
    try {
      for (;;) await appendFile(filler, Buffer.alloc(size));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    }
  }
}
