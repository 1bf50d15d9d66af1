import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type KnownProvider, knownModels, openModel, type ProviderSettings } from '../../../src/chat/models/models.ts';

let server: Server;
let silent: Server;
const paths: string[] = [];

beforeAll(async () => {
  const data = ['qwen3', 'llama', 'text-embed', 'bad name', 7].map((id) => ({ id }));
  server = await listening((request, response) => {
    paths.push(`${request.method} ${request.url}`);
    response.statusCode = request.url === '/v1/models' ? 200 : 404;
    response.end(request.url === '/v1/models' ? JSON.stringify({ data }) : '{}');
  });
  silent = await listening(() => undefined);
});
afterAll(() => {
  for (const each of [server, silent]) {
    each.closeAllConnections();
    each.close();
  }
});

describe('knownModels', () => {
  it('lists the models of a server on this machine and the embedded ones', async () => {
    const known = await list({ mine: { baseURL: addressOf(server) } });
    expect(known.get('mine')).toEqual({
      provider: 'mine',
      baseURL: addressOf(server),
      isLocal: true,
      key: undefined,
      models: ['mine/qwen3', 'mine/llama', 'mine/text-embed'],
      answers: true,
    });
    expect(known.get('demo')?.models).toEqual(['demo/eliza', 'demo/echo', 'demo/tools']);
  });

  it('waits no longer than the deadline for a server that sends nothing', async () => {
    const known = await list({ slow: { baseURL: addressOf(silent) } }, {}, 50);
    expect(known.get('slow')).toMatchObject({ models: [], answers: false });
  });

  it('contacts no other machine, and reports whether the key is set but not the key', async () => {
    const prices = { large: { input: 1, output: 2 } };
    const known = await list({ openai: { prices } }, { OPENAI_API_KEY: 'sk-canary' });
    expect(known.get('openai')).toMatchObject({
      isLocal: false,
      key: { variable: 'OPENAI_API_KEY', isSet: true },
      models: ['openai/large'],
      answers: undefined,
    });
    expect(known.get('anthropic')?.key).toEqual({ variable: 'ANTHROPIC_API_KEY', isSet: false });
    expect(JSON.stringify([...known.values()])).not.toContain('sk-canary');
  });

  it('lists a provider without an address', async () => {
    expect((await list({ half: {} })).get('half')).toMatchObject({ baseURL: undefined, isLocal: false, models: [] });
  });
});

describe('a model that a server on this machine does not have', () => {
  it('fails with a list of its models', async () => {
    const model = await openModel('mine/gone', { providers: { mine: { baseURL: addressOf(server) } }, env: {} });
    const reply = model.reply([{ role: 'user', content: 'hello' }], new AbortController().signal);
    await expect(reply[Symbol.asyncIterator]().next()).rejects.toMatchObject({
      code: 'MODEL_UNKNOWN',
      message: 'mine has no model "gone"; available: qwen3, llama, text-embed',
    });
    expect(paths.slice(-2)).toEqual(['POST /v1/chat/completions', 'GET /v1/models']);
  });

  it('fails with the most similar name, if there is one', async () => {
    const model = await openModel('mine/lama', { providers: { mine: { baseURL: addressOf(server) } }, env: {} });
    const reply = model.reply([{ role: 'user', content: 'hello' }], new AbortController().signal);
    await expect(reply[Symbol.asyncIterator]().next()).rejects.toMatchObject({
      code: 'MODEL_UNKNOWN',
      message: 'mine has no model "lama"; did you mean llama? available: qwen3, llama, text-embed',
    });
  });
});

async function list(
  providers: Record<string, ProviderSettings>,
  env: NodeJS.ProcessEnv = {},
  deadline = 10_000,
): Promise<Map<string, KnownProvider>> {
  return new Map((await knownModels({ providers, env, deadline })).map((row) => [row.provider, row]));
}

async function listening(handler: Parameters<typeof createServer>[1]): Promise<Server> {
  const made = createServer(handler);
  await new Promise<void>((resolve) => made.listen(0, '127.0.0.1', resolve));
  return made;
}

function addressOf(listener: Server): string {
  return `http://127.0.0.1:${(listener.address() as AddressInfo).port}/v1`;
}
