import { EventEmitter, once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { json } from 'node:stream/consumers';
import { type FixtureResponse, LLMock } from '@copilotkit/aimock';

/*
 * A real model server on loopback that speaks the OpenAI-compatible, Anthropic and Ollama protocols,
 * with scripted replies (aimock) and, under /held, streams whose parts the test releases one by one.
 * The name of the model selects the behaviour, so that child processes can use the server as well:
 *
 * | base URL | model | behaviour |
 * |---|---|---|
 * | `openai`, `anthropic` | any other | answers `you said: <the last message>`, 7 tokens in, 5 out |
 * | | `thinking` | the same, with a reasoning part first |
 * | | `mute` | empty reply |
 * | | `refused` · `forbidden` · `missing` · `limited` · `failing` | 401 · 403 · 404 · 429 · 500 |
 * | `held` | any other | `part 1 ` at once, then one more part at each release, until finish |
 * | | `half` | `part 1 part 2 `, then the connection breaks |
 * | | `cut` | `part 1 part 2 `, then a proper end of the body without the protocol's ending |
 * | | `erring` | `part 1 part 2 `, then the protocol's rate-limit event |
 * | | `elsewhere` | a redirect to `/v1`, where the same request would be answered |
 *
 * Run as a program (`node test/support/model-server.ts`), it prints its addresses as one line of
 * JSON and serves until it is killed. `/held/control/release?parts=n`, `/held/control/finish`,
 * `/held/control/streaming?parts=n` and `/held/control/closed?streams=n` then do what the methods
 * do.
 */

/**
 * A received request. `body` of an Anthropic request is the form that aimock converted it to,
 * except under /held.
 */
export interface SeenRequest {
  path: string;
  headers: Record<string, string>;
  body: unknown;
}

/**
 * A message of a request, in the form of the OpenAI-compatible protocol; aimock converts the others
 * to that form.
 */
export interface SentMessage {
  role: 'system' | 'user' | 'assistant' | 'tool';
  content?: unknown;
  tool_calls?: { id: string; function: { name: string; arguments: string } }[];
  tool_call_id?: string;
}

/** The base URLs of a {@link ModelServer}, for a provider's settings. */
export interface Addresses {
  url: string;
  openai: string;
  anthropic: string;
  held: string;
}

/** Starts a model server on a free port of 127.0.0.1. */
export async function startModelServer(): Promise<ModelServer> {
  const mock = new LLMock({ port: 0, host: '127.0.0.1', chunkSize: 6, journalMaxEntries: 0 });
  const held = new HeldStreams(() => mock.getRequests().length);
  mock.mount('/held', held);
  for (const [model, status] of statuses) {
    const error = { message: `no: ${model}`, type: 'scripted', code: model };
    mock.on({ model: new RegExp(`^${model}$`) }, { error, status });
  }
  const usage = { prompt_tokens: 7, completion_tokens: 5, input_tokens: 7, output_tokens: 5 };
  mock.on({ model: /^mute$/ }, { content: '', usage });
  mock.on({ model: /^thinking$/ }, (request) => ({
    content: `you said: ${lastText(request.messages)}`,
    reasoning: 'let me see',
    usage,
  }));
  mock.on({ predicate: () => true }, (request) => ({ content: `you said: ${lastText(request.messages)}`, usage }));
  return new ModelServer(mock, held, await mock.start());
}

const statuses: readonly (readonly [model: string, status: number])[] = [
  ['refused', 401],
  ['forbidden', 403],
  ['missing', 404],
  ['limited', 429],
  ['failing', 500],
];

/** A running model server; see the table above. */
export class ModelServer implements AsyncDisposable, Addresses {
  readonly url: string;
  readonly openai: string;
  readonly anthropic: string;
  readonly held: string;
  readonly #mock: LLMock;
  readonly #streams: HeldStreams;

  /** Use {@link startModelServer}. */
  constructor(mock: LLMock, streams: HeldStreams, url: string) {
    this.#mock = mock;
    this.#streams = streams;
    this.url = url;
    this.openai = `${url}/v1`;
    this.anthropic = `${url}/v1`;
    this.held = `${url}/held/v1`;
  }

  /** Answers messages that contain `pattern` with `reply` from now on. */
  script(pattern: string | RegExp, reply: string): void {
    this.#mock.prependFixture({ match: { userMessage: pattern }, response: { content: reply } });
  }

  /**
   * Makes `model` answer as `respond` decides from the messages it receives; a promise delays the
   * answer. The latest call for a model wins.
   */
  respond(
    model: string,
    respond: (messages: SentMessage[], tools: unknown) => FixtureResponse | Promise<FixtureResponse>,
  ): void {
    const response = (request: { messages: unknown; tools?: unknown }): ReturnType<typeof respond> =>
      respond(request.messages as SentMessage[], request.tools);
    this.#mock.prependFixture({ match: { predicate: (request) => request.model === model }, response });
  }

  /** Returns all requests for a reply so far, in order. */
  get requests(): SeenRequest[] {
    const seen: SeenRequest[] = this.#mock.getRequests().map(({ path, headers, body }) => ({ path, headers, body }));
    for (const [place, { after, ...request }] of this.#streams.requests.entries()) {
      seen.splice(after + place, 0, request);
    }
    return seen;
  }

  /** Makes every open held stream send `parts` more parts. */
  release(parts = 1): void {
    this.#streams.release(parts);
  }

  /** Ends every open held stream as its protocol does. */
  finish(): void {
    this.#streams.finish();
  }

  /** Resolves when an open held stream has sent `parts` parts. */
  streaming(parts = 1): Promise<void> {
    return this.#streams.until(() => this.#streams.sent >= parts);
  }

  /** Resolves when clients have hung up on `streams` held streams in all. */
  closed(streams = 1): Promise<void> {
    return this.#streams.until(() => this.#streams.abandoned >= streams);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#streams.drop();
    await this.#mock.stop();
  }
}

/** The streams under /held: an aimock mount that writes the protocols' events itself. */
class HeldStreams {
  /** The requests, each with the number of requests that aimock had seen before it. */
  readonly requests: (SeenRequest & { after: number })[] = [];
  abandoned = 0;
  readonly #open: Set<HeldStream> = new Set();
  readonly #changes = new EventEmitter().setMaxListeners(0);
  readonly #seenBefore: () => number;

  constructor(seenBefore: () => number) {
    this.#seenBefore = seenBefore;
  }

  get sent(): number {
    return Math.max(0, ...[...this.#open].map((stream) => stream.parts));
  }

  async handleRequest(request: IncomingMessage, response: ServerResponse, path: string): Promise<boolean> {
    if (path.startsWith('/control/')) await this.#control(new URL(request.url ?? '', 'http://127.0.0.1'), response);
    else if (protocolAt(path) === undefined) response.writeHead(404).end();
    else await this.#stream(request, response, path);
    return true;
  }

  release(parts: number): void {
    for (const stream of this.#open) for (let part = 0; part < parts; part++) stream.part();
    this.#changes.emit('change');
  }

  finish(): void {
    for (const stream of this.#open) stream.end();
    this.#open.clear();
  }

  drop(): void {
    for (const stream of this.#open) stream.response.destroy();
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await once(this.#changes, 'change');
  }

  async #control(url: URL, response: ServerResponse): Promise<void> {
    const number = (name: string): number => Number(url.searchParams.get(name) ?? 1);
    if (url.pathname.endsWith('/release')) this.release(number('parts'));
    else if (url.pathname.endsWith('/finish')) this.finish();
    else if (url.pathname.endsWith('/streaming')) await this.until(() => this.sent >= number('parts'));
    else if (url.pathname.endsWith('/closed')) await this.until(() => this.abandoned >= number('streams'));
    else response.statusCode = 404;
    response.end();
  }

  async #stream(request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
    const body = (await json(request)) as { model?: string };
    const after = this.#seenBefore();
    this.requests.push({ after, path, headers: request.headers as Record<string, string>, body });
    if (body.model === 'elsewhere') {
      response.writeHead(307, { location: path }).end();
      return;
    }
    const stream = new HeldStream(response, protocolAt(path) ?? 'openai');
    stream.part();
    if (body.model === 'half' || body.model === 'cut' || body.model === 'erring') {
      stream.part();
      if (body.model === 'erring') stream.fail();
      // The data must have left this process before the connection breaks.
      await stream.written();
      if (body.model === 'half') response.socket?.destroy();
      else response.end();
      return;
    }
    this.#open.add(stream);
    response.once('close', () => {
      if (this.#open.delete(stream)) this.abandoned++;
      this.#changes.emit('change');
    });
    this.#changes.emit('change');
  }
}

type Protocol = 'openai' | 'anthropic' | 'ollama';

const PROTOCOLS: Readonly<Record<string, Protocol>> = {
  'chat/completions': 'openai',
  messages: 'anthropic',
  'api/chat': 'ollama',
};

/** Returns the protocol that is spoken at a path. */
function protocolAt(path: string): Protocol | undefined {
  const [, end = ''] = /\/(chat\/completions|messages|api\/chat)$/.exec(path) ?? [];
  return PROTOCOLS[end];
}

class HeldStream {
  readonly response: ServerResponse;
  parts = 0;
  readonly #protocol: Protocol;

  constructor(response: ServerResponse, protocol: Protocol) {
    this.response = response;
    this.#protocol = protocol;
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    if (protocol === 'anthropic') {
      const usage = { input_tokens: 7, output_tokens: 0 };
      const message = { id: 'held', type: 'message', role: 'assistant', model: 'held', content: [], usage };
      this.#send({ type: 'message_start', message });
      this.#send({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } });
    }
  }

  part(): void {
    const text = `part ${++this.parts} `;
    if (this.#protocol === 'anthropic') {
      this.#send({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } });
    } else if (this.#protocol === 'ollama') {
      this.#send({ message: { role: 'assistant', content: text }, done: false });
    } else {
      this.#send(chunk([{ index: 0, delta: { role: 'assistant', content: text }, finish_reason: null }]));
    }
  }

  end(): void {
    if (this.#protocol === 'anthropic') {
      this.#send({ type: 'content_block_stop', index: 0 });
      this.#send({ type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: this.parts } });
      this.#send({ type: 'message_stop' });
    } else if (this.#protocol === 'ollama') {
      const counts = { prompt_eval_count: 7, eval_count: this.parts };
      this.#send({ message: { role: 'assistant', content: '' }, done: true, done_reason: 'stop', ...counts });
    } else {
      this.#send(chunk([{ index: 0, delta: {}, finish_reason: 'stop' }]));
      this.#send({ ...chunk([]), usage: { prompt_tokens: 7, completion_tokens: this.parts, total_tokens: 12 } });
      this.response.write('data: [DONE]\n\n');
    }
    this.response.end();
  }

  fail(): void {
    const error = { type: 'rate_limit_error', code: 429, message: 'slow down' };
    if (this.#protocol === 'ollama') this.#send({ error: error.message });
    else this.#send(this.#protocol === 'anthropic' ? { type: 'error', error } : { error });
  }

  written(): Promise<void> {
    return new Promise((resolve) => {
      this.response.write(this.#protocol === 'ollama' ? '\n' : ': written\n\n', () => resolve());
    });
  }

  #send(event: object): void {
    if (this.#protocol === 'ollama') {
      this.response.write(`${JSON.stringify(event)}\n`);
      return;
    }
    const name = 'type' in event ? `event: ${event.type}\n` : '';
    this.response.write(`${name}data: ${JSON.stringify(event)}\n\n`);
  }
}

function chunk(choices: unknown[]): object {
  return { id: 'held', object: 'chat.completion.chunk', created: 1, model: 'held', choices };
}

function lastText(messages: readonly { role: string; content?: unknown }[]): string {
  const content = messages.findLast(({ role }) => role === 'user')?.content;
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return '';
  return content.map((part: { text?: string }) => part.text ?? '').join('');
}

if (import.meta.main) {
  const { url, openai, anthropic, held } = await startModelServer();
  process.stdout.write(`${JSON.stringify({ url, openai, anthropic, held } satisfies Addresses)}\n`);
}
