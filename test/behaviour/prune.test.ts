import { beforeEach, describe, expect, it } from 'vitest';
import { pruneAtStart } from '../../src/cli/commands/prune.ts';
import { pruneSchema } from '../../src/cli/schemas.ts';
import { defaultSettings } from '../../src/cli/settings-keys.ts';
import { openVault, sessionsOf } from '../../src/session/open-vault.ts';
import type { Sessions } from '../../src/session/sessions.ts';
import { FakeTerminal } from '../cli/fake-terminal.ts';
import { requirePosix } from '../files/facilities.ts';
import { makePlace, type Place } from '../support/coffer.ts';
import { begin, user } from '../support/vault.ts';

beforeEach(requirePosix);

const echo = ['--model', 'demo/echo'];

/** A vault with sessions `one` to `four`, the last one present, one named, one pinned, and snapshots with a name and without. */
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

  it('only shows with --dry-run what it would delete, and then deletes just that', async () => {
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
      expect(stderr).toMatch(new RegExp(`to be deleted: ${id} .*: it has no name and is not among the newest 1`));
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

  it('never deletes what another process has', async () => {
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
  it('is announced, and the chat goes on', async () => {
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

  it('leaves alone what is gone on with', async () => {
    await using place = await filled();
    const env = { COFFER_MAX_SESSIONS: '1' };
    const oldest = (await place.listed()).findLast(({ kind, name }) => kind === 'session' && name === undefined);
    const { stdout } = await place.run(['resume', oldest?.id ?? ''], { input: 'on\n', env });
    expect(stdout).toContain('echo: on');
    expect((await place.listed()).map(({ id }) => id)).toContain(oldest?.id);
  });

  /** The vault of a place as this process opens it. */
  async function opened(place: Place): Promise<Sessions> {
    const sessions = await openVault({ directory: place.data, env: place.libraryEnv });
    await sessions.unlock();
    return sessions;
  }

  it('tells each deletion with its reason, and leaves the others', async () => {
    await using place = await filled();
    await using sessions = await opened(place);
    const fake = new FakeTerminal();
    await pruneAtStart(fake.terminal, sessions, { ...defaultSettings, maxSessions: 1 });
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

  it('does nothing where it is off, or the key is not at hand', async () => {
    await using place = await filled();
    const fake = new FakeTerminal();
    await using locked = sessionsOf({ directory: place.data, env: place.libraryEnv });
    await pruneAtStart(fake.terminal, locked, { ...defaultSettings, maxSessions: 1 });
    await locked.unlock();
    await pruneAtStart(fake.terminal, locked, defaultSettings);
    expect(fake.shown).toBe('');
    expect(await titles(place)).toEqual(everything);
  });

  it('tells what could not be deleted, and goes on', async () => {
    await using place = await filled();
    await using sessions = await opened(place);
    const failing = Object.create(sessions, {
      delete: { value: refuseFirst(sessions) },
      key: { get: () => sessions.key },
      list: { value: () => sessions.list() },
      texts: { value: () => sessions.texts() },
    }) as Sessions;
    const fake = new FakeTerminal();
    await pruneAtStart(fake.terminal, failing, { ...defaultSettings, maxSessions: 1 });
    expect(fake.err).toMatch(/retention could not: .*in use/);
    expect(await titles(place)).toHaveLength(everything.length - 1);
  });

  it('takes a session for present that is being chatted on here', async () => {
    await using place = await makePlace();
    await using sessions = await opened(place);
    const session = begin(sessions);
    await session.append(user('present'));
    await pruneAtStart(new FakeTerminal().terminal, sessions, { ...defaultSettings, maxSessions: 1, retentionDays: 1 });
    expect(await titles(place)).toEqual(['session present']);
  });
});

/** The first deletion finds the session in use, as when another process has opened it since it was listed. */
function refuseFirst(sessions: Sessions): Sessions['delete'] {
  let refused = false;
  return async (row) => {
    if (refused) return sessions.delete(row);
    refused = true;
    const { CofferError } = await import('../../src/errors.ts');
    throw new CofferError('SESSION_IN_USE', 'in use by another process');
  };
}
