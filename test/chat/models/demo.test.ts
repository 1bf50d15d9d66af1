import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openModel, type ReplyPart } from '../../../src/chat/models/models.ts';
import type { OfferedTool } from '../../../src/chat/reply.ts';
import type { Message } from '../../../src/session/event/event.ts';

const conversation = (...lines: string[]): Message[] =>
  lines.map((content, place) => ({ role: place % 2 === 0 ? 'user' : 'assistant', content }));

describe('demo/echo', () => {
  it.each(['hello', '', '  two  spaces ', 'line\nline\n\n', 'Grüße 🔐\tTab'])('answers echo: %j', async (text) => {
    expect(await answer('demo/echo', conversation(text))).toBe(`echo: ${text}`);
  });

  it('answers the last message, its text parts joined', async () => {
    const content = [
      { type: 'text' as const, text: 'a' },
      { type: 'file' as const, mediaType: 'image/png', data: 'AAAA' },
      { type: 'text' as const, text: 'b' },
    ];
    const messages: Message[] = [...conversation('one', 'echo: one'), { role: 'user', content }];
    expect(await answer('demo/echo', messages)).toBe('echo: ab');
    expect(await answer('demo/echo', [])).toBe('echo: ');
  });

  it('echoes any text exactly', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary' }), async (text) => {
        expect(await answer('demo/echo', conversation(text))).toBe(`echo: ${text}`);
      }),
      { numRuns: 50 },
    );
  });
});

describe('demo/tools', () => {
  const tools = [{ name: 'read_file', description: '', inputSchema: {} }];
  const callsOf = async (text: string): Promise<unknown[]> => {
    const parts = await partsOf('demo/tools', conversation(text), tools);
    return parts.flatMap((part) => (part.type === 'tool-call' ? [[part.toolName, part.input]] : []));
  };

  it.each([
    ['read a b.txt', 'read_file', { path: 'a b.txt' }],
    ['list', 'list_files', {}],
    ['list src', 'list_files', { path: 'src' }],
    ['search two words', 'search_files', { text: 'two words' }],
    ['write x.txt two words', 'write_file', { path: 'x.txt', content: 'two words\n' }],
    ['  run ls -la | wc', 'run_command', { command: 'ls -la | wc' }],
  ])('follows the instruction %s', async (text, name, input) => {
    expect(await callsOf(text)).toEqual([[name, input]]);
  });

  it('follows the lines of a message in order and ignores those it does not understand', async () => {
    expect(await callsOf('list\nplease\nread x')).toEqual([
      ['list_files', {}],
      ['read_file', { path: 'x' }],
    ]);
  });

  it('replies with the results', async () => {
    const result = (toolCallId: string, value: string) =>
      ({ type: 'tool-result', toolCallId, toolName: 'read_file', output: { type: 'text', value } }) as const;
    const messages: Message[] = [
      ...conversation('read'),
      { role: 'tool', content: [result('1', 'one\n'), result('2', 'two')] },
    ];
    expect(await answer('demo/tools', messages)).toBe('one\n\ntwo');
  });

  it('explains what it understands, and that it has no tools', async () => {
    for (const text of ['hello', 'read', 'constructor x']) {
      expect(await answer('demo/tools', conversation(text))).toContain('write FILE TEXT');
    }
    expect(await answer('demo/tools', conversation('list'))).toBe('I have no tools here.');
  });
});

describe('demo/eliza', () => {
  it('introduces itself and explains /model in its first answer only', async () => {
    const first = await answer('demo/eliza', conversation('hello'));
    expect(first).toContain('scripted demo');
    expect(first).toContain('/model ollama/qwen3');
    const second = await answer('demo/eliza', conversation('hello', first, 'hello'));
    expect(second).not.toContain('scripted');
    expect(second).not.toBe('');
  });

  it('turns the words of the user around', async () => {
    expect(await answer('demo/eliza', conversation('x', 'y', 'I need my notes about you.'))).toContain(
      'your notes about me',
    );
    expect(await answer('demo/eliza', conversation('x', 'y', "I'm stuck with $& and myself"))).toContain(
      'stuck with $& and yourself',
    );
  });

  it('answers anything, briefly and reproducibly', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 4000 }), fc.nat(5), async (text, turns) => {
        const before = Array.from({ length: 2 * turns }, () => 'x');
        const messages = conversation(...before, text);
        const said = await answer('demo/eliza', messages);
        expect(said).not.toBe('');
        expect(said.length).toBeLessThan(500);
        expect(said).not.toContain('*');
        expect(await answer('demo/eliza', messages)).toBe(said);
      }),
      { numRuns: 60 },
    );
  });

  it('does not say the same twice in a row', async () => {
    const one = await answer('demo/eliza', conversation('x', 'y', 'hm'));
    const two = await answer('demo/eliza', conversation('x', 'y', 'hm', one, 'hm'));
    expect(two).not.toBe(one);
  });
});

describe('a demo', () => {
  it('streams word by word and ends with unknown usage', async () => {
    const parts = await partsOf('demo/echo', conversation('one two'));
    expect(parts.slice(0, -1).map((part) => (part.type === 'text' ? part.text : part))).toEqual([
      'echo: ',
      'one ',
      'two',
    ]);
    expect(parts.at(-1)).toEqual({
      type: 'finish',
      usage: { inputTokens: null, outputTokens: null, cost: null },
      reason: 'stop',
    });
  });

  it('can be cancelled between two words', async () => {
    const cancel = new AbortController();
    const model = await openModel('demo/echo', { providers: {}, env: {} });
    const heard: string[] = [];
    const whole = (async () => {
      for await (const part of model.reply(conversation('one two three'), cancel.signal)) {
        if (part.type === 'text') heard.push(part.text);
        if (heard.length === 2) cancel.abort();
      }
    })();
    await expect(whole).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(heard).toEqual(['echo: ', 'one ']);
  });
});

async function answer(name: string, messages: readonly Message[]): Promise<string> {
  return (await partsOf(name, messages)).map((part) => (part.type === 'text' ? part.text : '')).join('');
}

async function partsOf(
  name: string,
  messages: readonly Message[],
  tools?: readonly OfferedTool[],
): Promise<ReplyPart[]> {
  const model = await openModel(name, { providers: {}, env: {} });
  const parts: ReplyPart[] = [];
  for await (const part of model.reply(messages, new AbortController().signal, tools)) parts.push(part);
  return parts;
}
