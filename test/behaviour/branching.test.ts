import { existsSync } from 'node:fs';
import { access, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { forkSchema, permissionsSchema } from '../../src/cli/schemas.ts';
import { type Event, isKnown } from '../../src/session/event/event.ts';
import type { Row } from '../../src/session/list/row.ts';
import { openVault } from '../../src/session/open-vault.ts';
import type { Sessions } from '../../src/session/sessions.ts';
import { requirePosix } from '../files/facilities.ts';
import { makePlace, type Place } from '../support/coffer.ts';
import { reply, user } from '../support/vault.ts';

beforeEach(requirePosix);

const echo = ['--model', 'demo/echo'];

async function rows(place: Place): Promise<Row[]> {
  await using vault = await opened(place);
  return await vault.list();
}

/** Returns the events of a conversation. */
async function eventsOf(place: Place, which: string): Promise<readonly Event[]> {
  await using vault = await opened(place);
  return (await vault.read(await vault.find(which))).events;
}

/** Returns who said each message of a conversation, and what. */
async function saidIn(place: Place, which: string): Promise<{ role: string; content: unknown }[]> {
  const events = await eventsOf(place, which);
  return events.flatMap((event) => (isKnown(event) && event.type === 'message' ? [event.message] : []));
}

/** Returns the active messages of a conversation: what a resumed chat sends to the model. */
async function standing(place: Place, which: string): Promise<string[]> {
  await using vault = await opened(place);
  const { state } = await vault.read(await vault.find(which));
  return state.messages.map(({ content }) => String(content));
}

function opened(place: Place): Promise<Sessions> {
  return openVault({ directory: place.data, env: place.libraryEnv });
}

/** Saves a conversation with an answer to each word. */
async function talked(place: Place, ...words: string[]): Promise<void> {
  await using vault = await opened(place);
  await using session = vault.begin({ directory: place.project, model: 'demo/echo' });
  for (const word of words) await session.append(user(word), reply(`echo: ${word}`));
}

describe('/fork', () => {
  it('continues in a copy, and each session records the other', async () => {
    await using place = await makePlace();
    const chat = await place.run(echo, { input: 'one\ntwo\nthree\n/fork 2\nfour\n' });
    expect(chat).toMatchObject({ code: 0 });
    const [fork, parent] = (await place.listed()) as unknown as Row[];
    expect(chat.stdout).toContain(`forked from ${parent?.id} after prompt 2 of 3; /resume ${parent?.id} goes back\n`);
    expect(await standing(place, fork?.id ?? '')).toEqual([
      'one',
      'echo: one',
      'two',
      'echo: two',
      'four',
      'echo: four',
    ]);
    expect(await standing(place, parent?.id ?? '')).toHaveLength(6);
    expect(fork?.parent).toEqual({ uuid: parent?.uuid, id: parent?.id, reason: 'forked after prompt 2' });
    const { events } = await place.exported(parent?.id ?? '');
    expect(events).toContainEqual(
      expect.objectContaining({ type: 'child', uuid: fork?.uuid, reason: 'forked after prompt 2' }),
    );
    expect([fork?.status, parent?.status]).toEqual(['completed', 'completed']);
  });

  it('is on disk before anything is said in it', async () => {
    await using place = await makePlace();
    await using chat = place.terminal(echo);
    await chat.waitFor(/» /);
    chat.enter('one');
    await chat.waitFor(/echo: one/);
    chat.enter('/fork');
    await chat.waitFor(/forked from \S+ after prompt 1 of 1/);
    const [fork, parent] = await rows(place);
    expect(fork).toMatchObject({ messages: 2, held: {}, parent: { id: parent?.id } });
    expect(parent?.held).toBeUndefined();
    chat.kill('SIGKILL');
    await chat.exit;
    expect(await standing(place, fork?.id ?? '')).toEqual(['one', 'echo: one']);
  });

  it('writes nothing if autosave is off, and continues', async () => {
    await using place = await makePlace({ settings: { autoSave: false } });
    const { code, stdout } = await place.run(echo, { input: 'one\ntwo\n/fork 1\nthree\n/rewind 0\nfour\n' });
    expect(code).toBe(0);
    expect(stdout).toContain('forked from this conversation after prompt 1 of 2\n');
    expect(stdout).toContain('echo: four');
    expect(await place.sessionFiles()).toEqual([]);
  });
});

describe('coffer fork', () => {
  it('makes a fork, leaves the original unchanged, and prints the id', async () => {
    await using place = await makePlace();
    await talked(place, 'one', 'two');
    const [parent] = await rows(place);
    const { code, stdout } = await place.run(['fork', 'last', '1', '--json']);
    expect(code).toBe(0);
    const made = JSON.parse(stdout) as { id: string; uuid: string };
    expect(forkSchema.safeParse(made).error).toBeUndefined();
    expect(made).toMatchObject({ parent: { uuid: parent?.uuid, id: parent?.id }, prompts: 1, of: 2 });
    const after = await rows(place);
    expect(after.find(({ id }) => id === parent?.id)).toMatchObject({ messages: 4, status: 'completed' });
    expect(after.find(({ id }) => id === made.id)).toMatchObject({ messages: 2, status: 'completed' });
    const events = await eventsOf(place, parent?.id ?? '');
    expect(events).toContainEqual(expect.objectContaining({ type: 'child', uuid: made.uuid }));
  });

  it('forks a session that another chat has open, which then gets no note', async () => {
    await using place = await makePlace();
    await using live = place.terminal(echo);
    await live.waitFor(/» /);
    live.enter('live');
    await live.waitFor(/echo: live/);
    await live.waitFor(/» /);
    const [parent] = await rows(place);
    const { code, stderr, stdout } = await place.run(['fork', parent?.id ?? '']);
    expect(code).toBe(0);
    expect(stderr).toMatch(/does not record the fork: in use by process \d+/);
    expect(await standing(place, stdout.trim())).toEqual(['live', 'echo: live']);
    live.key('ctrl+d');
    await live.exit;
  });

  it('writes nothing if there is no such session or prompt', async () => {
    await using place = await makePlace();
    await talked(place, 'one');
    const before = await place.sessionBytes();
    for (const prompts of ['0', '2', '-1', 'x', '1.5', '']) {
      const refused = await place.run(['fork', 'last', '--', prompts]);
      expect(refused.code, prompts).toBe(2);
    }
    expect(await place.sessionBytes()).toEqual(before);
  });
});

describe('/rewind', () => {
  it('takes prompts back for the model, and keeps them in the record', async () => {
    await using place = await makePlace();
    const input = 'one\ntwo\nthree\n/rewind\n/rewind 1\nfour\n';
    const { stdout } = await place.run(echo, { input });
    expect(stdout).toContain('back after prompt 2 of 3: 2 messages taken back');
    expect(stdout).toContain('back after prompt 1 of 2: 2 messages taken back');
    expect(await standing(place, 'last')).toEqual(['one', 'echo: one', 'four', 'echo: four']);
    const [row] = await rows(place);
    expect(row?.messages).toBe(4);
    const events = await eventsOf(place, 'last');
    const said = (await saidIn(place, 'last')).flatMap(({ role, content }) => (role === 'user' ? [content] : []));
    expect(said).toEqual(['one', 'two', 'three', 'four']);
    expect(events.map(({ type }) => type).filter((type) => type === 'rewind')).toHaveLength(2);
  });

  it('lets the user choose a prompt on a terminal', async () => {
    await using place = await makePlace();
    await using chat = place.terminal(echo);
    await chat.waitFor(/» /);
    for (const word of ['alpha', 'beta', 'gamma']) {
      chat.enter(word);
      await chat.waitFor(new RegExp(`echo: ${word}`));
      await chat.waitFor(/» /);
    }
    chat.enter('/rewind ?');
    await chat.waitFor(/go back to after which prompt/);
    await chat.waitFor(/before the first prompt/);
    chat.type('alpha');
    await chat.waitFor(/alpha/);
    chat.key('enter');
    await chat.waitFor(/back after prompt 1 of 3: 4 messages taken back/);
    await chat.waitFor(/» /);
    chat.enter('/rewind ?');
    await chat.waitFor(/go back to after which prompt/);
    chat.key('escape');
    await chat.waitFor(/» /);
    chat.key('ctrl+d');
    expect(await chat.exit).toEqual({ code: 0, signal: null });
    expect(await standing(place, 'last')).toEqual(['alpha', 'echo: alpha']);
  });

  it('does the same on the command line to a session that no chat has open', async () => {
    await using place = await makePlace();
    await place.run(echo, { input: 'one\ntwo\n/save before\n' });
    expect((await place.run(['rewind', 'last', '1'])).code).toBe(0);
    expect(await standing(place, 'last')).toEqual(['one', 'echo: one']);
    const before = await place.sessionBytes();
    const refused = await place.run(['rewind', 'before', '1']);
    expect(refused).toMatchObject({ code: 1 });
    expect(refused.stderr).toContain('is a snapshot');
    expect(await place.sessionBytes()).toEqual(before);
  });
});

describe('/permissions', () => {
  it('stay with the session, and are shown as they apply', async () => {
    await using place = await makePlace({ settings: { permissions: { deny: ['network'] } } });
    const input = 'hello\n/permissions allow write\n/permissions deny read:/etc\n/permissions revoke 2\n';
    const chat = await place.run(echo, { input });
    expect(chat.stdout).toContain('revoked: write\n');
    const { stdout } = await place.run(['permissions', 'last', '--json']);
    const shown: unknown = JSON.parse(stdout);
    expect(permissionsSchema.safeParse(shown).error).toBeUndefined();
    expect(shown).toEqual({
      session: [{ rule: 'read:/etc', decision: 'deny', directory: place.project, unsandboxed: false }],
      settings: { allow: ['read'], deny: ['network'] },
    });
    const again = await place.run(['resume', 'last'], { input: '/permissions\n' });
    expect(again.stdout).toContain('  1) deny  read:/etc\n');
  });
});

describe('the permissions of a conversation', () => {
  const tools = ['--model', 'demo/tools'];

  it('are kept by /reset as they are then, and dropped by /new', async () => {
    await using place = await makePlace();
    const write = ['a', 'b', 'c', 'd'].map((name) => `write ${name}.txt x`);
    const lines = ['/permissions allow write', write[0], '/reset', write[1], '/new', write[2]];
    const more = ['/permissions allow write', '/permissions revoke write', '/reset', write[3], ''];
    expect((await place.run(tools, { input: [...lines, ...more].join('\n') })).code).toBe(0);
    const made = ['a', 'b', 'c', 'd'].filter((name) => existsSync(join(place.project, `${name}.txt`)));
    expect(made).toEqual(['a', 'b']);
  });

  it('are not restored by a fork from before they were revoked, whether by /fork or coffer fork', async () => {
    await using place = await makePlace();
    const first = ['hello', '/permissions allow write', 'write a.txt x', '/permissions revoke write', '/fork 1'];
    await place.run(tools, { input: [...first, 'write b.txt x', ''].join('\n') });
    const parent = (await rows(place)).findLast(({ parent }) => parent === undefined)?.id ?? '';
    const fork = (await place.run(['fork', parent, '1'])).stdout.trim();
    expect(fork).not.toBe('');
    await place.run(['resume', fork], { input: 'write c.txt x\n' });
    const made = ['a', 'b', 'c'].filter((name) => existsSync(join(place.project, `${name}.txt`)));
    expect(made).toEqual(['a']);
  });
});

describe('the revoked permissions of a conversation', () => {
  const tools = ['--model', 'demo/tools'];

  it('are not restored by coffer fork of an earlier snapshot or of an older copy', async () => {
    await using place = await makePlace();
    await place.run(tools, { input: 'hello\n/permissions allow write\n/save kept\n' });
    const before = await place.sessionBytes();
    await place.run(['resume', 'last'], { input: '/permissions revoke write\nmore\n' });
    const ofSnapshot = (await place.run(['fork', 'kept'])).stdout.trim();
    for (const [name, bytes] of before) await writeFile(place.sessionFile(name), bytes);
    const ofOlder = (await place.run(['fork', 'last', '--accept-older'])).stdout.trim();
    for (const [at, fork] of [ofSnapshot, ofOlder].entries()) {
      const { stdout } = await place.run(['resume', fork], { input: `write ${at}.txt x\n` });
      expect(stdout).toMatch(/^denied/m);
      await expect(access(join(place.project, `${at}.txt`))).rejects.toThrow('ENOENT');
    }
  });
});

describe('/compact', () => {
  it('replaces older messages with a summary, from the chat and from the command line', async () => {
    await using place = await makePlace({ settings: { keepMessages: 2 } });
    const chat = await place.run(echo, { input: 'one\ntwo\nthree\n/compact\n' });
    expect(chat.stdout).toContain('summarised 4 messages');
    await place.run(['resume', 'last'], { input: 'four\n' });
    const twin = await place.run(['compact', 'last']);
    expect(twin).toMatchObject({ code: 0 });
    expect(twin.stdout).toContain('summarised 2 messages');
    const events = await eventsOf(place, 'last');
    expect(events.map(({ type }) => type).filter((type) => type === 'compaction')).toHaveLength(2);
    expect(await saidIn(place, 'last')).toHaveLength(8);
  });

  it('is saved from the command line even if autosave is off', async () => {
    await using place = await makePlace();
    await talked(place, 'one', 'two', 'three');
    const settings = { COFFER_AUTO_SAVE: 'false', COFFER_KEEP_MESSAGES: '2' };
    expect((await place.run(['compact', 'last'], { env: settings })).stdout).toContain('4 messages');
    const events = await eventsOf(place, 'last');
    expect(events.map(({ type }) => type)).toContain('compaction');
  });

  it('changes nothing when it fails, and says so', async () => {
    await using place = await makePlace({ settings: { keepMessages: 1 } });
    await talked(place, 'one', 'two');
    const refused = await place.run(['compact', 'last', '--model', 'ollama/none', '--yes']);
    expect(refused.code).not.toBe(0);
    const events = await eventsOf(place, 'last');
    expect(events.map(({ type }) => type)).not.toContain('compaction');
    expect(await standing(place, 'last')).toHaveLength(4);
  });
});
