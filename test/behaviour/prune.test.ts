import { beforeEach, describe, expect, it } from 'vitest';
import { pruneAtStart } from '../../src/cli/commands/session/prune.ts';
import { pruneSchema } from '../../src/cli/schemas.ts';
import { openVault, sessionsOf } from '../../src/session/open-vault.ts';
import type { Sessions } from '../../src/session/sessions.ts';
import { defaultSettings } from '../../src/settings/keys.ts';
import { requirePosix } from '../files/facilities.ts';
import { makePlace, type Place } from '../support/coffer.ts';
import { begin, user } from '../support/vault.ts';
import { FakeTerminal } from '../terminal/fake-terminal.ts';

beforeEach(requirePosix);

/** A front end without a user: every question goes unanswered. */
const nobody = { ask: async (): Promise<undefined> => undefined };

const echo = ['--model', 'demo/echo'];

/**
 * Makes a vault with sessions `one` to `four`, the last one current, one named, one pinned, and
 * snapshots with a name and without.
 */
async function filled(settings?: object): Promise<Place> {
  const place = await makePlace(settings === undefined ? {} : { settings });
  const lines = ['one', '/save', '/reset', 'two', '/rename kept', '/save kept as well', '/reset', 'three', '/pin'];
  await place.run(echo, { input: [...lines, '/reset', 'four', '/reset', 'five', ''].join('\n') });
  return place;
}

async function titles(place: Place): Promise<string[]> {
  const rows = (await place.listed()) as unknown as { kind: string; title?: string }[];
  return rows.map(({ kind, title }) => `${kind} ${title}`).sort();
}

const everything = [
  'session five',
  'session four',
  'session one',
  'session three',
  'session two',
  'snapshot one',
  'snapshot two',
];

describe('coffer prune', () => {
  it('deletes nothing unless a policy says so', async () => {
    await using place = await filled();
    const { code, stderr, stdout } = await place.run(['prune', '--yes']);
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    expect(stderr).toContain('retention is off');
    expect(await titles(place)).toEqual(everything);
  });

  it('only shows with --dry-run what it would delete, and then deletes exactly that', async () => {
    await using place = await filled({ maxSessions: 1 });
    const dry = await place.run(['prune', '--dry-run', '--yes', '--json']);
    expect(dry.code).toBe(0);
    const rows = JSON.parse(dry.stdout) as { title: string; id: string }[];
    expect(pruneSchema.safeParse(rows).error).toBeUndefined();
    expect(rows.map(({ title }) => title).sort()).toEqual(['four', 'one']);
    expect(await place.run(['prune', '--json'])).toMatchObject({ code: 2, stdout: '' });
    expect(await titles(place)).toEqual(everything);

    const { code, stdout, stderr } = await place.run(['prune', '--yes']);
    expect(code).toBe(0);
    for (const { id } of rows) {
      expect(stderr).toMatch(new RegExp(`will be deleted: ${id} .*: it has no name and is not among the newest 1`));
      expect(stdout).toContain(`deleted ${id}\n`);
    }
    const left = ['session five', 'session three', 'session two', 'snapshot one', 'snapshot two'];
    expect(await titles(place)).toEqual(left);
  });

  it('asks on a terminal', async () => {
    await using place = await filled({ maxSessions: 1 });
    await using refused = place.terminal(['prune']);
    await refused.waitFor(/delete these 2\? \[y\/N\] /);
    refused.enter('');
    expect(await refused.exit).toEqual({ code: 1, signal: null });
    expect(await titles(place)).toEqual(everything);
  });

  it('never deletes a session that another process holds', async () => {
    await using place = await makePlace();
    await place.run(echo, { input: 'newest of the free ones\n' });
    await using live = place.terminal(echo);
    await live.waitFor(/» /);
    live.enter('live');
    await live.waitFor(/echo: live/);
    await live.waitFor(/» /);
    await place.run(echo, { input: 'present\n' });
    const { code } = await place.run(['prune', '--max-sessions', '1', '--yes']);
    expect(code).toBe(0);
    expect(await titles(place)).toEqual(['session live', 'session present']);
    live.key('ctrl+d');
    await live.exit;
  });
});

