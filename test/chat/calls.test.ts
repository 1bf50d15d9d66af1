import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openModel, type ProviderSettings, type ReplyPart } from '../../src/chat/models/models.ts';
import type { OfferedTool } from '../../src/chat/reply.ts';
import type { Message } from '../../src/session/event/event.ts';
import { type ModelServer, startModelServer } from '../support/model-server.ts';

const hello: Message[] = [{ role: 'user', content: 'hello' }];
const tools: OfferedTool[] = [
  {
    name: 'read_file',
    description: 'Reads a file.',
    inputSchema: { type: 'object', properties: { path: { type: 'string' } }, required: ['path'] },
  },
];

let server: ModelServer;
beforeAll(async () => {
  server = await startModelServer();
});
afterAll(() => server[Symbol.asyncDispose]());

describe.each(['openai-compatible', 'anthropic'] as const)('a call over the %s protocol', (type) => {
  const reply = async (model: string, messages: Message[] = hello, offered?: OfferedTool[]): Promise<ReplyPart[]> => {
    const opened = await openModel(`mock/${model}`, { providers: { mock: { type, baseURL: server.openai } }, env: {} });
    return all(opened.reply(messages, new AbortController().signal, offered));
  };
  const calls = (parts: ReplyPart[]): unknown[] => parts.filter((part) => part.type === 'tool-call');

  it('is a part of the reply, after its text, with its input', async () => {
    server.respond('caller', () => ({
      content: 'let me look',
      toolCalls: [
        { id: 'c1', name: 'read_file', arguments: '{"path":"a.txt"}' },
        { id: 'c2', name: 'read_file', arguments: '{"path":"b.txt"}' },
      ],
      usage: { prompt_tokens: 9, completion_tokens: 4, input_tokens: 9, output_tokens: 4 },
    }));
    const parts = await reply('caller', hello, tools);
    expect(parts.find((part) => part.type === 'text')).toBeDefined();
    expect(calls(parts)).toEqual([
      { type: 'tool-call', toolCallId: 'c1', toolName: 'read_file', input: { path: 'a.txt' } },
      { type: 'tool-call', toolCallId: 'c2', toolName: 'read_file', input: { path: 'b.txt' } },
    ]);
    expect(parts.at(-1)).toMatchObject({ type: 'finish', usage: { inputTokens: 9, outputTokens: 4 } });
    expect(JSON.stringify(Reflect.get(Object(server.requests.at(-1)?.body), 'tools'))).toContain('"Reads a file."');
  });

  it.each([
    ['input that is not JSON', 'read_file', '{"path": "a.t', '{"path": "a.t'],
    ['input that is not an object', 'read_file', '[1]', [1]],
    ['an unknown tool', 'rm_rf', '{"path":"/"}', { path: '/' }],
  ])('is passed on unchanged even if it is invalid: %s', async (_, name, given, input) => {
    server.respond('broken', () => ({ toolCalls: [{ id: 'c1', name, arguments: given }] }));
    const parts = await reply('broken', hello, tools);
    // aimock replaces invalid JSON with an empty object before it converts to the other protocol.
    const came = type === 'anthropic' && typeof input === 'string' ? {} : input;
    expect(calls(parts)).toEqual([{ type: 'tool-call', toolCallId: 'c1', toolName: name, input: came }]);
    expect(parts.at(-1)).toMatchObject({ type: 'finish' });
  });

  it('has its input replaced if it is nested too deep to be recorded', async () => {
    const deep = (levels: number): string => `{"path":${'['.repeat(levels - 1)}${']'.repeat(levels - 1)}}`;
    for (const [levels, comes] of [
      [64, JSON.parse(deep(64))],
      [65, 'input nested deeper than 64 levels'],
      [500, 'input nested deeper than 64 levels'],
    ] as const) {
      server.respond('deep', () => ({ toolCalls: [{ id: 'c1', name: 'read_file', arguments: deep(levels) }] }));
      const [call] = calls(await reply('deep', hello, tools)) as { input: unknown }[];
      expect(call?.input).toEqual(comes);
    }
  });

  it('has its input replaced if JSON can not represent a number in it', async () => {
    // aimock reserialises the input for Anthropic's protocol, which turns the number into null.
    const expected = type === 'anthropic' ? expect.anything() : 'input with a number that is too large';
    for (const given of ['{"path":-1e999}', '{"path":["a",{"b":1e400}]}']) {
      server.respond('huge', () => ({ toolCalls: [{ id: 'c1', name: 'read_file', arguments: given }] }));
      const [call] = calls(await reply('huge', hello, tools)) as { input: unknown }[];
      expect(call?.input).toEqual(expected);
    }
  });

  it('is sent back with its result', async () => {
    server.respond('plain', () => ({ content: 'ok' }));
    await reply(
      'plain',
      [
        ...hello,
        {
          role: 'assistant',
          content: [{ type: 'tool-call', toolCallId: 'c1', toolName: 'read_file', input: { path: 'a.txt' } }],
        },
        {
          role: 'tool',
          content: [
            {
              type: 'tool-result',
              toolCallId: 'c1',
              toolName: 'read_file',
              output: { type: 'error-text', value: 'there is no file a.txt' },
            },
          ],
        },
      ],
      tools,
    );
    const sent = JSON.stringify(server.requests.at(-1)?.body);
    expect(sent).toContain('there is no file a.txt');
    expect(sent).toContain('c1');
  });
});

