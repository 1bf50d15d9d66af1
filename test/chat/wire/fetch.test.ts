import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { describe, expect, it } from 'vitest';
import { openModel } from '../../../src/chat/models/models.ts';
import { findEndpoint, type ProviderSettings } from '../../../src/chat/models/providers.ts';
import type { ReplyPart } from '../../../src/chat/reply.ts';
import { patientFetch } from '../../../src/chat/wire/fetch.ts';
import { remoteModel } from '../../../src/chat/wire/remote.ts';
import type { CofferError } from '../../../src/errors.ts';

describe('patientFetch', () => {
  it('gives up after the timeout, before the response and within it', async () => {
    await using silent = await serve(() => undefined);
    await expect(patientFetch(1000)(silent.url)).rejects.toMatchObject({ cause: { code: 'UND_ERR_HEADERS_TIMEOUT' } });
    await using broken = await serve((_, response) => response.write('a part'));
    const response = await patientFetch(1000)(broken.url);
    await expect(text(response.body as never)).rejects.toMatchObject({ cause: { code: 'UND_ERR_BODY_TIMEOUT' } });
  });

  it('waits without limit for 0, even when Node would have given up', async () => {
    const late = Promise.withResolvers<void>();
    await using slow = await serve((_, response) => void late.promise.then(() => response.end('at last')));
    const waited = patientFetch(0)(slow.url);
    await expect(patientFetch(1000)(slow.url)).rejects.toThrow('fetch failed');
    late.resolve();
    expect(await (await waited).text()).toBe('at last');
  });

  it.each([
    ['a line of more than 8 MiB', 'x'],
    ['a reply of more than 128 MiB', `${'x'.repeat(99)}\n`],
  ])('ends %s', async (words, piece) => {
    const pieces = Buffer.from(piece.repeat((1024 * 1024) / piece.length));
    await using server = await serve((_, response) => {
      const more = function* (): Generator<Buffer, void, undefined> {
        for (let sent = 0; sent < 200; sent++) yield pieces;
      };
      // the client closed the connection, as it should
      void pipeline(Readable.from(more()), response).catch(() => undefined);
    });
    const response = await patientFetch(0)(server.url);
    await expect(drain(response)).rejects.toMatchObject({
      code: 'MODEL_FAILED',
      message: `the model server sent ${words}; ask again or choose another model with /model`,
    });
  });

  it('follows no redirect', async () => {
    await using server = await serve((_, response) => response.writeHead(307, { location: '/there' }).end());
    expect((await patientFetch(0)(server.url)).status).toBe(307);
  });
});

describe('a provider that sends nothing', () => {
  it('is named together with the setting that raises the limit', async () => {
    await using silent = await serve(() => undefined);
    expect(await failureOf(silent.url)).toMatchObject({
      code: 'MODEL_UNREACHABLE',
      what: `mine at ${silent.url} timed out`,
      advice: 'ask again, or raise requestTimeout in the settings',
    });
  });

  it('fails within a reply, and the parts so far have been yielded', async () => {
    await using broken = await serve((_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(`data: ${JSON.stringify({ choices: [{ delta: { content: 'a part' } }] })}\n\n`);
    });
    const parts: ReplyPart[] = [];
    expect(await failureOf(broken.url, parts)).toMatchObject({ code: 'MODEL_FAILED' });
    expect(parts).toEqual([{ type: 'text', text: 'a part' }]);
  });
});

