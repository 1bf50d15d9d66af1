import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { naming } from '../../src/session/change/marks.ts';
import type { Row } from '../../src/session/list/row.ts';
import { openVault } from '../../src/session/open-vault.ts';
import type { Sessions } from '../../src/session/sessions.ts';
import { requirePosix } from '../files/facilities.ts';
import { makePlace, type Place } from '../support/coffer.ts';
import { reply, user } from '../support/vault.ts';

beforeEach(requirePosix);

const echo = ['--model', 'demo/echo'];

describe('/rename', () => {
  it('survives a restart, and the name finds the session', async () => {
    await using place = await makePlace();
    await place.run(echo, { input: 'one\n/rename fixing the login\n' });
    await talked(place, 'two');
    const resumed = await place.run(['resume', 'fixing the login'], { input: 'three\n' });
    expect(resumed.stdout).toContain('echo: three');
    const rows = await rowsOf(place);
    expect(rows.map(({ name }) => name).filter(Boolean)).toEqual(['fixing the login']);
    expect(rows.find(({ name }) => name)?.messages).toBe(4);
  });

  it("to something that can't be a name is refused, and changes nothing", async () => {
    const wrong = ['', '    ', 'n'.repeat(101), 'a\u001b[31mb', 'a\u0007b', 'a\u202eb'];
    await using place = await makePlace();
    await talked(place, 'one', 'before');
    const [row] = await rowsOf(place);
    const asked = wrong.map((name) => `/rename ${name}\n`).join('');
    const inChat = await place.run(['resume', row?.id ?? ''], { input: asked });
    expect(inChat).toMatchObject({ code: 0 });
    expect(inChat.stderr.match(/^.*name.*$/gm)).toHaveLength(wrong.length);
    for (const control of ['\u001b', '\u0007', '\u202e']) expect(inChat.stderr).not.toContain(control);
    const before = await place.sessionBytes();
    for (const name of wrong) expect(() => naming(name)).toThrow(expect.objectContaining({ code: 'NAME_INVALID' }));
    for (const name of ['', 'a\u001b[31mb']) {
      const onCommandLine = await place.run(['rename', row?.id ?? '', name]);
      expect(onCommandLine, JSON.stringify(name)).toMatchObject({ code: 2 });
    }
    expect(await place.sessionBytes()).toEqual(before);
    expect(await rowsOf(place)).toMatchObject([{ name: 'before', messages: 2 }]);
  });

  it('of two sessions to one name leaves them to be told apart by id', async () => {
    await using place = await makePlace();
    await place.run(echo, { input: 'one\n/rename same\n/reset\ntwo\n/rename same\n' });
    const rows = await rowsOf(place);
    const refused = await place.run(['resume', 'same']);
    expect(refused.code).toBe(10);
    for (const { id } of rows) expect(refused.stderr).toContain(id);
    expect((await place.run(['resume', rows[1]?.id ?? ''], { input: '' })).code).toBe(0);
  });

  it('leaves a session without a name titled by its first words', async () => {
    await using place = await makePlace();
    const long = `why does ${'the parser '.repeat(20)}fail`;
    await place.run(echo, { input: `/rename first\n/reset\n${long}\nsecond prompt\n` });
    const rows = (await place.listed()) as unknown as { title?: string; name?: string }[];
    expect(rows[0]?.title).toBe(long.slice(0, 80));
    expect(rows[0]?.name).toBeUndefined();
    expect(rows[1]).toMatchObject({ name: 'first' });
    expect(rows[1]?.title).toBeUndefined();
  });
});

describe('a mark', () => {
  it('makes a session neither newer nor running, and writes no file if nothing changes', async () => {
    await using place = await makePlace();
    await talked(place, 'one');
    const [before] = await place.listed();
    expect((await place.run(['tag', '1', 'work'])).code).toBe(0);
    expect((await place.run(['pin', '1'])).code).toBe(0);
    const [after] = await place.listed();
    expect(after).toMatchObject({ ...before, pinned: true, tags: ['work'] });
    const bytes = await place.sessionBytes();
    for (const args of [
      ['pin', '1'],
      ['tag', '1', 'work'],
      ['unarchive', '1'],
    ])
      expect((await place.run(args)).code).toBe(0);
    expect(await place.sessionBytes()).toEqual(bytes);
  });

  it('is refused for a session that another process holds', async () => {
    await using place = await makePlace();
    await using live = await chatting(place);
    const [row] = await rowsOf(place);
    const before = await place.sessionBytes();
    for (const args of [
      ['rename', '1', 'x'],
      ['pin', '1'],
      ['tag', '1', 'x'],
      ['archive', '1'],
      ['rewind', '1', '0'],
    ]) {
      const refused = await place.run(args);
      expect(refused.code, args.join(' ')).toBe(11);
      expect(refused.stderr).toMatch(new RegExp(`process ${live.pid}\\b`));
    }
    expect(await place.sessionBytes()).toEqual(before);
    live.enter(`/pin ${row?.id}`);
    await live.waitFor(/this conversation is pinned/);
    expect(await place.run(['pin', '1'])).toMatchObject({ code: 0, stdout: `${row?.id} is pinned already\n` });
    live.key('ctrl+d');
    await live.exit;
  });
});

