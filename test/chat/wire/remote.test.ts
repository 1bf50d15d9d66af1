import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type Server } from 'node:net';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ChatModel, openModel, type ProviderSettings, type ReplyPart } from '../../../src/chat/models/models.ts';
import type { OfferedTool } from '../../../src/chat/reply.ts';
import { type CofferError, isCofferError } from '../../../src/errors.ts';
import type { Message } from '../../../src/session/event/event.ts';
import { type ModelServer, startModelServer } from '../../support/model-server.ts';

const KEY = 'sk-canary-key-1234';
const WORDS = 'canary words of the conversation';
const hello: Message[] = [{ role: 'user', content: WORDS }];

let server: ModelServer;
beforeAll(async () => {
  server = await startModelServer();
});
afterAll(() => server[Symbol.asyncDispose]());

describe.each(['openai-compatible', 'anthropic', 'ollama'] as const)('a reply over the %s protocol', (type) => {
  const open = (model: string, base: 'openai' | 'held' = 'openai', more: ProviderSettings = {}): Promise<ChatModel> => {
    const settings = { type, baseURL: server[base], apiKeyEnv: 'MOCK_KEY', ...more };
    return openModel(`mock/${model}`, { providers: { mock: settings }, env: { MOCK_KEY: KEY } });
  };

  it('arrives in order, in parts, with its usage at the end', async () => {
    const parts = await all(await open('reply'), hello);
    expect(parts.length).toBeGreaterThan(3);
    expect(textOf(parts)).toBe(`you said: ${WORDS}`);
    expect(parts.at(-1)).toEqual({
      type: 'finish',
      // The mock reports no token counts for Ollama.
      usage: type === 'ollama' ? expect.anything() : { inputTokens: 7, outputTokens: 5, cost: null },
      reason: 'stop',
    });
  });

  it('is yielded as it arrives, not when it is complete', async () => {
    const iterator = (await open('slow', 'held')).reply(hello, new AbortController().signal)[Symbol.asyncIterator]();
    expect(await iterator.next()).toMatchObject({ value: { type: 'text', text: 'part 1 ' } });
    server.release();
    expect(await iterator.next()).toMatchObject({ value: { type: 'text', text: 'part 2 ' } });
    server.finish();
    expect(await iterator.next()).toMatchObject({
      value: { type: 'finish', usage: { inputTokens: 7, outputTokens: 2 } },
    });
    expect(await iterator.next()).toMatchObject({ done: true });
  });

  it('is empty if the model says nothing', async () => {
    expect(await all(await open('mute'), hello)).toEqual([expect.objectContaining({ type: 'finish' })]);
  });

  it('is requested with the whole conversation, except reasoning that the protocol can not send back', async () => {
    const before = server.requests.length;
    await all(await open('reply'), [
      { role: 'system', content: 'be brief' },
      { role: 'user', content: 'one' },
      { role: 'assistant', content: 'the beginn' },
      { role: 'user', content: 'two' },
      {
        role: 'assistant',
        content: [
          { type: 'reasoning', text: 'unsigned' },
          { type: 'text', text: 'more' },
        ],
      },
      { role: 'user', content: [{ type: 'text', text: 'three' }] },
    ]);
    const sent = JSON.stringify(server.requests.slice(before)[0]?.body);
    const places = ['be brief', 'one', 'the beginn', 'two', 'three'].map((words) => sent.indexOf(words));
    expect(places).toEqual(places.toSorted((a, b) => a - b));
    expect(places[0]).toBeGreaterThan(0);
    expect(sent).not.toContain('unsigned');
  });

  it.each([
    ['refused', 'MODEL_REFUSED', 'MOCK_KEY'],
    ['forbidden', 'MODEL_REFUSED', 'MOCK_KEY'],
    ['missing', 'MODEL_UNKNOWN', '"missing"'],
  ])('that is answered with `%s` fails at once with %s and says %s', async (model, code, words) => {
    const before = server.requests.length;
    const error = await failure(await open(model));
    expect(error).toMatchObject({ code, message: expect.stringContaining(words), said: `no: ${model}` });
    expect(server.requests.length - before).toBe(1);
    expectNoSecret(error);
  });

  it.each([
    ['limited', 'MODEL_LIMITED', 'ask again in 1 s', [1, 1]],
    ['failing', 'MODEL_FAILED', '500', [1, 2]],
  ])('that is answered with `%s` is requested three times, then fails with %s', async (model, code, words, waits) => {
    const before = server.requests.length;
    const parts: ReplyPart[] = [];
    const error = await failure(await open(model), parts);
    expect(error).toMatchObject({ code, message: expect.stringContaining(words), said: `no: ${model}` });
    expect(parts).toEqual(
      waits.map((seconds) => ({ type: 'wait', seconds, error: expect.objectContaining({ code }) })),
    );
    expect(server.requests.length - before).toBe(3);
    expectNoSecret(error);
  });

  it.each([
    'registry.ollama.ai/library/gemma:latest does not support tools',
    '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
    'tools param requires --jinja flag',
    'Unsupported param: tools',
    'No endpoints found that support tool use',
  ])('that is refused because of its tools is not retried, whatever the status: %s', async (message) => {
    const before = server.requests.length;
    server.respond('toolless', () => ({ error: { message, type: 'server_error' }, status: 500 }));
    const parts: ReplyPart[] = [];
    expect(await failure(await open('toolless'), parts)).toMatchObject({ code: 'TOOLS_UNSUPPORTED' });
    expect([parts, server.requests.length - before]).toEqual([[], 1]);
  });

  it('is CANCELLED while it waits for a retry', async () => {
    const before = server.requests.length;
    const cancel = new AbortController();
    const error = await failure(await open('failing'), [], cancel.signal, () => cancel.abort());
    expect(error.code).toBe('CANCELLED');
    expect(server.requests.length - before).toBe(1);
  });

  it('is CANCELLED before a wait of a minute is over', async () => {
    const site = createHttpServer((_, response) => response.writeHead(429, { 'retry-after': '60' }).end('{}'));
    await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve));
    const busy = await open('x', 'openai', { baseURL: `http://127.0.0.1:${portOf(site)}/v1` });
    const cancel = new AbortController();
    const aborted = once(cancel.signal, 'abort');
    const cancelled = failure(busy, [], cancel.signal, () => cancel.abort());
    const another = aborted.then(async () => textOf(await all(await open('reply'), hello)));
    expect(await Promise.race([cancelled, another])).toMatchObject({ code: 'CANCELLED' });
    await another;
    site.close();
  });

  it('fails with the words of the provider, without the key', async () => {
    server.respond('echoing', () => ({ error: { message: `no such key: ${KEY}`, type: 'error' }, status: 401 }));
    expect(await failure(await open('echoing'))).toMatchObject({ said: 'no such key: [redacted]' });
  });

  it.each(['\n', '\r\n', '\r', '\u2028'])(
    'is told in the first line of what the provider says, which ends with %j',
    async (end) => {
      server.respond('wordy', () => ({ error: { message: ` no luck${end}at all`, type: 'error' }, status: 400 }));
      expect(await failure(await open('wordy'))).toMatchObject({ said: 'no luck' });
    },
  );

  it.each([
    'prompt is too long: 210000 tokens > 200000 maximum',
    "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens",
    'the request exceeds the available context size, try increasing it',
  ])('to a conversation that is too long says what to do: %s', async (message) => {
    server.respond('short', () => ({ error: { message, type: 'invalid_request_error' }, status: 400 }));
    const error = await failure(await open('short'));
    expect(error.message).toBe(
      'the conversation is too long for "mock/short" (400, invalid_request_error); shorten it with /compact',
    );
    expectNoSecret(error);
  });

  it('that is refused without a key says where to configure one', async () => {
    const error = await failure(await open('refused', 'openai', { apiKeyEnv: undefined }));
    expect(error).toMatchObject({ code: 'MODEL_REFUSED', message: expect.stringContaining('apiKeyEnv') });
  });

  it('from nowhere is MODEL_UNREACHABLE with the address', async () => {
    const baseURL = `http://127.0.0.1:${await closedPort()}/v1`;
    const error = await failure(await open('x', 'openai', { baseURL }));
    expect(error.code).toBe('MODEL_UNREACHABLE');
    expect(error.message).toContain(`${baseURL} (ECONNREFUSED)`);
    expectNoSecret(error);
  });

  it('from a name that does not exist is MODEL_UNREACHABLE', async () => {
    const error = await failure(await open('x', 'openai', { baseURL: 'https://no-such-host.invalid/v1' }));
    expect(error).toMatchObject({
      code: 'MODEL_UNREACHABLE',
      message: expect.stringContaining('no-such-host.invalid'),
    });
  });

  it.each([
    [200, 'MODEL_FAILED', 'is not a reply; check baseURL'],
    [404, 'MODEL_UNKNOWN', '404'],
  ])('from an address that is not an API and answers %d is %s', async (status, code, words) => {
    const site = createHttpServer((_, response) => response.writeHead(status).end('<h1>welcome</h1>'));
    await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve));
    const baseURL = `http://127.0.0.1:${portOf(site)}/v1`;
    const error = await failure(await open('x', 'openai', { baseURL }));
    site.close();
    expect(error).toMatchObject({ code, message: expect.stringContaining(words) });
    expect(error.message).not.toContain('welcome');
  });

  it.each([
    '{"error":{"message":"no such luck"}}',
    '{"error":"no such luck"}',
    '{"object":"error","message":"no such luck","code":1}',
    '{"detail":"no such luck"}',
  ])('that is refused in any form is reported in the words of the server: %s', async (body) => {
    const site = createHttpServer((_, response) => response.writeHead(400).end(body));
    await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve));
    const error = await failure(await open('x', 'openai', { baseURL: `http://127.0.0.1:${portOf(site)}/v1` }));
    site.close();
    expect(error).toMatchObject({ code: 'MODEL_FAILED', said: 'no such luck' });
  });

  it.each(['half', 'cut', 'erring'])(
    'that ends too early (`%s`) yields the parts so far, then fails',
    async (model) => {
      const parts: ReplyPart[] = [];
      const error = await failure(await open(model, 'held'), parts);
      expect(textOf(parts)).toBe('part 1 part 2 ');
      expect(parts.some(({ type }) => type === 'finish')).toBe(false);
      // Ollama has no code word for rate limiting.
      expect(error.code).toBe(model === 'erring' && type !== 'ollama' ? 'MODEL_LIMITED' : 'MODEL_FAILED');
      if (model !== 'erring') expect(error.message).toContain('broke off');
      expectNoSecret(error);
    },
  );

  it('does not follow a redirect', async () => {
    const before = server.requests.length;
    const error = await failure(await open('elsewhere', 'held'));
    expect(error).toMatchObject({
      code: 'MODEL_FAILED',
      message: expect.stringContaining('redirects to another address (307)'),
    });
    expect(server.requests.length - before).toBe(1);
  });

  it('is CANCELLED by its signal, and the connection is closed', async () => {
    const cancel = new AbortController();
    const parts: ReplyPart[] = [];
    const hungUp = server.closed(closedStreams + 1);
    const failed = failure(await open('slow', 'held'), parts, cancel.signal, () => cancel.abort());
    expect((await failed).code).toBe('CANCELLED');
    expect(textOf(parts)).toBe('part 1 ');
    await hungUp;
    closedStreams++;
  });

  it('is CANCELLED without a request if the signal is already aborted', async () => {
    const before = server.requests.length;
    const error = await failure(await open('reply'), [], AbortSignal.abort());
    expect(error.code).toBe('CANCELLED');
    expect(server.requests.length).toBe(before);
  });

  it('is CANCELLED before the server has sent anything', async () => {
    const cancel = new AbortController();
    const mute = await listener(() => cancel.abort());
    const settings = { baseURL: `http://127.0.0.1:${mute.port}/v1` };
    const error = await failure(await open('x', 'openai', settings), [], cancel.signal);
    expect(error.code).toBe('CANCELLED');
    mute.close();
  });

  it('closes the connection if the iteration is left early', async () => {
    const hungUp = server.closed(closedStreams + 1);
    for await (const part of (await open('slow', 'held')).reply(hello, new AbortController().signal)) {
      expect(part).toMatchObject({ text: 'part 1 ' });
      break;
    }
    await hungUp;
    closedStreams++;
  });

  it('never fetches a file from its address', async () => {
    const other = await listener();
    const data = `http://127.0.0.1:${other.port}/picture.png`;
    const content = [
      { type: 'text' as const, text: 'look' },
      { type: 'file' as const, mediaType: 'image/png', data },
    ];
    await all(await open('reply'), [{ role: 'user', content }]);
    expect(other.connections()).toBe(0);
    other.close();
  });
});

