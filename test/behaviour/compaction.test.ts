import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Event } from '../../src/session/event/event.ts';
import { makePlace, type Place } from '../support/coffer.ts';
import { type ModelServer, type SentMessage, startModelServer } from '../support/model-server.ts';

let server: ModelServer;
let place: Place;
/** Messages of each request to the model, summary requests included. */
let sent: SentMessage[][];

beforeEach(async () => {
  server = await startModelServer();
  place = await makePlace();
  sent = [];
});
afterEach(async () => {
  await place[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

describe('a conversation that outgrows the context window of its model', () => {
  it('is summarised before the next request, with a notice, and kept whole in the record', async () => {
    await settings({ keepMessages: 2 });
    answer('they said one and two');
    const first = await place.run(['--model', 'mock/small'], { input: 'one\ntwo\nthree\nfour\n' });
    expect(first.code).toBe(0);
    expect(first.stdout).toBe('you said one\nyou said two\nyou said three\nyou said four\n');
    expect(first.stderr).toContain('the context uses 85 of 100 tokens (85 %): summarising older messages\n');
    expect(first.stderr).toContain('summarised 4 messages to free context; saved history is unchanged\n');
    expect(sent.map(roles)).toEqual([
      ['user'],
      ['user', 'assistant', 'user'],
      ['user', 'assistant', 'user', 'assistant', 'user'],
      ['system', 'user'],
      ['system', 'user', 'assistant', 'user'],
    ]);
    expect(String(sent.at(-1)?.[0]?.content)).toContain('they said one and two');
    expect(await texts()).toEqual(['one', 'two', 'three', 'four'].flatMap((word) => [word, `you said ${word}`]));
    const again = await place.run(['resume', 'last', '--prompt', 'five']);
    expect(again.stderr).not.toContain('summarising');
    expect(roles(sent.at(-1) ?? [])).toEqual(['system', 'user', 'assistant', 'user', 'assistant', 'user']);
    const compactions = (await recorded()).filter(({ type }) => type === 'compaction');
    expect(compactions).toMatchObject([{ summary: 'they said one and two', model: 'mock/small' }]);
  });

  it.each([
    ['fails', { error: { message: 'no', type: 'scripted', code: 'server_error' }, status: 500 }, /failed \(500/],
    ['is empty', { content: '' }, /sent an empty summary/],
  ])('continues unchanged, and says so, if the summary %s', async (_, summary, words) => {
    await settings({ keepMessages: 2 });
    answer(summary);
    const { stdout, stderr, code } = await place.run(['--model', 'mock/small'], { input: 'one\ntwo\nthree\nfour\n' });
    expect({ stdout, code }).toEqual({
      stdout: 'you said one\nyou said two\nyou said three\nyou said four\n',
      code: 0,
    });
    expect(stderr).toMatch(
      /summarising older messages\n(?:.*; trying again in \d s\n)*not summarised, nothing changed: .+\n/,
    );
    expect(stderr).toMatch(words);
    expect(roles(sent.at(-1) ?? [])).toEqual(['user', 'assistant', 'user', 'assistant', 'user', 'assistant', 'user']);
    expect((await recorded()).filter(({ type }) => type === 'error')).toHaveLength(1);
  });

  it('is left alone if it has too few messages to summarise, and the notice names the setting', async () => {
    await settings({ keepMessages: 50 });
    answer('never');
    const { stderr } = await place.run(['--model', 'mock/small'], { input: 'one\ntwo\nthree\nfour\n' });
    expect(stderr).toContain('nothing to summarise: the newest 50 messages are always kept (keepMessages)\n');
    expect(sent).toHaveLength(4);
  });

  it('is summarised when a chat ends, if the settings say so', async () => {
    await settings({ keepMessages: 2, autoCompactAt: false, compactOnFinish: true });
    answer('they said one');
    const first = await place.run(['--model', 'mock/small'], { input: 'one\ntwo\n' });
    expect(first.stderr).toMatch(/\nsummarising older messages\nsummarised 2 messages to free context; .+\n$/);
    expect(first.code).toBe(0);
    await place.run(['resume', 'last', '--prompt', 'three']);
    expect(sent.map(roles).slice(2)).toEqual([
      ['system', 'user'],
      ['system', 'user', 'assistant', 'user'],
      ['system', 'user'],
    ]);
    const looked = await place.run(['resume', 'last'], { input: '' });
    expect(looked.stderr).not.toContain('summarising');
  });

  it('is left alone if compaction is off', async () => {
    await settings({ keepMessages: 2, autoCompactAt: false });
    answer('never');
    const { stderr } = await place.run(['--model', 'mock/small'], { input: 'one\ntwo\nthree\nfour\n' });
    expect(stderr).not.toContain('summar');
    expect(sent).toHaveLength(4);
  });
});

async function settings(more: object): Promise<void> {
  const providers = { mock: { baseURL: server.openai, contextWindow: 100 } };
  await writeFile(join(place.config, 'settings.json'), JSON.stringify({ providers, tools: false, ...more }));
}

/** Makes the model echo its prompt and report its input tokens: 25 for each message of the user. */
function answer(summary: string | Awaited<ReturnType<Parameters<ModelServer['respond']>[1]>>): void {
  server.respond('small', (messages) => {
    sent.push(messages);
    const [first] = messages;
    if (messages.length === 2 && first?.role === 'system') {
      return typeof summary === 'string' ? { content: summary } : summary;
    }
    const heard = messages.filter(({ role }) => role === 'user');
    const usage = { prompt_tokens: 25 * heard.length, completion_tokens: 5 };
    return { content: `you said ${heard.at(-1)?.content}`, usage };
  });
}

function roles(messages: readonly SentMessage[]): string[] {
  return messages.map(({ role }) => role);
}

async function recorded(): Promise<Event[]> {
  return (await place.exported('last')).events as unknown as Event[];
}

async function texts(): Promise<unknown[]> {
  return (await place.exported('last')).events.flatMap(({ message }) => (message ? [message.content] : []));
}
