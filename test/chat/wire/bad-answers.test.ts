import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { describe, expect, it } from 'vitest';
import { type TurnEvents, turn } from '../../../src/chat/loop.ts';
import { openModel } from '../../../src/chat/models/models.ts';
import { Recorder } from '../recorder.ts';

type Answer = (response: ServerResponse, request: IncomingMessage) => void | Promise<void>;
type Ended = { outcome: string; code?: string; text?: string };

const silent: TurnEvents = { onText: () => undefined };
const PART = { choices: [{ delta: { content: 'a part' } }] };
const LARGE = { choices: [{ delta: { content: 'x'.repeat(100_000) } }] };
const FINISH = { choices: [{ delta: {}, finish_reason: 'stop' }] };
const call = (args: string, name: unknown = 'read_file'): object => {
  const calls = [{ index: 0, id: 'c', type: 'function', function: { name, arguments: args } }];
  return { choices: [{ delta: { tool_calls: calls } }] };
};

/** Responses that an OpenAI-compatible server may send, and the outcome of the turn. */
const answers: readonly (readonly [string, Answer, Ended])[] = [
  [
    'a line without an end',
    endless('data: {"choices":[{"delta":{"content":"', 'x'),
    { outcome: 'failed', code: 'MODEL_FAILED' },
  ],
  [
    'a body without an end',
    endless('', `data: ${JSON.stringify(LARGE)}\n\n`),
    { outcome: 'failed', code: 'MODEL_FAILED' },
  ],
  [
    'invalid UTF-8',
    raw(Buffer.from([0x64, 0x61, 0x74, 0x61, 0x3a, 0xff, 0xfe, 10, 10])),
    { outcome: 'failed', code: 'MODEL_FAILED' },
  ],
  ['NUL', raw('data: \0\0\0\n\n'), { outcome: 'failed', code: 'MODEL_FAILED' }],
  ['truncated JSON', events(PART, '{"choices":[{"del'), { outcome: 'failed', code: 'MODEL_FAILED', text: 'a part' }],
  ['a line that is not JSON', events(PART, 'x', FINISH), { outcome: 'failed', code: 'MODEL_FAILED', text: 'a part' }],
  ['a part after the end', events(PART, FINISH, PART), { outcome: 'completed', text: 'a parta part' }],
  ['two ends', events(PART, FINISH, FINISH), { outcome: 'completed', text: 'a part' }],
  ['no end', events(PART), { outcome: 'failed', code: 'MODEL_FAILED', text: 'a part' }],
  [
    'a call without a name',
    events(PART, call('{}', null), FINISH),
    { outcome: 'failed', code: 'MODEL_FAILED', text: 'a part' },
  ],
  [
    'arguments of 50 MB',
    events(PART, call(JSON.stringify({ path: 'x'.repeat(50_000_000) })), FINISH),
    { outcome: 'failed', code: 'MODEL_FAILED', text: 'a part' },
  ],
  [
    'a redirect',
    (response) => void response.writeHead(302, { location: 'http://127.0.0.1:9/' }).end(),
    { outcome: 'failed', code: 'MODEL_FAILED' },
  ],
  [
    'an HTML page',
    (response) => void response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><p>hello'),
    { outcome: 'failed', code: 'MODEL_FAILED' },
  ],
  ['an empty body', (response) => void response.writeHead(200).end(), { outcome: 'failed', code: 'MODEL_FAILED' }],
  ['a list', events([1, 2, 3]), { outcome: 'failed', code: 'MODEL_FAILED' }],
];

const SAID = { message: { role: 'assistant', content: 'a part' }, done: false };
const DONE = { message: { role: 'assistant', content: '' }, done: true, done_reason: 'stop' };
const calling = (input: object, name?: string): object => {
  const tool_calls = [{ function: { name, arguments: input } }];
  return { message: { role: 'assistant', content: '', tool_calls }, done: false };
};