// The number of held streams closed so far, which the server counts over all tests.
let closedStreams = 0;

it.each(['openai-compatible', 'anthropic'] as const)(
  'reasoning over the %s protocol is in parts of its own',
  async (type) => {
    const providers = { mock: { type, baseURL: server.openai } };
    const parts = await all(await openModel('mock/thinking', { providers, env: {} }), hello);
    expect(parts.map((part) => (part.type === 'reasoning' ? part.text : '')).join('')).toBe('let me see');
    expect(textOf(parts)).toBe(`you said: ${WORDS}`);
  },
);

it('to a conversation that is too long is known by the word of OpenAI and Azure, whatever else they say', async () => {
  const message =
    'Input tokens exceed the configured limit of 272000 tokens. Please reduce the length of the messages.';
  const site = createHttpServer((_, response) => {
    response.writeHead(400).end(JSON.stringify({ error: { message, code: 'context_length_exceeded' } }));
  });
  await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve));
  const providers = { mock: { baseURL: `http://127.0.0.1:${portOf(site)}/v1` } };
  const error = await failure(await openModel('mock/x', { providers, env: {} }));
  site.close();
  expect(error).toMatchObject({ code: 'CONTEXT_TOO_LONG', said: message });
});

describe('the key of a provider', () => {
  it('is sent as its protocol requires', async () => {
    for (const type of ['openai-compatible', 'anthropic'] as const) {
      const providers = { mock: { type, baseURL: server.held, apiKeyEnv: 'MOCK_KEY' } };
      await failure(await openModel('mock/half', { providers, env: { MOCK_KEY: KEY } }));
      const headers = server.requests.at(-1)?.headers ?? {};
      expect(type === 'anthropic' ? headers['x-api-key'] : headers['authorization']).toBe(
        type === 'anthropic' ? KEY : `Bearer ${KEY}`,
      );
    }
  });

  it('is never sent to another provider', async () => {
    process.env['ANTHROPIC_API_KEY'] = KEY;
    process.env['OPENAI_API_KEY'] = KEY;
    try {
      for (const type of ['openai-compatible', 'anthropic'] as const) {
        const providers = { mock: { type, baseURL: server.held } };
        await failure(await openModel('mock/half', { providers, env: process.env }));
        expect(JSON.stringify(server.requests.at(-1)?.headers)).not.toContain(KEY);
      }
    } finally {
      delete process.env['ANTHROPIC_API_KEY'];
      delete process.env['OPENAI_API_KEY'];
    }
  });
});

