import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { openModel, type ReplyPart } from '../../../src/chat/models/models.ts';
import type { OfferedTool } from '../../../src/chat/reply.ts';
import { isCofferError } from '../../../src/errors.ts';
import type { Message, Part } from '../../../src/session/event/event.ts';

const hello: Message[] = [{ role: 'user', content: 'hello' }];
const done = { message: { role: 'assistant', content: '' }, done: true, done_reason: 'stop' };

describe('a request to Ollama', () => {
  it('asks for the configured context, and for rejection instead of truncation', async () => {
    await using server = await serve(lines(done));
    await server.ask(hello, { contextWindow: 16_384, maxOutputTokens: 300 });
    expect(server.asked).toEqual([
      {
        model: 'm',
        messages: [{ role: 'user', content: 'hello' }],
        stream: true,
        truncate: false,
        options: { num_ctx: 16_384, num_predict: 300 },
      },
    ]);
  });

  it('leaves unset options to Ollama', async () => {
    await using server = await serve(lines(done));
    await server.ask(hello);
    expect(server.asked[0]).toMatchObject({ options: {} });
  });

  it('goes to the root of the server, however its address is configured', async () => {
    await using server = await serve(lines(done));
    for (const path of ['', '/', '/v1', '/v1/']) await server.ask(hello, { baseURL: `${server.url}${path}` });
    expect(server.paths).toEqual(Array(4).fill('POST /api/chat'));
  });

  it('has images as bare base64 in their own field', async () => {
    await using server = await serve(lines(done));
    const content = [text('look'), file('image/png', 'iVBORw0KGgo='), text('at this')];
    await server.ask([{ role: 'user', content }]);
    expect(server.asked[0]?.messages).toEqual([{ role: 'user', content: 'look\n\nat this', images: ['iVBORw0KGgo='] }]);
  });

  it.each(['application/pdf', 'audio/wav'])('is not sent with a file that Ollama does not accept: %s', async (type) => {
    await using server = await serve(lines(done));
    const failed = await server.fails([{ role: 'user', content: [text('read'), file(type, 'JVBERi0=')] }]);
    expect(failed).toMatchObject({ code: 'FILES_UNSUPPORTED' });
    expect(server.asked).toEqual([]);
  });

  it('has call inputs as objects, the tool name of each result, and the reasoning of the turn', async () => {
    await using server = await serve(lines(done));
    const thought = { type: 'reasoning', text: 'hm', providerOptions: { coffer: { field: 'reasoning' } } } as const;
    await server.ask([
      ...hello,
      { role: 'assistant', content: [thought, call('a', { path: 'x' }), call('b', {})] },
      { role: 'tool', content: [result('a'), result('b')] },
    ]);
    const called = (id: string, input: object): object => ({
      id,
      type: 'function',
      function: { name: 'read', arguments: input },
    });
    const answered = (id: string): object => ({ role: 'tool', tool_call_id: id, tool_name: 'read', content: 'text' });
    const tool_calls = [called('a', { path: 'x' }), called('b', {})];
    expect(server.asked[0]?.messages.slice(1)).toEqual([
      { role: 'assistant', content: '', thinking: 'hm', tool_calls },
      answered('a'),
      answered('b'),
    ]);
  });
});

