import { spawn, spawnSync } from 'node:child_process';
import { closeSync, constants, existsSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { requireRoot } from '../chat/tools/support.ts';
import { makePlace, type Place, type Result } from '../support/coffer.ts';
import { HOSTILE, type Hostile, setTrap, type Trap } from './hostile-git.ts';

const CHAT = ['--model', 'demo/echo'];

/** The commands that record and compare the working directory; they run in every row. */
const FIRST = [...CHAT, '-p', 'one'];
const LAST = [...CHAT, 'resume', '1', '-p', 'three'];
const BESIDE: readonly (readonly string[])[] = [
  [...CHAT, '-c', '-p', 'two'],
  ['-l'],
  ['sessions'],
  ['sessions', '--here', '--json'],
  ['status', '1'],
  ['doctor'],
  ['export', '1'],
  ['config', 'list'],
  ['models'],
  ['complete', '--', 'resume', ''],
  ['--incognito', ...CHAT, '-p', 'four'],
];

/**
 * Returns a fifth of the other commands, different ones in neighbouring rows. All commands look at a
 * directory through the same function.
 */
function besideIn(row: Hostile): (readonly string[])[] {
  return BESIDE.filter((_, at) => (at + HOSTILE.indexOf(row)) % 5 === 0);
}

describe('a hostile directory', () => {
  it.for(HOSTILE)('runs no code and blocks nothing: $name', async (row, context) => {
    if (row.needsRoot) requireRoot(context);
    await using place = await makePlace();
    const { marker, env } = lay(place, row);
    const run = (args: readonly string[]): Promise<Result> => place.run(args, { env });
    const results = [await run(FIRST), ...(await Promise.all(besideIn(row).map(run))), await run(LAST)];
    expect(existsSync(marker)).toBe(false);
    for (const { code, signal, stderr } of results) {
      expect(signal).toBe(null);
      expect([0, 1, 2, 10]).toContain(code); // a pipe as settings is refused, and then there is no session
      expect(stderr).not.toContain('this is a bug');
    }
  });

  it('is looked at in the usual way by every command of the table', async () => {
    await using place = await makePlace();
    setTrap(place.root, place.project, join(place.root, 'marker'));
    for (const args of [FIRST, ...BESIDE, LAST]) expect(await place.run(args)).toMatchObject({ code: 0 });
  });

  it('lets a chat at a terminal begin and end', async () => {
    await using place = await makePlace();
    const row = HOSTILE.find(({ name }) => name === 'a pipe as HEAD');
    if (row === undefined) throw new Error('no such row');
    lay(place, row);
    await using chat = place.terminal(CHAT);
    await chat.waitFor(/» /);
    chat.key('ctrl+d');
    expect(await chat.exit).toEqual({ code: 0, signal: null });
  });
});

describe('the table of hostile directories', () => {
  it.for(HOSTILE.filter(({ springs }) => springs !== undefined))('has a trap that works: $name', async (row) => {
    await using place = await makePlace();
    const { marker, trap } = lay(place, row);
    const user = ['-c', 'user.name=a', '-c', 'user.email=a@b.c'];
    spawnSync('git', [...user, ...(row.springs ?? [])], {
      cwd: trap.directory,
      env: { PATH: process.env['PATH'], HOME: place.home },
      input: 'protocol=https\nhost=a.invalid\n\n',
    });
    expect(existsSync(marker)).toBe(true);
  });

  it.for(HOSTILE.filter(({ caught }) => caught))('catches the old way of calling git: $name', async (row) => {
    await using place = await makePlace();
    const { marker, env } = lay(place, row);
    spawnSync(process.execPath, [BEFORE, place.project], { cwd: place.project, env: { ...place.env, ...env } });
    expect(existsSync(marker)).toBe(true);
  });

  it.for(HOSTILE.filter(({ hungOn }) => hungOn !== undefined))('catches what used to hang: $name', async (row) => {
    await using place = await makePlace();
    lay(place, row);
    const child = spawn(process.execPath, [BEFORE, place.project], { stdio: 'ignore' });
    try {
      // Opening the pipe for writing without blocking succeeds only while a reader waits on it.
      await readerOf(join(place.project, row.hungOn ?? ''));
    } finally {
      child.kill('SIGKILL');
    }
  });
});

const BEFORE = join(import.meta.dirname, 'hostile-before.ts');

function lay(place: Place, row: Hostile): { trap: Trap; marker: string; env: Record<string, string> } {
  const marker = join(place.root, 'marker');
  const trap = setTrap(place.root, place.project, marker);
  return { trap, marker, env: row.make(trap) ?? {} };
}

async function readerOf(pipe: string): Promise<void> {
  for (;;) {
    try {
      closeSync(openSync(pipe, constants.O_WRONLY | constants.O_NONBLOCK));
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENXIO') throw error;
    }
    await sleep(10);
  }
}
