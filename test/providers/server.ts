import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { type Dialect, pathOf, type Reply, type Rule } from './dialect.ts';
import { type Body, partsOf, presentTurn } from './wire.ts';

/**
 * A server for one dialect. Refuses requests that break one of its rules and answers all others.
 */
export class ProviderServer implements AsyncDisposable {
  readonly dialect: Dialect;
  /** Refused requests, each with the rule it broke. */
  refused: { rule: Rule; body: Body }[] = [];
  /** The number of answered requests, and of those with an image. */
  answered = 0;
  shown = 0;
  readonly #http: Server;

  /** Use {@link startProvider}. */
  constructor(dialect: Dialect) {
    this.dialect = dialect;
    this.#http = createServer((request, response) => void this.#handle(request, response));
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#http.listen(0, '127.0.0.1', resolve));
  }

  /**
   * The base URL for coffer's settings. A server that usually runs elsewhere gets an address of
   * this machine that coffer takes for another machine
   * (https://www.rfc-editor.org/rfc/rfc1122#section-3.2.1.3), because coffer treats the two kinds
   * differently.
   */
  get baseURL(): string {
    const { port } = this.#http.address() as AddressInfo;
    return `http://${this.dialect.local ? '127.0.0.1' : '0.0.0.0'}:${port}/v1`;
  }

  /** The refusals that coffer could have avoided. */
  get faults(): string[] {
    return this.refused.filter(({ rule }) => rule.says === undefined).map(({ rule }) => rule.refused);
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { protocol } = this.dialect;
    if (request.method !== 'POST' || request.url !== PATHS[protocol]) {
      response.writeHead(404).end();
      return;
    }
    const body = (await json(request)) as Body;
    const rule = this.dialect.rules.find(({ breaks }) => breaks(body));
    if (rule !== undefined) {
      this.refused.push({ rule, body });
      const message = rule.says ?? `refused: ${rule.refused}`;
      response.writeHead(rule.status ?? 400, { 'content-type': 'application/json' });
      const error = protocol === 'ollama' ? message : { message, type: 'invalid_request_error' };
      response.end(JSON.stringify({ error }));
      return;
    }
    this.answered++;
    if (body.messages.some((message) => partsOf(message).some(({ type }) => type.startsWith('image')))) this.shown++;
    const isStream = protocol !== 'ollama';
    response.writeHead(200, { 'content-type': isStream ? 'text/event-stream' : 'application/x-ndjson' });
    const events = this.dialect.write(replyTo(body, this.dialect)).map((event) => {
      if (!isStream) return `${JSON.stringify(event)}\n`;
      const name = 'type' in event ? `event: ${event.type}\n` : '';
      return `${name}data: ${JSON.stringify(event)}\n\n`;
    });
    if (protocol === 'openai') events.push('data: [DONE]\n\n');
    const half = Math.floor(events.length / 2);
    response.write(events.slice(0, half).join(''));
    response.end(events.slice(half).join(''));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#http.closeAllConnections();
    await new Promise((resolve) => this.#http.close(resolve));
  }
}

/** Starts a server on a free port of 127.0.0.1. */
export async function startProvider(dialect: Dialect): Promise<ProviderServer> {
  const server = new ProviderServer(dialect);
  await server.listen();
  return server;
}

/** The path of each protocol below the base URL. */
export const PATHS: Readonly<Record<Dialect['protocol'], string>> = {
  openai: '/v1/chat/completions',
  anthropic: '/v1/messages',
  ollama: '/api/chat',
};

/** The prompt that makes a server call tools. */
export const USE_TOOLS = 'read your files';

/**
 * Returns a scripted reply. Asked to use tools, it calls two at once without text, then one more
 * with text, then reports.
 */
function replyTo(body: Body, { id }: Dialect): Reply {
  const [prompt, ...turn] = presentTurn(body);
  const words = prompt === undefined ? '' : partsOf(prompt).map(({ text = '' }) => text);
  const asked = turn.filter(({ role }) => role === 'assistant').length;
  const read = (number: number): Reply['calls'][number] => ({ name: 'read_file', input: { path: pathOf(id, number) } });
  const reasoning = `${id} thinks ${asked} of: ${String(words).slice(0, 40)}`;
  if (body.tools !== undefined && words.includes(USE_TOOLS) && asked === 0)
    return { reasoning, text: '', calls: [read(1), read(2)] };
  if (body.tools !== undefined && words.includes(USE_TOOLS) && asked === 1)
    return { reasoning, text: 'one more', calls: [read(3)] };
  return { reasoning, text: `${id} answers`, calls: [] };
}