describe('a reply of Ollama', () => {
  it('yields reasoning, text and calls in order, then its counts', async () => {
    await using server = await serve(
      lines(
        said({ thinking: 'let me ' }),
        said({ thinking: 'see' }),
        said({ content: 'one ' }),
        said({ content: 'two' }),
        said({ tool_calls: [{ function: { name: 'read', arguments: { path: 'x' } } }] }),
        said({ tool_calls: [{ id: 'call_7', function: { index: 1, name: 'read', arguments: {} } }] }),
        { ...done, prompt_eval_count: 11, eval_count: 3 },
      ),
    );
    const parts = await server.ask(hello, {}, [tool]);
    expect(parts.map((part) => ('text' in part ? part.text : part.type))).toEqual([
      'let me ',
      'see',
      'one ',
      'two',
      'tool-call',
      'tool-call',
      'finish',
    ]);
    expect(parts[0]).toMatchObject({ type: 'reasoning', providerOptions: { coffer: { field: 'reasoning' } } });
    const [first, second] = parts.filter((part) => part.type === 'tool-call');
    expect(first).toMatchObject({
      toolName: 'read',
      input: { path: 'x' },
      toolCallId: expect.stringMatching(/^call_./),
    });
    expect(second).toMatchObject({ toolName: 'read', input: {}, toolCallId: 'call_7' });
    expect(parts.at(-1)).toMatchObject({
      usage: { inputTokens: 11, outputTokens: 3, cost: null },
      reason: 'tool-calls',
    });
  });

  it('is parsed however it is chunked, even within a character', async () => {
    const bytes = Buffer.from(`${JSON.stringify(said({ content: 'grüße 🎉' }))}\r\n\n${JSON.stringify(done)}`);
    await using server = await serve(async (response) => {
      for (const byte of bytes) {
        response.write(Uint8Array.of(byte));
        await new Promise(setImmediate);
      }
      response.end();
    });
    expect(textOf(await server.ask(hello))).toBe('grüße 🎉');
  });

  it('that was cut off at its length limit says so', async () => {
    await using server = await serve(lines(said({ content: 'one' }), { ...done, done_reason: 'length' }));
    expect((await server.ask(hello)).at(-1)).toMatchObject({ reason: 'length' });
  });

  it('has no counts if Ollama sends none', async () => {
    await using server = await serve(lines(done));
    expect((await server.ask(hello)).at(-1)).toMatchObject({ usage: { inputTokens: null, outputTokens: null } });
  });

  it.each([
    ['a line that is not JSON', `${JSON.stringify(said({ content: 'one' }))}\n{"message":\n`],
    ['a line of unrelated JSON', `${JSON.stringify(said({ content: 'one' }))}\n[7]\nnull\n`],
    [
      'content that is a number',
      `${JSON.stringify(said({ content: 'one' }))}\n${JSON.stringify(said({ content: 7 }))}`,
    ],
    ['a call without a name', `${JSON.stringify(said({ content: 'one', tool_calls: [{}] }))}\n${JSON.stringify(done)}`],
    ['no end', JSON.stringify(said({ content: 'one' }))],
  ])('with %s yields the parts so far, then fails in one line', async (_, body) => {
    await using server = await serve((response) => response.end(body));
    const parts: ReplyPart[] = [];
    const failed = await server.fails(hello, parts);
    expect(textOf(parts)).toBe('one');
    expect(failed).toMatchObject({ code: 'MODEL_FAILED', message: expect.stringMatching(/^[^\n]+$/) });
  });

  it('that fails midway is reported in the words of Ollama', async () => {
    const error = 'model runner has unexpectedly stopped';
    await using server = await serve(lines(said({ content: 'one' }), { error }));
    const parts: ReplyPart[] = [];
    expect(await server.fails(hello, parts)).toMatchObject({ code: 'MODEL_FAILED', said: error });
    expect(textOf(parts)).toBe('one');
  });

  it.each([
    [400, 'the input length exceeds the context length', 'CONTEXT_TOO_LONG'],
    [400, 'registry.ollama.ai/library/gemma:latest does not support tools', 'TOOLS_UNSUPPORTED'],
    [404, "model 'm' not found", 'MODEL_UNKNOWN'],
    [401, 'unauthorized', 'MODEL_REFUSED'],
  ])('that is refused with %d is reported in its words: %s', async (status, error, code) => {
    await using server = await serve((response) => response.writeHead(status).end(JSON.stringify({ error })));
    expect(await server.fails(hello)).toMatchObject({ code, said: error });
  });
});