it('gives a local provider unlimited time, a remote one requestTimeout', async () => {
  const late = Promise.withResolvers<void>();
  const end = 'data: {"choices":[{"delta":{"content":"at last"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n';
  await using slow = await serve((_, response) => {
    void late.promise.then(() => response.writeHead(200, { 'content-type': 'text/event-stream' }).end(end));
  });
  const ask = async (baseURL: string): Promise<ReplyPart[]> => {
    const options = { providers: { mine: { baseURL } }, env: {}, requestTimeout: 1000 };
    const model = await openModel('mine/m', options);
    const parts: ReplyPart[] = [];
    const { signal } = new AbortController();
    for await (const part of model.reply([{ role: 'user', content: 'hello' }], signal)) parts.push(part);
    return parts;
  };
  const local = ask(slow.url);
  await expect(ask(slow.url.replace('127.0.0.1', '0.0.0.0'))).rejects.toMatchObject({ code: 'MODEL_UNREACHABLE' });
  late.resolve();
  expect((await local)[0]).toEqual({ type: 'text', text: 'at last' });
});

it.each([
  ['elsewhere', '0.0.0.0', 1234, 1234],
  ['elsewhere', '0.0.0.0', undefined, 600_000],
  ['on this machine', '127.0.0.1', 1234, 0],
])(
  'of a provider %s (%s), a requestTimeout of %s lets pass %d ms before each byte',
  async (_, host, requestTimeout, limit) => {
    await using server = await serve((_, response) => response.writeHead(400).end('{}'));
    const providers = { mine: { baseURL: server.url.replace('127.0.0.1', host) } };
    const model = await openModel('mine/m', { providers, env: {}, requestTimeout });
    const reply = model.reply([{ role: 'user', content: 'hello' }], new AbortController().signal);
    const limits = await limitsOf(() => expect(reply[Symbol.asyncIterator]().next()).rejects.toThrow('400'));
    expect(limits).toEqual([{ headersTimeout: limit, bodyTimeout: limit }]);
  },
);

describe('maxOutputTokens', () => {
  it.each([
    [{}, undefined],
    [{ maxOutputTokens: 9000 }, 9000],
    [{ maxOutputTokens: 9000, models: { m: { maxOutputTokens: 7000 }, n: { maxOutputTokens: 1 } } }, 7000],
    [{ models: { m: { contextWindow: 5 } } }, undefined],
    [{ type: 'anthropic' as const }, 4096],
    [{ type: 'anthropic' as const, maxOutputTokens: 9000 }, 9000],
  ])('of %j is sent as %s', async (settings, expected) => {
    const bodies: { max_tokens?: number }[] = [];
    await using server = await serve(async (request, response) => {
      bodies.push(JSON.parse(await text(request)));
      response.writeHead(400).end('{}');
    });
    await failureOf(server.url, [], settings);
    expect(bodies.map(({ max_tokens }) => max_tokens)).toEqual([expected]);
  });
});

/** How long the requests that `work` makes let Node's HTTP client wait, which does so for minutes. */
async function limitsOf(work: () => Promise<void>): Promise<object[]> {
  const name = Symbol.for('undici.globalDispatcher.1');
  const own = Reflect.get(globalThis, name);
  const limits: object[] = [];
  Reflect.set(globalThis, name, {
    dispatch(options: Record<string, unknown>, handler: unknown): unknown {
      limits.push({ headersTimeout: options['headersTimeout'], bodyTimeout: options['bodyTimeout'] });
      return own.dispatch(options, handler);
    },
  });
  try {
    await work();
  } finally {
    Reflect.set(globalThis, name, own);
  }
  return limits;
}

async function drain({ body }: Response): Promise<void> {
  for await (const _ of body ?? []);
}

async function failureOf(url: string, parts: ReplyPart[] = [], more: ProviderSettings = {}): Promise<CofferError> {
  const endpoint = findEndpoint('mine/m', { mine: { baseURL: url, ...more } }, {});
  const { signal } = new AbortController();
  try {
    const reply = remoteModel(endpoint, 1000).reply([{ role: 'user', content: 'hello' }], signal);
    for await (const part of reply) parts.push(part);
  } catch (error) {
    return error as CofferError;
  }
  throw new Error('the reply did not fail');
}

async function serve(listener: RequestListener): Promise<AsyncDisposable & { url: string }> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
