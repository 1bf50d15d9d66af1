import { beforeEach, describe, expect, it } from 'vitest';
import { requirePosix } from '../files/facilities.ts';
import { conversation, makePlace, type Place } from '../support/coffer.ts';
import { type ModelServer, startModelServer } from '../support/model-server.ts';
import type { Terminal } from '../support/pty.ts';

const turns = [1, 2, 3, 4, 5];

beforeEach(requirePosix);

describe('kill -9 while a reply streams', () => {
  it('loses no acknowledged message, and /resume 1 continues in the same file with the same model', async () => {
    await using server = await startModelServer();
    await using place = await makePlace({ settings: { providers: { held: { baseURL: server.held } } } });
    await chatAndKill(place, server);
    const files = await place.sessionFiles();
    expect(files).toHaveLength(1);

    await using chat = place.terminal([], { env: { NO_COLOR: '1' } });
    await chat.waitFor(/last session: _autosave, 11 messages, .*; \/resume 1 continues it/);
    await chat.waitFor(/» /);
    chat.enter('/resume 1');
    await chat.waitFor(/resumed session _autosave \(11 messages, held\/steady\)/);
    await chat.waitFor(/» /);
    await ask(chat, server, 'question 7');
    chat.enter('/exit');
    expect(await chat.exit).toEqual({ code: 0, signal: null });

    expect(await place.sessionFiles()).toEqual(files);
    const five = turns.flatMap((turn) => [`user: question ${turn}`, 'assistant: part 1']);
    const wanted = [...five, 'user: question 6', 'user: question 7', 'assistant: part 1'];
    expect(conversation(await place.exported('1'))).toEqual(wanted);
    expect(sentLast(server)).toEqual([...five, 'user: question 6\n\nquestion 7']);
  });

  it('leaves nothing behind that stops the next start from writing', async () => {
    await using server = await startModelServer();
    await using place = await makePlace({ settings: { providers: { held: { baseURL: server.held } } } });
    await chatAndKill(place, server);
    const before = await place.sessionFiles();
    expect((await place.run(['--model', 'demo/echo'], { input: 'afterwards\n' })).code).toBe(0);
    const rows = await place.listed();
    expect(rows.map(({ messages }) => messages)).toEqual([2, 11]);
    expect(await place.sessionFiles()).toEqual(expect.arrayContaining(before));
  });
});

/** Completes five turns, and kills the program in the middle of the sixth. */
async function chatAndKill(place: Place, server: ModelServer): Promise<void> {
  await using chat = place.terminal(['--model', 'held/steady'], { env: { NO_COLOR: '1' } });
  await chat.waitFor(/» /);
  for (const turn of turns) await ask(chat, server, `question ${turn}`);
  chat.enter('question 6');
  await chat.waitFor(/part 1/);
  chat.kill('SIGKILL');
  expect(await chat.exit).toEqual({ code: null, signal: 'SIGKILL' });
}

/**
 * Asks, lets the model end its reply, and waits for the prompt: everything said so far is
 * acknowledged then.
 */
async function ask(chat: Terminal, server: ModelServer, question: string): Promise<void> {
  chat.enter(question);
  await chat.waitFor(/part 1/);
  server.finish();
  await chat.waitFor(/» /);
}

/** Returns the messages of the last request to the model. */
function sentLast(server: ModelServer): string[] {
  const body = server.requests.at(-1)?.body as { messages: { role: string; content: unknown }[] };
  return body.messages.map(({ role, content }) => `${role}: ${textOf(content).trim()}`);
}

function textOf(content: unknown): string {
  if (typeof content === 'string') return content;
  return (content as { text: string }[]).map(({ text }) => text).join('');
}
