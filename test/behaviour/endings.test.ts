import { beforeEach, describe, expect, it } from 'vitest';
import { requirePosix } from '../files/facilities.ts';
import { conversation, makePlace, type Place } from '../support/coffer.ts';
import { type ModelServer, startModelServer } from '../support/model-server.ts';
import type { Ending, Terminal } from '../support/pty.ts';

beforeEach(requirePosix);

/** Ways a chat can end while a reply streams, and how its parent process must see it end. */
const endings: readonly {
  name: string;
  end(chat: Terminal): void | Promise<void>;
  seen: Ending;
}[] = [
  { name: 'SIGTERM', end: (chat) => chat.kill('SIGTERM'), seen: { code: null, signal: 'SIGTERM' } },
  { name: 'SIGHUP', end: (chat) => chat.kill('SIGHUP'), seen: { code: null, signal: 'SIGHUP' } },
  { name: 'SIGINT', end: (chat) => chat.kill('SIGINT'), seen: { code: null, signal: 'SIGINT' } },
  {
    name: 'two SIGTERMs at once',
    end(chat) {
      chat.kill('SIGTERM');
      chat.kill('SIGTERM');
    },
    seen: { code: null, signal: 'SIGTERM' },
  },
  {
    name: 'Ctrl+C twice',
    async end(chat) {
      chat.key('ctrl+c');
      await chat.waitFor(/cancelled/);
      await chat.waitFor(/» /);
      chat.key('ctrl+c');
    },
    seen: { code: null, signal: 'SIGINT' },
  },
  {
    name: 'Ctrl+C twice at once',
    end(chat) {
      chat.key('ctrl+c');
      chat.key('ctrl+c');
    },
    seen: { code: null, signal: 'SIGINT' },
  },
  { name: 'Ctrl+D', end: (chat) => chat.key('ctrl+d'), seen: { code: 0, signal: null } },
  { name: 'a closed terminal', end: (chat) => chat.hangUp(), seen: { code: null, signal: 'SIGHUP' } },
];

describe('the end of a chat while a reply streams', () => {
  it.each(endings)(
    'by $name: the reply is saved and marked partial, and the parent sees the same ending',
    async ({ end, seen }) => {
      await expectSaved(end, seen, { NO_COLOR: '1' });
    },
  );

  it('is the same if the reply is rendered', async () => {
    await expectSaved((chat) => chat.kill('SIGTERM'), { code: null, signal: 'SIGTERM' }, {});
  });
});

describe('the end of a chat without a terminal', () => {
  it('by the end of input lets the reply finish, saves and exits with 0', async () => {
    await using server = await startModelServer();
    await using place = await makePlace({ settings: { providers: { held: { baseURL: server.held } } } });
    const run = place.run(['--model', 'held/steady'], { input: 'tell me\n' });
    await server.streaming();
    server.release();
    server.finish();
    expect(await run).toMatchObject({ code: 0, stdout: 'part 1 part 2 \n' });
    expect(conversation(await place.exported('1'))).toEqual(['user: tell me', 'assistant: part 1 part 2']);
  });

  it.each(['SIGTERM', 'SIGHUP', 'SIGINT'] as const)(
    'by %s while a reply streams saves the partial reply',
    async (signal) => {
      await using server = await startModelServer();
      await using place = await makePlace({ settings: { providers: { held: { baseURL: server.held } } } });
      const run = place.run(['--model', 'held/steady'], {
        input: 'tell me\nnever said\n',
        onOutput: (text, child) => {
          if (text.includes('part 1')) child.kill(signal);
        },
      });
      expect(await run).toMatchObject({ code: null, signal, stderr: expect.not.stringContaining('lost') });
      expect(conversation(await place.exported('1'))).toEqual(['user: tell me', 'assistant (partial): part 1']);
    },
  );
});

describe('the end of a chat at the prompt', () => {
  it.each([
    ['SIGTERM', (chat: Terminal) => chat.kill('SIGTERM'), { code: null, signal: 'SIGTERM' }],
    ['Ctrl+D', (chat: Terminal) => chat.key('ctrl+d'), { code: 0, signal: null }],
    ['a closed terminal', (chat: Terminal) => chat.hangUp(), { code: null, signal: 'SIGHUP' }],
  ] as const)('by %s loses nothing', async (_, end, seen) => {
    await using place = await makePlace();
    await using chat = place.terminal(['--model', 'demo/echo']);
    await chat.waitFor(/» /);
    chat.enter('hello');
    await chat.waitFor(/echo: hello/);
    await chat.waitFor(/» /);
    end(chat);
    expect(await chat.exit).toEqual(seen);
    expect(conversation(await place.exported('1'))).toEqual(['user: hello', 'assistant: echo: hello']);
  });

  it('writes nothing if nothing was said', async () => {
    await using place = await makePlace();
    await using chat = place.terminal(['--model', 'demo/echo']);
    await chat.waitFor(/» /);
    chat.kill('SIGTERM');
    expect(await chat.exit).toEqual({ code: null, signal: 'SIGTERM' });
    expect(await place.sessionFiles()).toEqual([]);
  });

  it('is cancelled after a single Ctrl+C', async () => {
    await using place = await makePlace();
    await using chat = place.terminal(['--model', 'demo/echo']);
    await chat.waitFor(/» /);
    chat.type('never sent');
    chat.key('ctrl+c');
    await chat.waitFor(/press ctrl\+c again to save and quit/);
    await chat.waitFor(/» /);
    chat.enter('sent');
    await chat.waitFor(/echo: sent/);
    await chat.waitFor(/» /);
    chat.key('ctrl+d');
    expect(await chat.exit).toEqual({ code: 0, signal: null });
    expect(conversation(await place.exported('1'))).toEqual(['user: sent', 'assistant: echo: sent']);
  });
});

/**
 * Ends a chat in the middle of a reply. Expects the partial reply to be saved and marked, and the
 * session to be resumable.
 */
async function expectSaved(
  end: (chat: Terminal) => void | Promise<void>,
  seen: Ending,
  env: Record<string, string>,
): Promise<void> {
  await using server = await startModelServer();
  await using place = await makePlace({ settings: { providers: { held: { baseURL: server.held } } } });
  await using chat = await streaming(place, server, env);
  await end(chat);
  expect(await chat.exit).toEqual(seen);

  const files = await place.sessionFiles();
  const exported = await place.exported('1');
  expect(conversation(exported)).toEqual(['user: tell me', 'assistant (partial): part 1 part 2']);
  const statuses = exported.events.filter(({ type }) => type === 'status').map(({ status }) => status);
  expect(statuses.at(-1)).not.toBe('running');

  const resumed = await place.run([], { input: '/resume 1\n' });
  expect(resumed.stdout).toContain('resumed session _autosave (2 messages, held/steady)');
  expect(await place.sessionFiles()).toEqual(files);
}

/** Starts a chat whose reply has shown two parts on the screen. */
async function streaming(place: Place, server: ModelServer, env: Record<string, string>): Promise<Terminal> {
  const chat = place.terminal(['--model', 'held/steady'], { env });
  await chat.waitFor(/» /);
  chat.enter('tell me');
  await server.streaming();
  server.release();
  await chat.waitFor(/part 1 part/);
  return chat;
}