describe('a change', () => {
  it("is made even if it can't be marked against rollback, with a warning", async () => {
    await using place = await makePlace();
    await place.run(echo, { input: 'zero\n/reset\none\ntwo\n/save kept\n' });
    await rm(join(place.data, 'seen'));
    await mkdir(join(place.data, 'seen'));
    const changes: string[][] = [
      ['rename', 'last', 'x'],
      ['rewind', 'last', '1'],
      ['fork', 'last', '1'],
      ['redact', 'last'],
      ['delete', 'kept', '--yes'],
      ['prune', '--max-sessions', '1', '--yes'],
    ];
    for (const args of changes) {
      const { code, stderr } = await place.run(args, { input: 'echo: one\n' });
      expect(code, args.join(' ')).toBe(0);
      expect(stderr, args.join(' ')).toMatch(/^done, but the rollback marks could not be written: /m);
    }
  });
});

describe('coffer delete', () => {
  it('deletes nothing if one of the sessions is in use, and nothing else changes that session', async () => {
    await using place = await makePlace();
    await talked(place, 'one');
    await using live = await chatting(place);
    const before = await place.sessionBytes();
    const refused = await place.run(['delete', '2', '1', '--yes']);
    expect(refused.code).toBe(11);
    expect(refused.stderr).toMatch(new RegExp(`in use by process ${live.pid}\\b.*nothing was deleted`));
    for (const change of [
      ['rename', '1', 'other'],
      ['pin', '1'],
      ['rewind', '1', '0'],
    ]) {
      const { code, stderr } = await place.run(change);
      expect(code, change.join(' ')).toBe(11);
      expect(stderr).toMatch(
        new RegExp(
          `^coffer: in use by process ${live.pid} since \\d\\d:\\d\\d; close it there; \\S+ is unchanged$`,
          'm',
        ),
      );
    }
    expect(await place.sessionBytes()).toEqual(before);
    live.key('ctrl+d');
    await live.exit;
    expect((await place.run(['delete', '2', '1', '--yes'])).code).toBe(0);
    expect(await place.sessionFiles()).toEqual([]);
  });

  it('asks on a terminal, and takes everything but yes as no', async () => {
    await using place = await makePlace();
    await talked(place, 'one');
    for (const answer of ['', 'n', 'Yes, please', 'no']) {
      await using asked = place.terminal(['delete', '1']);
      await asked.waitFor(/will be deleted: .* \(one\), 2 messages/);
      await asked.waitFor(/delete it\? \[y\/N\] /);
      asked.enter(answer);
      expect(await asked.exit).toEqual({ code: 1, signal: null });
      expect(asked.screen()).toContain('nothing was deleted');
      expect(await place.sessionFiles()).toHaveLength(1);
    }
    await using asked = place.terminal(['delete', '1']);
    await asked.waitFor(/delete it\? \[y\/N\] /);
    asked.enter('y');
    expect(await asked.exit).toEqual({ code: 0, signal: null });
    expect(await place.sessionFiles()).toEqual([]);
  });

  it('asks in the chat, and the conversation continues', async () => {
    await using place = await makePlace();
    await talked(place, 'one');
    await using chat = await chatting(place);
    chat.enter('/sessions');
    await chat.waitFor(/2\) \d{4}/);
    chat.enter('/delete 2');
    await chat.waitFor(/delete it\? \[y\/N\] /);
    chat.enter('y');
    await chat.waitFor(/deleted \d{4}/);
    chat.enter('still here');
    await chat.waitFor(/echo: still here/);
    expect(await place.sessionFiles()).toHaveLength(1);
  });
});

/** Saves a conversation of one exchange, with a name if there is one. */
async function talked(place: Place, word: string, name?: string): Promise<void> {
  await using vault = await opened(place);
  await using session = vault.begin({ directory: place.project, model: 'demo/echo' });
  await session.append(user(word), reply(`echo: ${word}`));
  if (name !== undefined) await session.append({ type: 'name', name });
}

async function rowsOf(place: Place): Promise<Row[]> {
  await using vault = await opened(place);
  return await vault.list();
}

function opened(place: Place): Promise<Sessions> {
  return openVault({ directory: place.data, env: place.libraryEnv });
}

/** Starts a chat on a terminal and saves its first exchange. */
async function chatting(place: Place): Promise<ReturnType<Place['terminal']>> {
  const chat = place.terminal(echo);
  await chat.waitFor(/» /);
  chat.enter('live');
  await chat.waitFor(/echo: live/);
  await chat.waitFor(/» /);
  return chat;
}
