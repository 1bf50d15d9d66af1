import { beforeEach, describe, expect, it } from 'vitest';
import { requirePosix } from '../files/facilities.ts';
import { conversation, makePlace, type Place } from '../support/coffer.ts';
import type { Terminal } from '../support/pty.ts';

beforeEach(requirePosix);

describe('two chats at once in one vault', () => {
  it('are two sessions, both resumable afterwards', async () => {
    await using place = await makePlace();
    await using first = await chatting(place, 'first');
    await using second = await chatting(place, 'second');
    expect(await place.sessionFiles()).toHaveLength(2);
    for (const [chat, word] of [
      [first, 'again first'],
      [second, 'again second'],
    ] as const) {
      chat.enter(word);
      await chat.waitFor(new RegExp(`echo: ${word}`));
      await chat.waitFor(/» /);
      chat.key('ctrl+d');
      expect(await chat.exit).toEqual({ code: 0, signal: null });
    }
    const resumed = await place.run([], { input: '/resume 1\n/resume 2\n' });
    expect(resumed.stdout.match(/resumed session .* \(4 messages, demo\/echo\)/g)).toHaveLength(2);
    const conversations = [conversation(await place.exported('1')), conversation(await place.exported('2'))];
    for (const word of ['first', 'second']) {
      const wanted = [
        `user: ${word}`,
        `assistant: echo: ${word}`,
        `user: again ${word}`,
        `assistant: echo: again ${word}`,
      ];
      expect(conversations).toContainEqual(wanted);
    }
  });

  it('refuse to resume a session that is live elsewhere, naming its process, and keep the current one', async () => {
    await using place = await makePlace();
    await using live = await chatting(place, 'live');
    const [row] = await place.listed();
    const before = await place.sessionBytes();

    const refused = await place.run(['resume', row?.id ?? '']);
    expect(refused).toMatchObject({ code: 11, signal: null });
    expect(refused.stderr).toMatch(new RegExp(`process ${live.pid}\\b`));

    const inChat = await place.run(['--model', 'demo/echo'], { input: `mine\n/resume ${row?.id}\nstill mine\n` });
    expect(inChat.code).toBe(0);
    expect(inChat.stderr).toMatch(new RegExp(`process ${live.pid}\\b`));
    expect(inChat.stdout).toContain('echo: still mine');

    const after = await place.sessionBytes();
    for (const [name, bytes] of before) expect(after.get(name)).toEqual(bytes);
    const exported = conversation(await place.exported('1'));
    expect(exported).toEqual([
      'user: mine',
      'assistant: echo: mine',
      'user: still mine',
      'assistant: echo: still mine',
    ]);
  });

  it('read a live session without disturbing it', async () => {
    await using place = await makePlace();
    await using live = await chatting(place, 'live');
    expect(conversation(await place.exported('1'))).toEqual(['user: live', 'assistant: echo: live']);
    live.enter('more');
    await live.waitFor(/echo: more/);
    await live.waitFor(/» /);
    expect(live.screen()).not.toContain('NOT SAVED');
  });

  it('release the lease of a killed chat at once', async () => {
    await using place = await makePlace();
    await using killed = await chatting(place, 'killed');
    const [row] = await place.listed();
    expect((await place.run(['resume', row?.id ?? ''])).code).toBe(11);
    killed.kill('SIGKILL');
    await killed.exit;
    const resumed = await place.run(['resume', row?.id ?? ''], { input: 'back again\n' });
    expect(resumed).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('resumed session _autosave (2 messages'),
    });
  });
});

describe('a third start', () => {
  it('after both crashed overwrites nothing and names the newest one', async () => {
    await using place = await makePlace();
    await using first = await chatting(place, 'first');
    await using second = await chatting(place, 'second');
    for (const chat of [first, second]) {
      chat.kill('SIGKILL');
      await chat.exit;
    }
    const before = await place.sessionBytes();
    await using third = place.terminal(['--model', 'demo/echo']);
    await third.waitFor(/last session: _autosave, 2 messages, .*; \/resume 1 continues it/);
    third.enter('third');
    await third.waitFor(/echo: third/);
    await third.waitFor(/» /);
    third.key('ctrl+d');
    await third.exit;
    const after = await place.sessionBytes();
    expect(after.size).toBe(3);
    for (const [name, bytes] of before) expect(after.get(name)).toEqual(bytes);
  });

  it('names the newest session that no process holds, with its number, if the newest is live', async () => {
    await using place = await makePlace();
    await using crashed = await chatting(place, 'crashed');
    await using live = await chatting(place, 'live');
    crashed.kill('SIGKILL');
    await crashed.exit;
    const rows = await place.listed();
    const row = rows.find(({ label }) => label !== '_autosave');
    expect(row?.number).toBe(2);

    await using third = place.terminal(['--model', 'demo/echo']);
    const [, id] = await third.waitFor(/last session: (\S+), 2 messages, .*; \/resume 2 continues it/);
    expect(id).toBe(row?.id);
    await third.waitFor(/» /);
    third.enter('/resume 2');
    await third.waitFor(/resumed session \S+ \(2 messages, demo\/echo\)/);
    expect(conversation(await place.exported(row?.id ?? ''))).toEqual(['user: crashed', 'assistant: echo: crashed']);
    live.kill('SIGKILL');
  });
});

/** Starts a live chat and saves its first exchange. */
async function chatting(place: Place, word: string): Promise<Terminal> {
  const chat = place.terminal(['--model', 'demo/echo']);
  await chat.waitFor(/» /);
  chat.enter(word);
  await chat.waitFor(new RegExp(`echo: ${word}`));
  await chat.waitFor(/» /);
  return chat;
}
