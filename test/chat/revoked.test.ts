import { randomBytes } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { rulesNow } from '../../src/chat/tools/access/rules.ts';
import { aboutOf, renderExport } from '../../src/cli/commands/export/export-text.ts';
import { planFork, rewindOf } from '../../src/session/change/fork.ts';
import type { Row } from '../../src/session/list/row.ts';
import type { Session } from '../../src/session/session.ts';
import type { Sessions } from '../../src/session/sessions.ts';
import { begin, type Home, home, reply, temporaryFolder, user } from '../support/vault.ts';

/**
 * A conversation that was allowed any command and reading `/etc`, and forbidden to write, before
 * its first prompt, with its files.
 */
interface Story {
  readonly at: Home;
  readonly sessions: Sessions;
  readonly session: Session;
  /** Revokes what was allowed. */
  revoke(): Promise<void>;
}

const HERE = '/work/project';
const COMMAND = { rule: 'command:make', sandboxed: true };

/**
 * Returns the decisions for a sandboxed command, an unsandboxed one, reading in /etc, and writing.
 */
async function decisions(session: Pick<Session, 'state'>, directory: string = HERE): Promise<string[]> {
  const rules = await rulesNow(session.state.permissions, { allow: [], deny: [] }, { directory, sandbox: 'auto' });
  return [
    rules.decide(COMMAND),
    rules.decide({ ...COMMAND, sandboxed: false }),
    rules.decide({ rule: 'read:/etc', path: '/etc/hosts' }),
    rules.decide({ rule: 'write' }),
  ];
}

const GRANTED = ['allow', 'ask', 'allow', 'deny'];
const REVOKED = ['ask', 'ask', 'ask', 'deny'];
const DENIED = ['deny', 'deny', 'ask', 'deny'];

async function story(): Promise<Story> {
  const at = home();
  const sessions = await at.open();
  const session = begin(sessions);
  await session.append(
    { type: 'permission', rule: 'command', decision: 'allow', directory: HERE },
    { type: 'permission', rule: 'read:/etc', decision: 'allow', directory: HERE },
    { type: 'permission', rule: 'write', decision: 'deny', directory: HERE },
    user('one'),
    reply('1'),
  );
  await session.append(user('two'), reply('2'));
  const revoke = (): Promise<void> =>
    session.append(
      { type: 'permission', rule: 'command', decision: 'revoke' },
      { type: 'permission', rule: 'read:/etc', decision: 'revoke' },
    );
  return { at, sessions, session, revoke };
}

async function imported({ sessions, session }: Story): Promise<Session> {
  const { row, events, state } = await sessions.read(await sessions.find(session.uuid));
  const text = [...renderExport({ about: aboutOf(state, row), events }, 'jsonl')].join('');
  return sessions.resume(await sessions.find((await sessions.upkeep.import(text, 'x')).id));
}

/** Salvages the session from a file whose last frame, with the revocation, is damaged. */
async function salvaged({ at, sessions, session }: Story): Promise<Session> {
  await session.append(user('x'.repeat(40_000)));
  const before = readFileSync(at.path(session.fileId!)).length;
  await session.append({ type: 'permission', rule: 'command', decision: 'revoke' });
  const bytes = readFileSync(at.path(session.fileId!));
  expect(bytes.length).toBeGreaterThan(before);
  bytes[bytes.length - 30]! ^= 1;
  const path = join(temporaryFolder(), session.fileId!);
  writeFileSync(path, bytes);
  return sessions.resume(await sessions.find((await sessions.upkeep.salvage(path)).id));
}

/**
 * Salvages a session from a file that lost its beginning, and so the directory of a grant from
 * before directories were recorded.
 */
async function salvagedWithoutBeginning({ at, sessions }: Story): Promise<Session> {
  const session = begin(sessions);
  for (let count = 0; count < 3; count++) await session.append(user(randomBytes(400_000).toString('hex')));
  await session.append({ type: 'permission', rule: 'command', decision: 'allow' });
  await session.append({ type: 'permission', rule: 'write', decision: 'deny' }, user('two'));
  const bytes = readFileSync(at.path(session.fileId!));
  bytes[52 + 60 + 16_400 + 100]! ^= 1;
  const path = join(temporaryFolder(), session.fileId!);
  writeFileSync(path, bytes);
  const salvaged = await sessions.resume(await sessions.find((await sessions.upkeep.salvage(path)).id));
  expect(salvaged.state).toMatchObject({ directory: HERE, messageCount: expect.any(Number) });
  expect(salvaged.events.filter(({ type }) => type === 'begin')).toHaveLength(1);
  return salvaged;
}

