import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { openVault } from '../../src/session/open-vault.ts';
import { requirePosix } from '../files/facilities.ts';
import { makePlace, type Place } from '../support/coffer.ts';
import { reply, user } from '../support/vault.ts';

beforeEach(requirePosix);

describe('coffer sessions --search on a terminal', () => {
  it('shows its progress, and each match as it finds it', async () => {
    await using place = await makePlace();
    await furnish(place, 30);
    await using terminal = place.terminal(['sessions', '--search', 'number 2', '--all']);
    await terminal.waitFor(/searching \d+ of 30/);
    await terminal.waitFor(/ 1\) _autosave.*number 29/);
    await terminal.waitFor(/#4 user: number 29/);
    await terminal.waitFor(/#4 user: number 2\n/);
    expect(await terminal.exit).toEqual({ code: 0, signal: null });
    const found = terminal.screen().match(/#4 user: number \d+/g) ?? [];
    expect(found).toEqual([29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 2].map((number) => `#4 user: number ${number}`));
  });
});

describe('coffer sessions --search through a pipe', () => {
  it('ends quietly when the reader closes the pipe', async () => {
    await using place = await makePlace();
    await furnish(place, 40);
    const result = await place.run(['sessions', '--search', 'number', '--all'], {
      onOutput: (_, child) => child.stdout?.destroy(),
    });
    expect(result).toMatchObject({ code: 0, stderr: '' });
  });
});

describe('the sessions of a project', () => {
  it('are found with --here and -l after its directory was moved', async () => {
    await using place = await makePlace();
    const before = join(place.project, 'before');
    mkdirSync(before);
    const git = (...args: string[]): void => {
      const who = ['-c', 'user.name=me', '-c', 'user.email=me@here'];
      execFileSync('git', [...who, ...args], {
        cwd: before,
        env: { PATH: process.env['PATH'] ?? '', HOME: place.home },
      });
    };
    git('init', '--quiet');
    git('commit', '--quiet', '--allow-empty', '--message', 'first');
    await place.run(['--model', 'demo/echo'], { cwd: before, input: 'here\n' });
    await place.run(['--model', 'demo/echo'], { input: 'elsewhere\n' });
    const after = join(place.project, 'after');
    renameSync(before, after);
    const here = await place.run(['sessions', '--here', '--json'], { cwd: after });
    expect(JSON.parse(here.stdout)).toMatchObject([{ number: 2, directory: before, title: 'here' }]);
    const listed = await place.run(['-l'], { cwd: after });
    expect(listed.stdout).toBe(
      `sessions of ${after} (1):\n  2) here, 1 task, just now\nuse coffer -a <number or id> to resume one\n`,
    );
  });
});

/** Makes that number of sessions, each with its number. */
async function furnish(place: Place, count: number): Promise<void> {
  await using vault = await openVault({ directory: place.data, env: place.libraryEnv });
  for (let number = 0; number < count; number++) {
    const session = vault.begin({ directory: place.project, model: 'demo/echo' });
    await session.append(user(`number ${number}`));
    await session.append(reply('ok'));
    await session.close();
  }
}