describe("retention at a chat's start", () => {
  it('is announced, and the chat continues', async () => {
    await using place = await filled();
    const before = await place.listed();
    const env = { COFFER_MAX_SESSIONS: '1', COFFER_RETENTION_DAYS: '30' };
    const { code, stdout, stderr } = await place.run(echo, { input: 'hello\n', env });
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'echo: hello\n' });
    expect(stderr.match(/^retention deletes .*: it has no name and is not among the newest 1$/gm)).toHaveLength(2);
    const left = await titles(place);
    expect(left).toEqual([...everything.filter((title) => !/session (one|four)/.test(title)), 'session hello'].sort());
    expect(before).toHaveLength(everything.length);
  });

  it('leaves a resumed session alone', async () => {
    await using place = await filled();
    const env = { COFFER_MAX_SESSIONS: '1' };
    const oldest = (await place.listed()).findLast(({ kind, name }) => kind === 'session' && name === undefined);
    const { stdout } = await place.run(['resume', oldest?.id ?? ''], { input: 'on\n', env });
    expect(stdout).toContain('echo: on');
    expect((await place.listed()).map(({ id }) => id)).toContain(oldest?.id);
  });

  /** Opens the vault of a place in this process. */
  async function opened(place: Place): Promise<Sessions> {
    const sessions = await openVault({ directory: place.data, env: place.libraryEnv });
    await sessions.keys.unlock();
    return sessions;
  }

  it('prints each deletion with its reason, and leaves the others', async () => {
    await using place = await filled();
    await using sessions = await opened(place);
    const fake = new FakeTerminal();
    await pruneAtStart({
      terminal: fake.terminal,
      input: nobody,
      sessions: sessions,
      settings: { ...defaultSettings, maxSessions: 1 },
    });
    expect(fake.out).toBe('');
    const told = fake.err.trimEnd().split('\n').sort();
    expect(told).toHaveLength(2);
    for (const [at, title] of ['four', 'one'].entries())
      expect(
        told.some((line) => line.includes(`(${title})`) && line.startsWith('retention deletes ')),
        `${at}`,
      ).toBe(true);
    expect(await titles(place)).toHaveLength(everything.length - 2);
  });

  it('does nothing if it is off, or the key is not available', async () => {
    await using place = await filled();
    const fake = new FakeTerminal();
    await using locked = sessionsOf({ directory: place.data, env: place.libraryEnv });
    await pruneAtStart({
      terminal: fake.terminal,
      input: nobody,
      sessions: locked,
      settings: { ...defaultSettings, maxSessions: 1 },
    });
    await locked.keys.unlock();
    await pruneAtStart({ terminal: fake.terminal, input: nobody, sessions: locked, settings: defaultSettings });
    expect(fake.shown).toBe('');
    expect(await titles(place)).toEqual(everything);
  });

  it('reports what could not be deleted, and continues', async () => {
    await using place = await filled();
    await using sessions = await opened(place);
    const failing = Object.create(sessions, {
      delete: { value: refuseFirst(sessions) },
      keys: { get: () => sessions.keys },
      list: { value: () => sessions.list() },
      texts: { value: () => sessions.texts() },
    }) as Sessions;
    const fake = new FakeTerminal();
    await pruneAtStart({
      terminal: fake.terminal,
      input: nobody,
      sessions: failing,
      settings: { ...defaultSettings, maxSessions: 1 },
    });
    expect(fake.err).toMatch(/retention failed: .*in use/);
    expect(await titles(place)).toHaveLength(everything.length - 1);
  });

  it('treats a session that is open here as the current one', async () => {
    await using place = await makePlace();
    await using sessions = await opened(place);
    const session = begin(sessions);
    await session.append(user('present'));
    await pruneAtStart({
      terminal: new FakeTerminal().terminal,
      input: nobody,
      sessions,
      settings: { ...defaultSettings, maxSessions: 1, retentionDays: 1 },
    });
    expect(await titles(place)).toEqual(['session present']);
  });
});

