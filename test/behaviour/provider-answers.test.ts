import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { checkedSchema } from '../../src/cli/schemas.ts';
import { conversation, makePlace, type Place } from '../support/coffer.ts';

/** Answers one request for a reply, as a provider. */
type Answer = (response: ServerResponse) => void;

describe('a provider that refuses temporarily', () => {
  const busy: Answer = (response) => {
    response.writeHead(429, { 'retry-after': '0' }).end(JSON.stringify({ error: { message: 'slow down, please' } }));
  };

  it('is retried, with a notice, and the reply is complete', async () => {
    await using at = await provider(busy, busy, saying('at last'));
    const { code, stdout, stderr } = await at.prompt('hello');
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'at last\n' });
    expect(stderr.match(/accepts no more requests for now \(429\); trying again in 0 s/g)).toHaveLength(2);
    expect(at.bodies).toHaveLength(3);
  });

  it("fails after three refusals, with the provider's words after coffer's line", async () => {
    const words = `no\u001b[2J credit left for sk-ant-${'a1'.repeat(20)} ${'x'.repeat(400)}\nsecond line`;
    const broke: Answer = (response) => {
      response.writeHead(429, { 'retry-after': '0' }).end(JSON.stringify({ error: { message: words } }));
    };
    await using at = await provider(broke, broke, broke);
    const { code, stderr } = await at.prompt('hello');
    expect(code).toBe(1);
    const [told, said] = stderr.trimEnd().split('\n').slice(-2);
    expect(told).toMatch(/mine accepts no more requests for now \(429\)/);
    expect(said).toMatch(/^the provider says: no\\x1b\[2J credit left for (sk-)?\[redacted\] x+…$/);
    expect(said?.length).toBeLessThan(330);
    expect(at.bodies).toHaveLength(3);
  });

  it('is not retried once text has arrived', async () => {
    await using at = await provider((response) => {
      begin(response, 'a part');
      response.write(`data: ${JSON.stringify({ error: { message: 'overloaded', code: 529 } })}\n\n`);
      response.end();
    }, saying('the whole'));
    const { code, stdout } = await at.prompt('hello');
    expect({ code, stdout }).toEqual({ code: 1, stdout: 'a part\n' });
    expect(at.bodies).toHaveLength(1);
    const { events } = await at.place.exported('1');
    expect(events.find(({ message }) => message?.role === 'assistant')).toMatchObject({ partial: true });
  });
});

describe('a provider that sends nothing', () => {
  it('times out after requestTimeout of the settings', async () => {
    await using silent = await provider(() => undefined);
    const elsewhere = { baseURL: silent.baseURL.replace('127.0.0.1', '0.0.0.0') };
    const settings = { providers: { mine: elsewhere }, tools: false, requestTimeout: 1000 };
    await using place = await makePlace({ settings });
    const { code, stderr } = await place.run(['--model', 'mine/m', '-p', 'hello']);
    expect(code).toBe(1);
    expect(stderr).toMatch(/timed out; ask again, or raise requestTimeout in the settings$/m);
    expect(silent.bodies).toHaveLength(1);
  });
});

describe('a refused summary or check', () => {
  const busy: Answer = (response) => {
    response.writeHead(429, { 'retry-after': '0' }).end(JSON.stringify({ error: { message: 'slow down, please' } }));
  };

  it("is retried, with a notice, and fails with the provider's words", async () => {
    const replies = Array.from({ length: 3 }, (_, at) => saying(`reply ${at}`));
    const refused = Array.from({ length: 9 }, () => busy);
    await using at = await provider(...replies, ...refused);
    await at.prompt('one');
    await at.prompt('two', ['-c']);
    await at.prompt('three', ['-c']);
    const short = { env: { COFFER_KEEP_MESSAGES: '2' } };
    const compacted = await at.place.run(['compact', 'last'], short);
    const inChat = await at.place.run(['resume', 'last'], { ...short, input: '/compact\n' });
    const checked = await at.place.run(['models', '--check', 'mine/m']);
    for (const { stderr } of [compacted, inChat, checked]) {
      expect(stderr.match(/\(429\); trying again in 0 s/g)).toHaveLength(2);
      expect(stderr).toContain('the provider says: slow down, please\n');
    }
    expect([compacted.code, checked.code]).toEqual([1, 1]);
  });
});