async function snapshotted({ sessions, session }: Story): Promise<() => Promise<Session>> {
  const { id } = await session.save('kept');
  return async () => sessions.resume(await sessions.find(id));
}

const OLDER = { acceptOlder: true };

/** Restores the session to its state before its grants were revoked. */
function putBack(happen: (story: Story, row: Row) => Promise<Session>): (story: Story) => Promise<Session> {
  return async (story) => {
    const path = story.at.path(story.session.fileId!);
    const before = readFileSync(path);
    await story.revoke();
    await story.session.close();
    writeFileSync(path, before);
    return happen(story, await story.sessions.find(story.session.uuid));
  };
}

const table: [string, (story: Story) => Promise<Pick<Session, 'state'>>, string[]][] = [
  ['a session that was granted it', async ({ session }) => session, GRANTED],
  ['the same, resumed', resumed, GRANTED],
  ['the same, forked', async ({ sessions, session }) => sessions.fork(await sessions.find(session.uuid)), GRANTED],
  ['a session whose grants were revoked', revoked(async ({ session }) => session), REVOKED],
  ['the same, resumed', revoked(resumed), REVOKED],
  ['a fork of the whole session', revoked(forked), REVOKED],
  ['a fork after a prompt before the revocation', revoked((story) => forked(story, 1)), REVOKED],
  ['a fork of the whole session by coffer fork or /fork', revoked(planned), REVOKED],
  ['their fork after a prompt before the revocation', revoked((story) => planned(story, 1)), REVOKED],
  ['a fork after a prompt before a denial', denied((story) => forked(story, 1)), DENIED],
  ['their fork after a prompt before a denial', denied((story) => planned(story, 1)), DENIED],
  ['a rewind to before the revocation', revoked(rewound), REVOKED],
  ['a rewind to before a denial', denied(rewound), DENIED],
  ['a fork of an import', async (story) => forked({ ...story, session: await imported(story) }, 1), REVOKED],
  ['an import', imported, REVOKED],
  ['a session salvaged from a file that lost the revocation', salvaged, REVOKED],
  ['a session salvaged from a file that lost its beginning', salvagedWithoutBeginning, REVOKED],
  [
    'a snapshot from before the revocation',
    async (story) => {
      const resume = await snapshotted(story);
      await story.revoke();
      return resume();
    },
    REVOKED,
  ],
  ['a snapshot, while nothing is revoked', async (story) => (await snapshotted(story))(), GRANTED],
  [
    'a snapshot whose session was deleted',
    async (story) => {
      const resume = await snapshotted(story);
      await story.session.close();
      await story.sessions.delete(await story.sessions.find(story.session.uuid));
      return resume();
    },
    REVOKED,
  ],
  [
    'a snapshot whose session is damaged in a part that a list does not read',
    async (story) => {
      const { at, session } = story;
      await session.append(user(randomBytes(60_000).toString('hex')));
      const resume = await snapshotted(story);
      await session.close();
      const bytes = readFileSync(at.path(session.fileId!));
      bytes[bytes.length - 30_000]! ^= 1;
      writeFileSync(at.path(session.fileId!), bytes);
      return resume();
    },
    REVOKED,
  ],
  [
    'a snapshot whose session was rolled back to before the revocation',
    async (story) => {
      const { at, session } = story;
      const resume = await snapshotted(story);
      const before = readFileSync(at.path(session.fileId!));
      await story.revoke();
      await session.close();
      writeFileSync(at.path(session.fileId!), before);
      return resume();
    },
    REVOKED,
  ],
  ['an older copy that was restored and accepted', putBack((story, row) => story.sessions.resume(row, OLDER)), REVOKED],
  ['a fork of that copy', putBack((story, row) => story.sessions.fork(row, OLDER)), REVOKED],
  ['/new', async ({ sessions }) => begin(sessions), ['ask', 'ask', 'ask', 'ask']],
  [
    '/reset',
    async ({ sessions, session }) => {
      const { permissions } = session.state;
      return sessions.begin({ directory: HERE, model: 'demo/echo', permissions });
    },
    GRANTED,
  ],
  [
    '/reset after a revocation',
    revoked(async ({ sessions, session }) => {
      const { permissions } = session.state;
      return sessions.begin({ directory: HERE, model: 'demo/echo', permissions });
    }),
    REVOKED,
  ],
];

