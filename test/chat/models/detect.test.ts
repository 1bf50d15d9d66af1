import { createServer, type RequestListener, type Server } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { detectLocal } from '../../../src/chat/models/models.ts';

// Long enough for any machine, for tests of the answer rather than the time.
const deadline = 120_000;

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

describe('detectLocal', () => {
  it('names the first model of the server that answers', async () => {
    const asked: unknown[] = [];
    const port = await serve((request, response) => {
      asked.push([request.method, request.url, request.headers.authorization]);
      response.end(list('qwen3:8b', 'llama4'));
    });
    expect(await detectLocal({ deadline, ports: await only({ ollama: port }) })).toBe('ollama/qwen3:8b');
    expect(asked).toEqual([['GET', '/v1/models', undefined]]);
  });

  it('prefers Ollama to LM Studio to llama.cpp', async () => {
    const ports = {
      ollama: await serve(models('a')),
      lmstudio: await serve(models('b/c')),
      llamacpp: await serve(models('/models/d.gguf')),
    };
    expect(await detectLocal({ deadline, ports })).toBe('ollama/a');
    expect(await detectLocal({ deadline, ports: { ...ports, ollama: await unused() } })).toBe('lmstudio/b/c');
    expect(await detectLocal({ deadline, ports: await only({ llamacpp: ports.llamacpp }) })).toBe(
      'llamacpp//models/d.gguf',
    );
  });

  it('finds nothing if no server is listening', async () => {
    expect(await detectLocal({ deadline, ports: await only({}) })).toBeUndefined();
  });

  it.each<[string, RequestListener]>([
    ['no models', models()],
    ['only models for embeddings', models('nomic-embed-text')],
    ['an id with control characters', models('\u001b[31mred')],
    ['an id that is not a string', (_, response) => response.end('{"data":[{"id":7},null,"x"]}')],
    ['an error', (_, response) => response.writeHead(500).end(list('a'))],
    ['a page', (_, response) => response.end('<h1>welcome</h1>')],
    ['null', (_, response) => response.end('null')],
    ['too long a list', (_, response) => response.end(list('a'.repeat(100), ...Array(20_000).fill('x'.repeat(600))))],
  ])('skips a server with %s', async (_, listener) => {
    const ports = await only({ ollama: await serve(listener), lmstudio: await serve(models('b')) });
    expect(await detectLocal({ deadline, ports })).toBe('lmstudio/b');
  });

  it('does not follow a redirect', async () => {
    const elsewhere = `http://127.0.0.1:${await serve(models('a'))}/v1/models`;
    const port = await serve((_, response) => response.writeHead(302, { location: elsewhere }).end());
    expect(await detectLocal({ deadline, ports: await only({ ollama: port }) })).toBeUndefined();
  });

  it('closes the other connections once a server has answered', async () => {
    const hungUp = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    const ports = await only({
      ollama: await serve(async (request, response) => {
        await asked.promise;
        models('a')(request, response);
      }),
      lmstudio: await serve((_, response) => {
        asked.resolve();
        response.once('close', () => hungUp.resolve());
      }),
    });
    expect(await detectLocal({ deadline, ports })).toBe('ollama/a');
    await hungUp.promise;
  });

  it('skips models for embeddings', async () => {
    const port = await serve(models('nomic-embed-text', 'qwen3'));
    expect(await detectLocal({ deadline, ports: await only({ ollama: port }) })).toBe('ollama/qwen3');
  });

  it('gives up on a server that sends nothing, and on one that never ends', async () => {
    const hangUps: Promise<void>[] = [];
    const never: RequestListener = (_, response) => {
      hangUps.push(new Promise((resolve) => response.once('close', resolve)));
    };
    const endless: RequestListener = (request, response) => {
      never(request, response);
      response.write('{"data":[');
    };
    const ports = await only({ ollama: await serve(never), lmstudio: await serve(endless) });
    expect(await detectLocal({ ports })).toBeUndefined();
    expect(hangUps.length).toBe(2);
    await Promise.all(hangUps);
  });

  it('ends with its signal', async () => {
    const port = await serve(models('a'));
    expect(
      await detectLocal({ deadline, ports: await only({ ollama: port }), signal: AbortSignal.abort() }),
    ).toBeUndefined();
  });
});

function list(...ids: string[]): string {
  return JSON.stringify({ object: 'list', data: ids.map((id) => ({ id, object: 'model' })) });
}

function models(...ids: string[]): RequestListener {
  return (_, response) => response.end(list(...ids));
}

async function serve(listener: RequestListener): Promise<number> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return portOf(server);
}

/** The given ports, and unused ports for the other servers. */
async function only(
  ports: Partial<Record<'ollama' | 'lmstudio' | 'llamacpp', number>>,
): Promise<Record<'ollama' | 'lmstudio' | 'llamacpp', number>> {
  return { ollama: await unused(), lmstudio: await unused(), llamacpp: await unused(), ...ports };
}

async function unused(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const port = portOf(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
