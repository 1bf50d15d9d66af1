import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ProviderSettings } from '../../../src/chat/models/models.ts';
import { type ModelServer, startModelServer } from '../../support/model-server.ts';
import { requireStrace, type Watched, watchSockets } from './sockets.ts';

const script = fileURLToPath(new URL('take-turns.ts', import.meta.url));

let server: ModelServer;
let endpoint: string;
beforeAll(async () => {
  server = await startModelServer();
  endpoint = new URL(server.url).host;
});
afterAll(() => server[Symbol.asyncDispose]());

describe('the sockets of a turn', () => {
  // Variables that would make the SDK, a provider or Node itself contact other hosts if they were
  // honoured.
  const tempting = {
    AI_GATEWAY_API_KEY: 'canary',
    VERCEL_OIDC_TOKEN: 'canary',
    ANTHROPIC_BASE_URL: 'http://127.0.0.1:9/v1',
    ANTHROPIC_API_KEY: 'canary',
    OPENAI_BASE_URL: 'http://127.0.0.1:9/v1',
    OPENAI_API_KEY: 'canary',
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9',
    HTTP_PROXY: 'http://127.0.0.1:9',
    HTTPS_PROXY: 'http://127.0.0.1:9',
  };

  it.for(['openai-compatible', 'anthropic'] as const)(
    'lead to the endpoint of an %s model only',
    async (type, context) => {
      requireStrace(context);
      // The reasoning of the first would make the SDK print a warning for the second if it were not
      // silenced.
      const models = ['mock/thinking', 'mock/reply', 'mock/limited', 'mock/refused', 'mock/failing'];
      const watched = await take({ models, provider: { type, baseURL: server.openai } }, tempting);
      expect(watched.reached).toEqual([endpoint]);
      expect(watched.stderr).toBe('');
      expect(JSON.parse(watched.stdout)).toEqual([
        'completed',
        'completed',
        'MODEL_LIMITED',
        'MODEL_REFUSED',
        'MODEL_FAILED',
      ]);
    },
  );

  it('connect nowhere else when the stream breaks or the server redirects', async (context) => {
    requireStrace(context);
    const models = ['mock/half', 'mock/elsewhere', 'mock/cut', 'mock/erring'];
    const watched = await take({ models, provider: { baseURL: server.held } }, tempting);
    expect(watched.reached).toEqual([endpoint]);
    expect(watched.stderr).toBe('');
    expect(JSON.parse(watched.stdout)).toEqual(['MODEL_FAILED', 'MODEL_FAILED', 'MODEL_FAILED', 'MODEL_LIMITED']);
  });

  it('connect through a proxy if NODE_USE_ENV_PROXY is set, unless NO_PROXY lists the host', async (context) => {
    requireStrace(context);
    const proxy = `127.0.0.1:${await unused()}`;
    const env = { NODE_USE_ENV_PROXY: '1', HTTP_PROXY: `http://${proxy}`, NO_PROXY: '', no_proxy: '' };
    const input = { models: ['mock/reply'], provider: { baseURL: server.openai } };
    expect((await take(input, env)).reached).toEqual([proxy]);
    expect((await take(input, { ...env, NO_PROXY: '127.0.0.1', no_proxy: '127.0.0.1' })).reached).toEqual([endpoint]);
  });

  it('do not exist with a demo', async (context) => {
    requireStrace(context);
    const watched = await take({ models: ['demo/eliza', 'demo/echo'], provider: {} }, tempting);
    expect(watched.reached).toEqual([]);
    expect(watched.stderr).toBe('');
    expect(JSON.parse(watched.stdout)).toEqual(['completed', 'completed']);
  });

  it('connect to the three local ports while looking for a server', async (context) => {
    requireStrace(context);
    const detect = { ollama: await unused(), lmstudio: await unused(), llamacpp: Number(new URL(server.url).port) };
    const watched = await take({ models: [], provider: {}, detect }, tempting);
    expect(watched.reached.toSorted()).toEqual(
      Object.values(detect)
        .map((port) => `127.0.0.1:${port}`)
        .toSorted(),
    );
    expect(JSON.parse(watched.stdout)).toEqual([expect.stringMatching(/^llamacpp\/./)]);
  });

  it('include a second connection (control)', async (context) => {
    requireStrace(context);
    const connectTo = await unused();
    const watched = await take({ models: ['mock/reply'], provider: { baseURL: server.openai }, connectTo });
    expect(watched.reached).toEqual([endpoint, `127.0.0.1:${connectTo}`]);
  });

  it('include a name look-up (control)', async (context) => {
    requireStrace(context);
    const lookUp = 'canary.coffer.test';
    const watched = await take({ models: ['mock/reply'], provider: { baseURL: server.openai }, lookUp });
    expect(watched.reached.length).toBeGreaterThan(1);
    expect(watched.reached[0]).toBe(endpoint);
  });
});

function take(
  input: { models: string[]; provider: ProviderSettings; detect?: object; connectTo?: number; lookUp?: string },
  env: Record<string, string> = {},
): Promise<Watched> {
  return watchSockets([process.execPath, script, JSON.stringify(input)], { env });
}

async function unused(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