describe('the cost of a reply', () => {
  const price = { prices: { priced: { input: 3, output: 15 } } };
  it.each<[string, string, ProviderSettings, object | undefined, number | null]>([
    ['is computed from the prices of the settings', 'mine/priced', price, tokens(1000, 100), 0.0045],
    ['is 0 if the settings say so', 'mine/free', { prices: { free: { input: 0, output: 0 } } }, tokens(9, 9), 0],
    ['is unknown for a model without a price', 'mine/other', price, tokens(1000, 100), null],
    ['is unknown if a count is missing', 'mine/priced', price, { prompt_tokens: 1000 }, null],
    ['is unknown without usage', 'mine/priced', price, undefined, null],
    [
      'is not known where no double holds it',
      'mine/dear',
      { prices: { dear: { input: 1e308, output: 0 } } },
      tokens(9, 9),
      null,
    ],
    ['is the cost that OpenRouter reports', 'openrouter/x', {}, { ...tokens(10, 10), cost: 0.0123 }, 0.0123],
    ['is unknown if OpenRouter does not report it', 'openrouter/x', {}, tokens(10, 10), null],
    ['is unknown if OpenRouter reports nonsense', 'openrouter/x', {}, { ...tokens(10, 10), cost: -1 }, null],
    [
      'ignores the cost reported by others, whose units are unknown',
      'mine/x',
      {},
      { ...tokens(10, 10), cost: 0.5 },
      null,
    ],
  ])('%s', async (_, name, more, usage, cost) => {
    const choices = [{ index: 0, delta: { content: 'hi' }, finish_reason: 'stop' }];
    const site = createServer((_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.end(`data: ${JSON.stringify({ id: 'x', choices, usage })}\n\ndata: [DONE]\n\n`);
    });
    await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve));
    const baseURL = `http://127.0.0.1:${(site.address() as AddressInfo).port}/v1`;
    const [provider = ''] = name.split('/');
    const env = { OPENROUTER_API_KEY: 'k' };
    const model = await openModel(name, { providers: { [provider]: { baseURL, ...more } }, env });
    const parts = await all(model.reply(hello, new AbortController().signal));
    site.close();
    const usageThen = parts.at(-1)?.type === 'finish' ? Reflect.get(parts.at(-1) ?? {}, 'usage') : undefined;
    if (cost === null) expect(usageThen.cost).toBeNull();
    else expect(usageThen.cost).toBeCloseTo(cost, 10);
  });
});

async function all(reply: AsyncIterable<ReplyPart>): Promise<ReplyPart[]> {
  const parts: ReplyPart[] = [];
  for await (const part of reply) parts.push(part);
  return parts;
}

function tokens(input: number, output: number): { prompt_tokens: number; completion_tokens: number } {
  return { prompt_tokens: input, completion_tokens: output };
}
