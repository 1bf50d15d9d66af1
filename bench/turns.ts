import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { turn } from '../src/chat/loop.ts';
import { type ChatModel, openModel, type ReplyPart } from '../src/chat/models/models.ts';
import type { Message } from '../src/session/event/event.ts';
import type { Session } from '../src/session/session.ts';
import { Terminal } from '../src/terminal/output/terminal.ts';
import { interleave, type Spread, type Task } from './measure.ts';
import type { Curve, Line, Measure, Part } from './part.ts';
import { eventsOf, Transcript } from './transcript.ts';
import { fillVault, lineAgainst, MB, openFilled, spreadAt } from './vaults.ts';

const REQUEST_ROUNDS = { full: 40, short: 15 };
const REPLY_ROUNDS = { full: 7, short: 3 };
/** Lengths of replies, in characters. */
const REPLIES = { full: [10_000, 100_000, 1_000_000], short: [3_000, 30_000, 300_000] };
/** Characters that arrive at once: about a token. */
const DELTA = 5;

/**
 * Measures the overhead of a turn: from Enter to the request, and until a reply is shown and
 * recorded.
 */
export const measureTurns: Measure = async (folder, size): Promise<Part> => {
  const request = await measureRequest(join(folder, 'request'), REQUEST_ROUNDS[size]);
  const replies = await measureReplies(join(folder, 'replies'), REPLIES[size], REPLY_ROUNDS[size]);
  return { lines: [...request, ...replies.lines], curves: [replies.curve], notes: [] };
};

const STRINGIFY = 'JSON.stringify of the messages that are sent';

/**
 * Measures the time from the prompt until the request's head arrives at the server, with a
 * conversation of 10 MB; this includes the step that saves the prompt.
 */
async function measureRequest(folder: string, rounds: number): Promise<Line[]> {
  const filled = await fillVault(folder, { sessions: 1, events: () => eventsOf(new Transcript(1), 10 * MB) });
  await using sessions = await openFilled(filled);
  const session = await sessions.resume(await sessions.find('1'));
  const server = await ModelServer.start();
  try {
    const model = await server.model();
    const request: Task = {
      name: 'request',
      run: async () => {
        const begun = performance.now();
        const asked = server.asked();
        const done = turn(session, model, 'and now?', { onText: () => undefined }, new AbortController().signal, {
          autoCompactAt: 0.75,
        });
        const time = (await asked) - begun;
        const { outcome } = await done;
        if (outcome !== 'completed') throw new Error(`the turn ${outcome}`);
        return time;
      },
    };
    const stringify: Task = { name: STRINGIFY, run: () => timeOf(() => JSON.stringify(session.state.messages)) };
    const spreads = await interleave([request, stringify], rounds);
    const floor: Line = { id: 'request-floor', what: STRINGIFY, value: spreadAt(spreads, STRINGIFY), unit: 'ms' };
    const value = spreadAt(spreads, 'request');
    return [floor, lineAgainst('request-10mb', 'from Enter to the request, conversation of 10 MB', value, floor)];
  } finally {
    server.stop();
  }
}

function timeOf(work: () => unknown): number {
  const begun = performance.now();
  work();
  return performance.now() - begun;
}

/**
 * Measures a reply that arrives word by word and is recorded in a session, with and without being
 * shown on a terminal.
 */