describe('coffer models --check', () => {
  const refusing =
    (message: string): Answer =>
    (response) => {
      response.writeHead(400).end(JSON.stringify({ error: { message } }));
    };

  it("says what works and what does not, in the provider's words", async () => {
    const answers = [
      saying('1 2 3'),
      refusing('m does not support tools'),
      refusing('image input is not supported'),
    ] as const;
    await using at = await provider(...answers, ...answers);
    const { code, stdout } = await at.place.run(['models', '--check', 'mine/m']);
    expect(code).toBe(0);
    expect(stdout).toContain(
      '\ntools      no: m does not support tools\nimages     no: image input is not supported\n',
    );
    const { stdout: json } = await at.place.run(['models', '--check', 'mine/m', '--json']);
    expect(checkedSchema.parse(JSON.parse(json))).toMatchObject({
      model: 'mine/m',
      tools: { code: 'TOOLS_UNSUPPORTED', said: 'm does not support tools' },
      images: { code: 'FILES_UNSUPPORTED' },
    });
    expect(await at.place.sessionFiles()).toEqual([]);
  });

  it('contacts no remote provider if conversations are kept on this machine', async () => {
    await using place = await makePlace({ settings: { localOnly: true } });
    const env = { ANTHROPIC_API_KEY: 'sk-x' };
    const { code, stderr } = await place.run(['models', '--check', 'anthropic/claude-x'], { env });
    expect(code).toBe(2);
    expect(stderr).toContain('anthropic/claude-x is not on this machine, and the setting localOnly is on\n');
  });
});

describe('a reply that is cut off', () => {
  it.each([
    ['length', /was cut off at its length limit; ask for the rest, or raise maxOutputTokens of mine in the settings$/m],
    [
      'content_filter',
      /a content filter of mine\/m cut off the reply; rephrase it or choose another model with \/model$/m,
    ],
  ])('for %s is reported, kept as partial, and ends -p with 1', async (reason, words) => {
    await using at = await provider(saying('the first half', reason), saying('the rest'));
    const { code, stdout, stderr } = await at.prompt('hello');
    expect({ code, stdout }).toEqual({ code: 1, stdout: 'the first half\n' });
    expect(stderr).toMatch(words);
    expect(conversation(await at.place.exported('1'))).toEqual(['user: hello', 'assistant (partial): the first half']);
    expect((await at.prompt('go on', ['-c'])).stdout).toBe('the rest\n');
  });
});

describe('the messages sent to a model', () => {
  it('contain the unanswered prompts as one, and nothing blank', async () => {
    const refuse: Answer = (response) => void response.writeHead(400).end('{}');
    await using at = await provider(refuse, saying('  \n'), saying('yes'));
    expect((await at.prompt('one')).code).toBe(1);
    expect((await at.prompt('two', ['-c'])).code).toBe(1);
    expect((await at.prompt('three', ['-c'])).stdout).toBe('yes\n');
    expect(at.bodies.at(-1)?.messages).toEqual([{ role: 'user', content: 'one\n\ntwo\n\nthree' }]);
  });
});

function saying(words: string, reason = 'stop'): Answer {
  return (response) => {
    begin(response, words);
    response.write(`data: ${JSON.stringify({ choices: [{ delta: {}, finish_reason: reason }] })}\n\n`);
    response.end('data: [DONE]\n\n');
  };
}

function begin(response: ServerResponse, words: string): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write(`data: ${JSON.stringify({ choices: [{ delta: { role: 'assistant', content: words } }] })}\n\n`);
}

interface Provider extends AsyncDisposable {
  readonly place: Place;
  readonly baseURL: string;
  readonly bodies: { messages: unknown[] }[];
  prompt(words: string, more?: readonly string[]): ReturnType<Place['run']>;
}

/** Makes a place whose model answers the requests for replies in turn. */
async function provider(...answers: readonly Answer[]): Promise<Provider> {
  const bodies: Provider['bodies'] = [];
  const server = createServer(async (request, response) => {
    const body = await text(request);
    if (request.url !== '/v1/chat/completions') {
      response.writeHead(404).end();
      return;
    }
    bodies.push(JSON.parse(body));
    answers[bodies.length - 1]?.(response);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const baseURL = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  const place = await makePlace({ settings: { providers: { mine: { baseURL } }, tools: false } });
  return {
    place,
    baseURL,
    bodies,
    prompt: (words, more = []) => place.run(['--model', 'mine/m', ...more, '-p', words]),
    async [Symbol.asyncDispose]() {
      await place[Symbol.asyncDispose]();
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