it.each(table)('%s', async (_, happen, expected) => {
  const given = await story();
  const session = await happen(given);
  expect(await decisions(session)).toEqual(expected);
  const elsewhere = expected.map((decision) => (decision === 'allow' ? 'ask' : decision));
  expect(await decisions(session, '/work/other')).toEqual(elsewhere);
});

it('applies a grant from before directories were recorded in the directory where its session began', async () => {
  await using sessions = await home().open();
  const session = begin(sessions);
  await session.append({ type: 'permission', rule: 'command', decision: 'allow' });
  expect((await decisions(session))[0]).toBe('allow');
  expect((await decisions(session, '/work/other'))[0]).toBe('ask');
});

it('recognises a directory by any link to it, but not a link put in its place', async () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'a'));
  copyFileSync('/dev/null', join(folder, 'a', 'x'));
  symlinkSync('a', join(folder, 'link'));
  await using sessions = await home().open();
  const session = begin(sessions);
  await session.append({ type: 'permission', rule: 'command', decision: 'allow', directory: join(folder, 'a') });
  expect((await decisions(session, join(folder, '.', 'a', '..', 'a')))[0]).toBe('allow');
  expect((await decisions(session, join(folder, 'link')))[0]).toBe('allow');
  expect((await decisions(session, folder))[0]).toBe('ask');
  renameSync(join(folder, 'a'), join(folder, 'b'));
  symlinkSync('b', join(folder, 'a'));
  expect((await decisions(session, join(folder, 'b')))[0]).toBe('ask');
});

it.each([
  ['auto', false, 'ask'],
  ['auto', true, 'allow'],
  ['required', false, 'ask'],
  ['off', false, 'allow'],
] as const)(
  'with sandbox %s, what the settings allow is for a command sandboxed %s: %s',
  async (sandbox, sandboxed, expected) => {
    const rules = await rulesNow([], { allow: ['command', 'network'], deny: [] }, { directory: HERE, sandbox });
    expect(rules.decide({ rule: 'command:make', sandboxed })).toBe(expected);
    expect(rules.decide({ rule: 'network:make', sandboxed })).toBe(expected);
  },
);

it('applies a grant without a sandbox to a sandboxed command, but not the other way round', async () => {
  await using sessions = await home().open();
  const session = begin(sessions);
  await session.append({ type: 'permission', rule: 'command', decision: 'allow', directory: HERE, unsandboxed: true });
  expect((await decisions(session)).slice(0, 2)).toEqual(['allow', 'allow']);
});

function revoked(
  then: (story: Story) => Promise<Pick<Session, 'state'>>,
): (story: Story) => Promise<Pick<Session, 'state'>> {
  return async (given) => {
    await given.revoke();
    return then(given);
  };
}

async function resumed({ at, session }: Story): Promise<Session> {
  await session.close();
  const again = await at.open();
  return again.resume(await again.find(session.uuid));
}

async function forked({ sessions, session }: Story, prompts?: number): Promise<Session> {
  return sessions.fork(await sessions.find(session.uuid), { prompts });
}

/** Forbids the session any command after its last prompt, and revokes its grant to read in /etc. */
function denied(
  then: (story: Story) => Promise<Pick<Session, 'state'>>,
): (story: Story) => Promise<Pick<Session, 'state'>> {
  return async (given) => {
    await given.revoke();
    await given.session.append({ type: 'permission', rule: 'command', decision: 'deny', directory: HERE });
    return then(given);
  };
}

async function planned({ sessions, session }: Story, prompts?: number): Promise<Session> {
  const { uuid, events, state } = session;
  const { beginning } = planFork({ uuid, id: uuid, events, state, isSnapshot: false }, prompts);
  return sessions.begin(beginning);
}

async function rewound({ session }: Story): Promise<Session> {
  const { event } = rewindOf(session.state, 1);
  await session.append(event!);
  return session;
}
