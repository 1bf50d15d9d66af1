import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { openModel } from '../../../src/chat/models/models.ts';
import { findEndpoint, type ProviderSettings } from '../../../src/chat/models/providers.ts';
import { askWindow, knownWindow } from '../../../src/chat/models/window.ts';

/** The responses of a server by path; any other path is 404. */
type Answers = Readonly<Record<string, unknown>>;

const OLLAMA: Answers = { '/api/ps': { models: [] }, '/api/show': { model_info: { 'qwen3.context_length': 40_960 } } };

describe('askWindow', () => {
  it.each<[string, Answers, number | undefined]>([
    ['Ollama, neither loaded nor configured', OLLAMA, 4096],
    [
      'Ollama, configured for the model',
      { ...OLLAMA, '/api/show': { model_info: {}, parameters: 'stop "x"\nnum_ctx   8192' } },
      8192,
    ],
    [
      'Ollama, loaded',
      { ...OLLAMA, '/api/ps': { models: [{ name: 'other' }, { name: 'm:latest', context_length: 16_384 }] } },
      16_384,
    ],
    ['llama.cpp', { '/props': { default_generation_settings: { n_ctx: 2048 } } }, 2048],
    ['LM Studio', { '/api/v0/models': { data: [{ id: 'm', max_context_length: 32_768 }] } }, 32_768],
    [
      'LM Studio, loaded',
      { '/api/v0/models': { data: [{ id: 'm', max_context_length: 32_768, loaded_context_length: 4097 }] } },
      4097,
    ],
    [
      'vLLM',
      {
        '/v1/models': {
          data: [
            { id: 'x', max_model_len: 1 },
            { id: 'm', max_model_len: 12_000 },
          ],
        },
      },
      12_000,
    ],
    ['OpenRouter', { '/v1/models': { data: [{ id: 'm', context_length: 9000 }] } }, 9000],
    ['Groq', { '/v1/models': { data: [{ id: 'm', context_window: 9001 }] } }, 9001],
    ['a server that does not report it', { '/v1/models': { data: [{ id: 'm' }] } }, undefined],
    [
      'a server that reports nonsense',
      { '/v1/models': { data: [{ id: 'm', context_length: -1 }] }, '/props': 7 },
      undefined,
    ],
    ['something else', {}, undefined],
  ])('asks %s', async (_, answers, expected) => {
    await using server = await serve(answers);
    expect(await askWindow(endpointOf(server.url), idle())).toBe(expected);
  });

  it('asks a remote provider only for its model list, with the key', async () => {
    await using server = await serve({ '/v1/models': { data: [{ id: 'm', context_length: 9000 }] } });
    const endpoint = { ...endpointOf(server.url), isLocal: false, apiKey: 'secret' };
    expect(await askWindow(endpoint, idle())).toBe(9000);
    expect(server.asked).toEqual(['GET /v1/models Bearer secret']);
  });

  it('waits no longer than two seconds for a server that hangs', async () => {
    await using server = await serve(undefined);
    expect(await askWindow(endpointOf(server.url), idle())).toBe(undefined);
  });

  it('stops waiting for a server that hangs once it is cancelled', async () => {
    await using server = await serve(undefined);
    expect(await askWindow(endpointOf(server.url), AbortSignal.abort())).toBe(undefined);
  });
});

describe('the window of a model', () => {
  it('comes from the settings, else the server, else its name', async () => {
    await using server = await serve({ '/v1/models': { data: [{ id: 'gpt-4o', context_length: 9000 }] } });
    await using silent = await serve({});
    const windowOf = async (url: string, name: string, more: ProviderSettings = {}): Promise<number> => {
      const model = await openModel(`mine/${name}`, {
        providers: { mine: { baseURL: `${url}/v1`, ...more } },
        env: {},
      });
      await model.prepare?.(idle());
      return model.contextWindow;
    };
    expect(await windowOf(server.url, 'gpt-4o', { contextWindow: 5 })).toBe(5);
    expect(await windowOf(server.url, 'gpt-4o', { contextWindow: 5, models: { 'gpt-4o': { contextWindow: 6 } } })).toBe(
      6,
    );
    expect(await windowOf(server.url, 'gpt-4o')).toBe(9000);
    expect(await windowOf(silent.url, 'openai/gpt-4.1-mini')).toBe(1_047_576);
    expect(await windowOf(silent.url, 'nobody-knows')).toBe(128_000);
  });

  it('is asked for once', async () => {
    await using server = await serve({});
    const model = await openModel('mine/m', { providers: { mine: { baseURL: `${server.url}/v1` } }, env: {} });
    await model.prepare?.(idle());
    const { length } = server.asked;
    await model.prepare?.(idle());
    expect(length).toBeGreaterThan(0);
    expect(server.asked.length).toBe(length);
  });

  it('is known by name for the usual models', () => {
    const names = [
      'claude-sonnet-4-5',
      'gpt-5-mini',
      'anthropic/claude-opus-4',
      'gemini-2.5-pro',
      'o3',
      'o3-mini',
      'orca',
    ];
    expect(names.map(knownWindow)).toEqual([200_000, 400_000, 200_000, 1_048_576, 200_000, 200_000, undefined]);
  });
});

function endpointOf(url: string): ReturnType<typeof findEndpoint> {
  return findEndpoint('mine/m', { mine: { baseURL: `${url}/v1` } }, {});
}

/** Starts a server. If `answers` is undefined, it never responds. */
async function serve(answers: Answers | undefined): Promise<AsyncDisposable & { url: string; asked: string[] }> {
  const asked: string[] = [];
  const server = createServer(async (request, response) => {
    asked.push(`${request.method} ${request.url} ${request.headers.authorization ?? ''}`.trim());
    await text(request);
    const answer = answers?.[request.url ?? ''];
    if (answers !== undefined) response.writeHead(answer === undefined ? 404 : 200).end(JSON.stringify(answer ?? {}));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function idle(): AbortSignal {
  return new AbortController().signal;
}