describe('usage', () => {
  it.each([
    ['no usage', undefined, null, null],
    ['null for usage', null, null, null],
    ['one count alone', { prompt_tokens: 3 }, 3, null],
    ['null for a count', { prompt_tokens: null, completion_tokens: 4 }, null, 4],
    ['counts below 0', { prompt_tokens: -1, completion_tokens: -5 }, null, null],
    ['fractions of a token', { prompt_tokens: 1.5, completion_tokens: 4 }, null, 4],
    ['a count that no double represents', { prompt_tokens: 2 ** 53, completion_tokens: 4 }, null, 4],
    ['zeros', { prompt_tokens: 0, completion_tokens: 0 }, 0, 0],
    [
      'parts of a cached token',
      { prompt_tokens: 3, completion_tokens: 4, prompt_tokens_details: { cached_tokens: 1.5 } },
      3,
      4,
    ],
  ])('is null for unknown counts: %s', async (_, usage, inputTokens, outputTokens) => {
    const choices = [{ index: 0, delta: { content: 'hi' }, finish_reason: 'stop' }];
    const site = createHttpServer((_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.end(`data: ${JSON.stringify({ id: 'x', choices, usage })}\n\ndata: [DONE]\n\n`);
    });
    await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve));
    const providers = { mock: { baseURL: `http://127.0.0.1:${portOf(site)}/v1` } };
    const parts = await all(await openModel('mock/x', { providers, env: {} }), hello);
    site.close();
    expect(parts.at(-1)).toMatchObject({ usage: { inputTokens, outputTokens, cost: null } });
    expect(parts.at(-1)).not.toHaveProperty('usage.cachedTokens');
  });
});

