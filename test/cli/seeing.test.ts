import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ZodType } from 'zod';
import { eventSchema, foundSchema, sessionsSchema, statsSchema, statusSchema } from '../../src/cli/schemas.ts';
import type { NewEvent } from '../../src/session/event/event.ts';
import { openVault } from '../../src/session/open-vault.ts';
import type { Session } from '../../src/session/session.ts';
import type { Sessions } from '../../src/session/sessions.ts';
import { widthOf } from '../../src/terminal/output/width.ts';
import { reply, user } from '../support/vault.ts';
import { FakeTerminal, makeFolder, runHere } from '../terminal/fake-terminal.ts';

/** What wipes a line of a terminal. */
const WIPED = '\r\u001b[K';

let folder: string;
let env: Record<string, string>;

beforeEach(async () => {
  ({ folder, env } = await makeFolder());
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('--json', () => {
  it('has the documented shape, with everything there is to say', async () => {
    await furnish();
    const rows = (await json(['sessions', '--all'], sessionsSchema)) as {
      label: string;
      tasks: number;
      tags: string[];
    }[];
    expect(rows).toHaveLength(4);
    expect(rows.find(({ tags }) => tags.length > 0)).toMatchObject({
      ...{ pinned: true, archived: true, tags: ['auth', 'urgent'], tasks: 1, toolCalls: 1, name: 'the auth bug' },
      ...{ worktree: '/work/tree', project: { first: 'abc', path: '' }, status: 'failed' },
    });
    const found = await json(['sessions', '--all', '--search', 'auth'], foundSchema);
    expect(found).toContainEqual(
      expect.objectContaining({ matches: expect.arrayContaining([{ event: null, role: 'tag', text: 'auth' }]) }),
    );
    const status = await json(['status', 'the auth bug'], statusSchema);
    expect(status).toMatchObject({
      ...{
        statusReason: 'it broke',
        permissions: [{ rule: 'command', decision: 'deny', directory: '/work', unsandboxed: false }],
        summary: { summary: 'short\nand\nto\nthe point' },
      },
      models: [{ model: 'demo/echo', requests: 2, cost: 0.25, unknownCost: 1 }],
      children: [
        { reason: 'by hand', id: null },
        { reason: 'forked after prompt 1', id: expect.any(String) },
      ],
    });
    await json(['status', 'last'], statusSchema);
    expect(await json(['stats'], statsSchema)).toMatchObject({ sessions: 3, snapshots: 1, total: { cost: 0.25 } });
    const { out } = await run(['logs', 'the auth bug', '--json']);
    const events = out
      .trimEnd()
      .split('\n')
      .map((line) => eventSchema.parse(JSON.parse(line)));
    expect(events).toContainEqual(expect.objectContaining({ type: 'compaction' }));
  });

  it('escapes what would drive a terminal, in a record too, and loses nothing of it', async () => {
    await vault(async (sessions) => {
      const session = sessions.begin({ directory: '/work/\u001b]0;x', model: 'demo/echo' });
      await session.append(user('a\u001b[2Jb\u0085c\u202ed\n'), { type: 'model', model: 'a\u009bb' });
      await session.close();
    });
    for (const args of [['sessions'], ['status', '1'], ['logs', '1'], ['sessions', '--search', 'd']]) {
      const { out } = await run([...args, '--json']);
      expect(out).not.toMatch(/(?!\n)[\p{Cc}\u202e]/u);
    }
    const { out } = await run(['logs', '1', '--json']);
    expect(out).toContain('a\\u001b[2Jb\\u0085c\\u202ed\\n');
    const shown = await run(['logs', '1']);
    expect(shown.out).toContain('message user: a\\x1b[2Jb\\x85c\\u202ed');
  });

  it('prints all rows by default, and reports what a limit leaves out', async () => {
    await vault(async (sessions) => {
      for (let count = 0; count < 22; count++) {
        const session = sessions.begin({ directory: '/work', model: 'demo/echo' });
        await session.append(user(`number ${count}`));
        await session.close();
      }
    });
    expect(await json(['sessions'], sessionsSchema)).toHaveLength(22);
    const few = await run(['sessions', '--json', '--limit', '3']);
    expect(JSON.parse(few.out)).toHaveLength(3);
    expect(few.err).toContain('… 19 more; list them with --all');
    const shown = await run(['sessions']);
    expect(shown.out.match(/^ +\d+\) /gm)).toHaveLength(20);
    expect(shown.out).toContain('saved sessions (22):');
    expect(shown.err).toBe('… 2 more; list them with --all\n');
    expect((await run(['sessions', '--all'])).out.match(/^ +\d+\) /gm)).toHaveLength(22);
    const searched = await run(['sessions', '--search', 'number', '--limit', '2']);
    expect(searched.out.match(/^ +\d+\) /gm)).toHaveLength(2);
    expect(searched.err).toBe('stopped after 2, 2 of 22 searched; --all searches the rest\n');
  });
});