describe('a clock that is wrong', () => {
  const DAY = 86_400_000;
  const days = { COFFER_RETENTION_DAYS: '30' };

  /** Returns an environment in which coffer's clock is off by that many days. */
  function off(daysOff: number): Record<string, string> {
    const set = `const now=Date.now;Date.now=()=>now()+${daysOff * DAY}`;
    return { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(set)}` };
  }

  async function aged(): Promise<Place> {
    const place = await makePlace();
    for (const [words, age] of [
      ['one', -20],
      ['two', -10],
      ['three', -1],
    ] as const)
      await place.run([...echo, '-p', words], { env: off(age) });
    return place;
  }

  it('deletes nothing in one start, in the next one, nor when it is right again', async () => {
    await using place = await aged();
    const first = await place.run([...echo, '-p', 'four'], { env: { ...days, ...off(9_000) } });
    expect(first.stderr).not.toContain('retention');
    const second = await place.run([...echo, '-p', 'five'], { env: { ...days, ...off(9_001) } });
    expect(second.code).toBe(0);
    expect(second.stderr).toContain('retention would delete everything but the newest sessions');
    expect(second.stderr).toContain('nothing was deleted: no terminal to ask on');
    const job = await place.run(['prune', '--yes'], { env: { ...days, ...off(9_001) } });
    expect(job).toMatchObject({ code: 2, stdout: '' });
    const third = await place.run([...echo, '-p', 'six'], { env: days });
    expect(third.stderr).toContain('was saved in the future');
    expect(await titles(place)).toHaveLength(6);
  });

  it.each([
    ['y', 1],
    ['', 4],
  ])('makes coffer ask at a terminal: %j leaves %i', async (answer, left) => {
    await using place = await aged();
    await place.run([...echo, '-p', 'four'], { env: off(9_000) });
    await using chat = place.terminal(echo, { env: { ...days, ...off(9_000) } });
    await chat.waitFor(/check the clock/);
    await chat.waitFor(/delete these 3\? \[y\/N\] /);
    chat.enter(answer);
    await chat.waitFor(/» /);
    chat.key('ctrl+d');
    await chat.exit;
    expect(await titles(place)).toHaveLength(left);
  });

  it('still deletes what is older than the newest, while others stay', async () => {
    await using place = await aged();
    const env = { COFFER_RETENTION_DAYS: '15' };
    const { stderr } = await place.run([...echo, '-p', 'four'], { env });
    expect(stderr).toMatch(
      /^retention deletes .*\(one\).*: it is \d+ days older than the newest session, the limit is 15/m,
    );
    expect(await titles(place)).toEqual(['session four', 'session three', 'session two']);
  });

  it.each([-9_000, 9_000])('of %i days lets -c and last resume the session used last', async (daysOff) => {
    await using place = await makePlace();
    await place.run([...echo, '-p', 'earlier'], { env: daysOff > 0 ? off(daysOff) : {} });
    await place.run([...echo, '-p', 'used last'], { env: daysOff > 0 ? {} : off(daysOff) });
    for (const args of [['-c'], ['-r']]) await place.run([...args, '-p', 'again']);
    const rows = (await place.listed()) as unknown as { title: string; messages: number }[];
    expect(rows.map(({ title, messages }) => [title, messages]).sort()).toEqual([
      ['earlier', 2],
      ['used last', 6],
    ]);
  });
});

/**
 * Makes the first deletion find the session in use, as if another process had opened it after it
 * was listed.
 */
function refuseFirst(sessions: Sessions): Sessions['delete'] {
  let refused = false;
  return async (row) => {
    if (refused) return sessions.delete(row);
    refused = true;
    const { CofferError } = await import('../../src/errors.ts');
    throw new CofferError('SESSION_IN_USE', 'in use by another process');
  };
}