describe('the prompt cache', () => {
  const tools: OfferedTool[] = ['one', 'two'].map((name) => ({ name, description: name, inputSchema: {} }));
  const talk: Message[] = [
    { role: 'system', content: 'be brief' },
    { role: 'user', content: 'first' },
    { role: 'assistant', content: 'hi' },
    { role: 'user', content: 'second' },
    { role: 'assistant', content: [{ type: 'tool-call', toolCallId: 'c', toolName: 'one', input: {} }] },
    {
      role: 'tool',
      content: [{ type: 'tool-result', toolCallId: 'c', toolName: 'one', output: { type: 'text', value: 'third' } }],
    },
  ];

  it('is marked for Anthropic at the system prompt, the tools and the last two turns', async () => {
    const providers = { mock: { type: 'anthropic' as const, baseURL: server.held } };
    const model = await openModel('mock/half', { providers, env: {} });
    await failure(model, [], undefined, undefined, talk, tools);
    const sent = server.requests.at(-1)?.body ?? {};
    const { system, tools: offered, messages } = sent as Record<string, object[]>;
    const isMarked = (part: object): boolean => JSON.stringify(part).includes('"cache_control":{"type":"ephemeral"}');
    expect(system?.map(isMarked)).toEqual([true]);
    expect(offered?.map(isMarked)).toEqual([false, true]);
    expect(messages?.map(isMarked)).toEqual([false, false, true, false, true]);
  });

  it('is counted in the usage', async () => {
    const usages = {
      'openai-compatible': { prompt_tokens: 9, completion_tokens: 2, prompt_tokens_details: { cached_tokens: 6 } },
      anthropic: { input_tokens: 3, cache_read_input_tokens: 6, cache_creation_input_tokens: 0, output_tokens: 2 },
    };
    for (const [type, usage] of Object.entries(usages)) {
      const events =
        type === 'anthropic'
          ? [
              { type: 'message_start', message: { id: 'x', type: 'message', role: 'assistant', content: [], usage } },
              { type: 'content_block_start', index: 0, content_block: { type: 'text', text: 'hi' } },
              { type: 'content_block_stop', index: 0 },
              { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 2 } },
              { type: 'message_stop' },
            ]
          : [{ id: 'x', choices: [{ index: 0, delta: { content: 'hi' }, finish_reason: 'stop' }], usage }];
      const site = createHttpServer((_, response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        for (const event of events) {
          const name = 'type' in event ? `event: ${event.type}\n` : '';
          response.write(`${name}data: ${JSON.stringify(event)}\n\n`);
        }
        response.end();
      });
      await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve));
      const settings = { type: type as 'anthropic', baseURL: `http://127.0.0.1:${portOf(site)}/v1` };
      const parts = await all(await openModel('mock/x', { providers: { mock: settings }, env: {} }), hello);
      site.close();
      expect(parts.at(-1)).toMatchObject({ usage: { inputTokens: 9, cachedTokens: 6, outputTokens: 2 } });
    }
  });
});