/** The same for Ollama's own API. */
const ollamas: typeof answers = [
  ['a line without an end', endless('{"message":{"content":"', 'x'), { outcome: 'failed', code: 'MODEL_FAILED' }],
  [
    'a body without an end',
    endless('', `${JSON.stringify({ message: { content: 'x'.repeat(100_000) } })}\n`),
    { outcome: 'failed', code: 'MODEL_FAILED' },
  ],
  ['invalid UTF-8', raw(Buffer.from([0xff, 0xfe, 10])), { outcome: 'failed', code: 'MODEL_FAILED' }],
  ['NUL', raw('\0\0\0\n'), { outcome: 'failed', code: 'MODEL_FAILED' }],
  ['truncated JSON', lines(SAID, '{"message":{"con'), { outcome: 'failed', code: 'MODEL_FAILED', text: 'a part' }],
  ['a line that is not JSON', lines(SAID, 'x', DONE), { outcome: 'failed', code: 'MODEL_FAILED', text: 'a part' }],
  ['a line that ends two events', lines(SAID, 'x\r\rdata: y'), { outcome: 'failed', code: 'MODEL_FAILED' }],
  ['a part after the end', lines(SAID, DONE, SAID), { outcome: 'completed', text: 'a parta part' }],
  ['two ends', lines(SAID, DONE, DONE), { outcome: 'completed', text: 'a part' }],
  ['no end', lines(SAID), { outcome: 'failed', code: 'MODEL_FAILED', text: 'a part' }],
  [
    'a call without a name',
    lines(SAID, calling({}), DONE),
    { outcome: 'failed', code: 'MODEL_FAILED', text: 'a part' },
  ],
  [
    'calls that are not a list',
    lines(SAID, { message: { tool_calls: 7 } }),
    { outcome: 'failed', code: 'MODEL_FAILED' },
  ],
  [
    'a call that is none',
    lines(SAID, { message: { tool_calls: [null] } }),
    { outcome: 'failed', code: 'MODEL_FAILED' },
  ],
  [
    'arguments of 50 MB',
    lines(SAID, calling({ path: 'x'.repeat(50_000_000) }, 'read_file'), DONE),
    { outcome: 'failed', code: 'MODEL_FAILED', text: 'a part' },
  ],
  [
    'a redirect',
    (response) => void response.writeHead(302, { location: 'http://127.0.0.1:9/' }).end(),
    { outcome: 'failed', code: 'MODEL_FAILED' },
  ],
  [
    'an HTML page',
    (response) => void response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><p>hello'),
    { outcome: 'failed', code: 'MODEL_FAILED' },
  ],
  [
    'an HTML page of an error',
    (response) => void response.writeHead(501, { 'content-type': 'text/html' }).end('<!doctype html><p>hello'),
    { outcome: 'failed', code: 'MODEL_FAILED' },
  ],
  ['an empty body', (response) => void response.writeHead(200).end(), { outcome: 'failed', code: 'MODEL_FAILED' }],
  ['a list', lines([1, 2, 3]), { outcome: 'failed', code: 'MODEL_FAILED' }],
];

const both = [
  ...answers.map((row) => ['openai-compatible', ...row] as const),
  ...ollamas.map((row) => ['ollama', ...row] as const),
];

describe('a server that sends', () => {
  it.each(both)(
    '(%s) %s gets a one-line error, keeps the text so far, and can be prompted again',
    async (type, _, answer, ended) => {
      const { code, ...result } = ended;
      await using server = await serve(answer, type === 'ollama' ? lines(SAID, DONE) : events(PART, FINISH));
      const session = new Recorder();
      const model = await openModel('mine/m', { providers: { mine: { type, baseURL: server.url } }, env: {} });
      const first = await turn(session, model, 'hello', silent, new AbortController().signal);
      expect(first).toMatchObject(result);
      expect(first.error?.code).toBe(code);
      expect(first.error?.message ?? '').not.toMatch(/\n|bug|undefined|\[object/);
      const kept = session.state.messages.at(-1);
      if (result.text !== undefined) expect(kept).toEqual({ role: 'assistant', content: result.text });
      const next = await turn(session, model, 'again', silent, new AbortController().signal);
      expect(next).toMatchObject({ outcome: 'completed', text: 'a part' });
    },
  );

  it('a part and then nothing can be cancelled, keeping the part', async () => {
    const hang: Answer = (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(`data: ${JSON.stringify(PART)}\n\n`);
    };
    await using server = await serve(hang);
    const session = new Recorder();
    const model = await openModel('mine/m', { providers: { mine: { baseURL: server.url } }, env: {} });
    const cancel = new AbortController();
    const result = await turn(session, model, 'hello', { onText: () => cancel.abort() }, cancel.signal);
    expect(result).toEqual({ outcome: 'cancelled', text: 'a part' });
    expect(session.state.messages.at(-1)).toEqual({ role: 'assistant', content: 'a part' });
  });
});

function raw(bytes: string | Buffer): Answer {
  return (response) => void response.writeHead(200, { 'content-type': 'text/event-stream' }).end(bytes);
}

function events(...all: readonly (object | string)[]): Answer {
  return raw(all.map((one) => `data: ${typeof one === 'string' ? one : JSON.stringify(one)}\n\n`).join(''));
}

function lines(...all: readonly (object | string)[]): Answer {
  return raw(all.map((one) => `${typeof one === 'string' ? one : JSON.stringify(one)}\n`).join(''));
}

/** Sends until the client closes the connection. */
function endless(start: string, more: string): Answer {
  return async (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(start);
    const piece = Buffer.from(more.repeat(Math.ceil(65_536 / more.length)));
    const source = function* (): Generator<Buffer, void, undefined> {
      for (;;) yield piece;
    };
    // the client closed the connection, as it should
    await pipeline(Readable.from(source()), response).catch(() => undefined);
  };
}

async function serve(...given: readonly Answer[]): Promise<AsyncDisposable & { url: string }> {
  let asked = 0;
  const server = createServer((request, response) => {
    request.resume();
    if (!/^\/(v1\/chat\/completions|api\/chat)$/.test(request.url ?? '')) response.writeHead(404).end();
    else void given[asked++]?.(response, request);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