describe('the window of an Ollama model', () => {
  const shown = { model_info: { 'qwen3.context_length': 40_960, 'qwen3.block_count': 7 } };

  it.each([
    ['that of the settings', 16_384, shown, 16_384],
    ['at most what it was trained with', 131_072, shown, 40_960],
    ['that of the settings, if Ollama reports nothing', 131_072, {}, 131_072],
    ['Ollama’s default, if the settings say nothing', undefined, shown, 4096],
    ['that of its Modelfile', undefined, { ...shown, parameters: 'num_ctx 8192' }, 8192],
    [
      'that of its Modelfile, but no more than it was trained with',
      undefined,
      { ...shown, parameters: 'num_ctx 99999' },
      40_960,
    ],
  ])('is %s', async (_, contextWindow, answer, expected) => {
    await using server = await serve(lines(done), answer);
    const providers = { ollama: { baseURL: `${server.url}/v1`, ...(contextWindow && { contextWindow }) } };
    // A model name with a known window: Ollama's own report takes precedence.
    const model = await openModel('ollama/gpt-oss', { providers, env: {} });
    await model.prepare?.(new AbortController().signal);
    expect(model.contextWindow).toBe(expected);
  });

  it('is also requested from a remote Ollama', async () => {
    await using server = await serve(lines(done), shown);
    const baseURL = `${server.url.replace('127.0.0.1', '0.0.0.0')}/v1`;
    const model = await openModel('box/gpt-oss', { providers: { box: { type: 'ollama', baseURL } }, env: {} });
    await model.prepare?.(new AbortController().signal);
    expect([model.isLocal, model.contextWindow]).toEqual([false, 4096]);
  });
});

const tool: OfferedTool = { name: 'read', description: 'reads', inputSchema: { type: 'object', properties: {} } };

function said(message: object): object {
  return { message: { role: 'assistant', content: '', ...message }, done: false };
}

function lines(...all: object[]): (response: ServerResponse) => void {
  return (response) => response.end(all.map((line) => `${JSON.stringify(line)}\n`).join(''));
}

type Of<Type> = Extract<Part, { type: Type }>;

function text(words: string): Of<'text'> {
  return { type: 'text', text: words };
}

function file(mediaType: string, data: string): Of<'file'> {
  return { type: 'file', mediaType, data };
}

function call(toolCallId: string, input: unknown): Of<'tool-call'> {
  return { type: 'tool-call', toolCallId, toolName: 'read', input };
}

function result(toolCallId: string): Of<'tool-result'> {
  return { type: 'tool-result', toolCallId, toolName: 'read', output: { type: 'text', value: 'text' } };
}

function textOf(parts: readonly ReplyPart[]): string {
  return parts.map((part) => (part.type === 'text' ? part.text : '')).join('');
}

interface Asked {
  readonly messages: readonly object[];
}

interface Ollama extends AsyncDisposable {
  readonly url: string;
  /** The bodies of the requests for a reply. */
  readonly asked: Asked[];
  readonly paths: string[];
  ask(messages: readonly Message[], settings?: object, tools?: OfferedTool[]): Promise<ReplyPart[]>;
  /** Requests a reply that must fail; `parts` receives the parts before the failure. */
  fails(messages: readonly Message[], parts?: ReplyPart[]): Promise<Error>;
}

/** Starts a server that answers `/api/chat` by calling `reply`, and `/api/show` with `shown`. */
async function serve(reply: (response: ServerResponse) => unknown, shown: object = {}): Promise<Ollama> {
  const asked: Asked[] = [];
  const paths: string[] = [];
  const server = createServer(async (request, response) => {
    if (request.url === '/api/show') return response.end(JSON.stringify(shown));
    if (request.url === '/api/ps') return response.end('{"models":[]}');
    paths.push(`${request.method} ${request.url}`);
    if (request.url !== '/api/chat') return response.writeHead(404).end();
    asked.push((await json(request)) as Asked);
    return reply(response);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const ask: Ollama['ask'] = async (messages, settings = {}, tools = undefined) => {
    const parts: ReplyPart[] = [];
    await into(parts, messages, settings, tools);
    return parts;
  };
  const into = async (
    parts: ReplyPart[],
    messages: readonly Message[],
    settings: object,
    tools?: OfferedTool[],
  ): Promise<void> => {
    const providers = { ollama: { baseURL: `${url}/v1`, ...settings } };
    const model = await openModel('ollama/m', { providers, env: {} });
    for await (const part of model.reply(messages, new AbortController().signal, tools)) parts.push(part);
  };
  return {
    url,
    asked,
    paths,
    ask,
    async fails(messages, parts = []) {
      const failed: unknown = await into(parts, messages, {}).catch((error: unknown) => error);
      if (isCofferError(failed)) return failed;
      throw failed ?? new Error('the reply did not fail');
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