describe('a file that can not be read', () => {
  it('is reported and skipped by searches and counts, and never hidden by a filter', async () => {
    const fileId = await vault(async (sessions) => {
      const [broken, good] = [begin(sessions), begin(sessions)];
      await broken.append(user('needle'));
      await good.append(user('needle'));
      await broken.close();
      await good.close();
      return broken.fileId ?? '';
    });
    writeFileSync(join(folder, 'vault/sessions', fileId), 'broken');
    const searched = await run(['sessions', '--search', 'needle']);
    expect(searched).toMatchObject({ code: 0, out: expect.stringContaining('#4 user: needle') });
    expect(searched.err).toMatch(/^2 can't be searched: file [0-9a-f]{32}: /);
    const filtered = await run(['sessions', '--search', 'needle', '--status', 'completed']);
    expect(filtered.err).toMatch(/^2 can't be searched: file [0-9a-f]{32}: /);
    expect((await run(['sessions', '--status', 'running,completed'])).err).toMatch(/^2 can't be opened: /);
    const counted = await run(['stats']);
    expect(counted.err).toMatch(/^2 can't be counted: /);
    expect(counted.out).toMatch(/^sessions {4}1$/m);
    expect(counted.out).toMatch(/^unreadable {2}1$/m);
    expect(await run(['status', '2'])).toMatchObject({ code: 13 });
    expect(await run(['logs', '2'])).toMatchObject({ code: 13 });
  });
});

describe('coffer -l', () => {
  it('lists what is of this directory with names, tasks and times, and leaves out what is archived', async () => {
    await vault(async (sessions) => {
      const put = async (directory: string, ...events: NewEvent[]): Promise<Session> => {
        const session = sessions.begin({ directory, model: 'demo/echo' });
        await session.append(user('hello'), reply('one'), user('and'), reply('two'), ...events);
        return session;
      };
      await (await put(folder, { type: 'name', name: 'the bug' })).close();
      await (await put('/elsewhere')).close();
      await (await put(folder, { type: 'archive', archived: true })).close();
      const titled = await put(folder);
      await titled.save('kept');
      await titled.close();
    });
    const { out, err } = await run(['-l', '--path', folder]);
    expect(out.split('\n').map((line) => line.replace(/(just now|1 minute ago)$/, 'now'))).toEqual([
      `sessions of ${folder} (3):`,
      '  1) hello, 2 tasks, now',
      '  2) kept, snapshot, 2 tasks, now',
      '  5) the bug, 2 tasks, now',
      'use coffer -a <number or id> to resume one',
      '',
    ]);
    expect(err).toBe('1 archived not shown; include it with coffer sessions --here --all\n');
    const none = await run(['-l', '--path', '/']);
    expect(none).toMatchObject({ code: 0, out: 'no saved sessions of / yet\n' });
  });
});

describe('on a terminal', () => {
  it('a search cuts lines around the match, says how many more there are, and wipes how far it is', async () => {
    await vault(async (sessions) => {
      const session = begin(sessions);
      const long = `${'before '.repeat(30)}the needle${' behind'.repeat(30)}`;
      await session.append(user([long, long, long, long].join('\n')), reply('ok'));
      await session.close();
    });
    const { out } = await run(['sessions', '--search', 'NEEDLE'], { tty: true });
    const lines = out.split('\n').filter((line) => line.includes('needle'));
    expect(lines).toHaveLength(3);
    for (const line of lines) {
      expect(line).toMatch(/^ {5}#4 user: ….*the needle.*…$/);
      expect(line.length).toBeLessThan(80);
    }
    expect(out).toContain('     … 1 more\n');
    expect(out).toMatch(/^\rsearching 0 of 1 /);
    expect(out).toContain(`${WIPED}  1) _autosave`);
  });

  it.each(['前', '\u001b', 'e\u0301'])('a search finds its way around %j', async (letter) => {
    await vault(async (sessions) => {
      const session = begin(sessions);
      await session.append(user(`${letter.repeat(200)}needle${letter.repeat(200)}`));
      await session.close();
    });
    const { out } = await run(['sessions', '--search', 'needle'], { tty: true });
    const line = out.split('\n').find((text) => text.startsWith('     #4 ')) ?? '';
    expect(line).toContain('needle');
    expect(widthOf(line)).toBeLessThan(80);
  });

  it('stats is as wide as the terminal, and nothing in it is a colour', async () => {
    await furnish();
    const { out } = await run(['stats'], { tty: true });
    const shown = out.slice(out.lastIndexOf(WIPED) + WIPED.length);
    expect(shown).not.toContain('\u001b');
    for (const line of shown.split('\n').filter((line) => line.includes('#'))) expect(line.length).toBe(79);
    expect(shown).toMatch(/^ {2}\d{4}-\d\d-\d\d {2}#+ +\d+/m);
  });

  it('logs cuts an event to a line, and a pipe gets all of its first line', async () => {
    await vault(async (sessions) => {
      const session = begin(sessions);
      await session.append(user(`${'word '.repeat(50)}end\nsecond`));
      await session.close();
    });
    const shown = await run(['logs', '1'], { tty: true });
    for (const line of shown.out.split('\n')) expect(line.length).toBeLessThan(80);
    expect((await run(['logs', '1'])).out).toMatch(/message user: (word ){50}end…$/m);
  });
});

/** Three sessions of which one has everything, and a snapshot. */
async function furnish(): Promise<void> {
  await vault(async (sessions) => {
    const project = { first: 'abc', path: '' };
    const session = sessions.begin({ directory: '/work', model: 'demo/echo', worktree: '/work/tree', project });
    await session.append(user('where is the auth check?'), ...worked);
    await session.append(reply('in auth.ts'), usage(10, 5, 0.25), usage(3, 1, null));
    await session.append({ type: 'name', name: 'the auth bug' }, { type: 'tags', tags: ['auth', 'urgent'] });
    await session.append({ type: 'pin', pinned: true }, { type: 'archive', archived: true });
    await session.append({ type: 'permission', rule: 'command', decision: 'deny' });
    await session.append({ type: 'child', uuid: '0b6682a8-0000-4000-8000-000000000000', reason: 'by hand' });
    await session.append({ type: 'compaction', summary: 'short\nand\nto\nthe point', through: 4, model: 'demo/echo' });
    await session.append({ type: 'status', status: 'failed', reason: 'it broke' });
    await session.close('failed');
    const [row] = await sessions.list();
    const fork = await sessions.fork(row!);
    await fork.append(user('more'));
    await fork.save('kept');
    await fork.close();
    const other = begin(sessions);
    await other.append(user('x'));
    await other.close();
  });
}

const worked: readonly NewEvent[] = [
  { type: 'tool-start', toolCallId: 'c1', toolName: 'search' },
  { type: 'tool-end', toolCallId: 'c1', toolName: 'search', outcome: 'completed', bytes: 12 },
];

function usage(inputTokens: number, outputTokens: number, cost: number | null): NewEvent {
  return { type: 'usage', model: 'demo/echo', usage: { inputTokens, outputTokens, cost } };
}

function begin(sessions: Sessions): Session {
  return sessions.begin({ directory: '/work', model: 'demo/echo' });
}

async function vault<T>(work: (sessions: Sessions) => Promise<T>): Promise<T> {
  await using sessions = await openVault({ directory: env['COFFER_DATA_DIR'], env });
  return await work(sessions);
}

async function run(
  args: readonly string[],
  options: { tty?: boolean } = {},
): Promise<{ code: number; out: string; err: string }> {
  const fake = new FakeTerminal(options);
  const { code } = await runHere(fake, args, env);
  return { code, out: fake.out, err: fake.err };
}

async function json(args: readonly string[], schema: ZodType): Promise<unknown> {
  const { out } = await run([...args, '--json']);
  const value: unknown = JSON.parse(out);
  schema.parse(value);
  return value;
}