async function all(model: ChatModel, messages: readonly Message[]): Promise<ReplyPart[]> {
  const parts: ReplyPart[] = [];
  for await (const part of model.reply(messages, new AbortController().signal)) parts.push(part);
  return parts;
}

function textOf(parts: readonly ReplyPart[]): string {
  return parts.map((part) => (part.type === 'text' ? part.text : '')).join('');
}

/** Requests a reply that must fail; `parts` receives the parts before the failure. */
async function failure(
  model: ChatModel,
  parts: ReplyPart[] = [],
  signal: AbortSignal = new AbortController().signal,
  onPart: () => void = () => undefined,
  messages: readonly Message[] = hello,
  tools?: readonly OfferedTool[],
): Promise<CofferError> {
  try {
    for await (const part of model.reply(messages, signal, tools)) {
      parts.push(part);
      onPart();
    }
  } catch (error) {
    if (isCofferError(error)) return error;
    throw error;
  }
  throw new Error('the reply did not fail');
}

function expectNoSecret(error: CofferError): void {
  const everything = inspect(error, { depth: 20, showHidden: true });
  expect(everything).not.toContain(KEY);
  expect(everything).not.toContain(WORDS);
  expect(error.message).toMatch(/^[^\n]*[^.]$/);
}

async function listener(
  onData: () => void = () => undefined,
): Promise<{ port: number; connections(): number; close(): void }> {
  let connections = 0;
  const net = createServer((socket) => {
    connections++;
    socket.on('data', onData).on('error', () => socket.destroy());
  });
  await new Promise<void>((resolve) => net.listen(0, '127.0.0.1', resolve));
  return { port: portOf(net), connections: () => connections, close: () => net.close() };
}

function portOf(listening: Server): number {
  const address = listening.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

async function closedPort(): Promise<number> {
  const { port, close } = await listener();
  close();
  return port;
}