async function measureReplies(
  folder: string,
  lengths: readonly number[],
  rounds: number,
): Promise<{ lines: Line[]; curve: Curve }> {
  const filled = await fillVault(folder, { sessions: 1, events: () => eventsOf(new Transcript(2), 2000) });
  await using sessions = await openFilled(filled);
  const tasks = lengths.flatMap((length) => {
    const text = listOf(length);
    const task = (how: string, isShown: boolean): Task => ({
      name: `${how} ${length}`,
      run: async () => {
        await using session = sessions.begin({ directory: '/work/project', branch: 'main', model: 'mock/m' });
        await session.append({ type: 'message', message: { role: 'user', content: 'go' } });
        return reply(session, text, isShown);
      },
    });
    return [task('shown', true), task('recorded', false)];
  });
  const spreads = await interleave(tasks, rounds, 1);
  const at = (how: string, length: number): Spread => spreadAt(spreads, `${how} ${length}`);
  const lines = lengths.map((length) => {
    const size = length === MB ? '1 MB' : `${length / 1000} KB`;
    return lineAgainst(`reply-${length / 1000}kb`, `a reply of ${size} shown and recorded`, at('shown', length), {
      what: 'the same recorded and not shown',
      value: at('recorded', length),
    });
  });
  const series = (name: string, how: string): Curve['series'][number] => ({
    name,
    points: lengths.map((length) => [length, at(how, length).median]),
  });
  return {
    lines,
    curve: {
      id: 'reply-length',
      title: 'a reply as it arrives',
      x: 'length of the reply (characters)',
      y: 'time (ms)',
      series: [series('shown and recorded', 'shown'), series('recorded', 'recorded')],
      expect: { series: 'shown and recorded', atMost: 'linear' },
    },
  };
}

async function reply(session: Session, text: string, isShown: boolean): Promise<number> {
  const sink = new Writable({ write: (_chunk, _encoding, done) => done() });
  const stdout = Object.assign(sink, { isTTY: true }) as unknown as NodeJS.WriteStream;
  const stdin = new PassThrough() as unknown as NodeJS.ReadStream;
  const writer = await new Terminal({ stdin, stdout, stderr: stdout }, {}).startReply();
  const events = { onText: (delta: string) => (isShown ? writer.push(delta) : undefined) };
  const begun = performance.now();
  const { outcome } = await turn(session, speaker(text), 'go on', events, new AbortController().signal);
  writer.end();
  if (outcome !== 'completed') throw new Error(`the turn ${outcome}`);
  return performance.now() - begun;
}

/** Returns a model that replies with a text. */
function speaker(text: string): ChatModel {
  return {
    name: 'mock/m',
    isLocal: true,
    contextWindow: 1e9,
    refuses: new Set(),
    async *reply(): AsyncGenerator<ReplyPart> {
      for (let at = 0; at < text.length; at += DELTA) yield { type: 'text', text: text.slice(at, at + DELTA) };
      yield { type: 'finish', usage: { inputTokens: null, outputTokens: null, cost: null }, reason: 'stop' };
    },
  };
}

/** Returns a list, which costs most to show: all of its items are one block of Markdown. */
function listOf(length: number): string {
  const items: string[] = [];
  for (let size = 0; size < length; size += items.at(-1)?.length ?? 0) {
    items.push(`- **item ${items.length}** of a list that a model writes, with \`code\` in it\n`);
  }
  return items.join('').slice(0, length);
}

/** A model server that answers every request with one word. */
class ModelServer {
  readonly #server: Server;
  #onAsked: (time: number) => void = () => undefined;

  private constructor(server: Server) {
    this.#server = server;
    server.on('request', (request, response) => {
      this.#onAsked(performance.now());
      request.resume().on('end', () => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        for (const chunk of CHUNKS) response.write(`data: ${JSON.stringify(chunk)}\n\n`);
        response.end('data: [DONE]\n\n');
      });
    });
  }

  static async start(): Promise<ModelServer> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new ModelServer(server);
  }

  /** Resolves with the time at which the next request arrives. */
  asked(): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<number>();
    this.#onAsked = resolve;
    return promise;
  }

  model(): Promise<ChatModel> {
    const { port } = this.#server.address() as AddressInfo;
    const mock = { baseURL: `http://127.0.0.1:${port}/v1`, contextWindow: 1e9 };
    return openModel('mock/m', { providers: { mock }, env: {} });
  }

  stop(): void {
    this.#server.close();
  }
}

const base = { id: 'a', object: 'chat.completion.chunk', created: 1, model: 'm' };
const CHUNKS = [
  {
    ...base,
    choices: [{ index: 0, delta: { role: 'assistant', content: 'ok' } satisfies Message, finish_reason: null }],
  },
  {
    ...base,
    choices: [{ index: 0, delta: {}, finish_reason: 'stop' }],
    usage: { prompt_tokens: 5, completion_tokens: 1, total_tokens: 6 },
  },
];
