import { CofferError, errorFields } from '../errors.ts';
import { escapeJsonLine, escapeLine, escapeText, TextEscaper } from './escape.ts';

/*
 * The manners of coffer on a terminal:
 *
 * - stdout carries what was asked for (replies, lists, exports), stderr what is said about it
 * - no capitalised initials, no full stops; one line says what happened, to which thing, what to do now
 * - nothing is shown before its control characters are written out: no model, file or name drives the terminal
 * - styles and rendered Markdown only where stdout is a terminal, and not with NO_COLOR or TERM=dumb
 * - a stream that is gone (EPIPE, EIO) is written to no more, and `onGone` is told once
 */

/** The three streams of a process. */
export interface Streams {
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
}

/** Shows one reply while it streams. */
export interface ReplyWriter {
  push(delta: string): void;
  /** Shows what was held back and ends the line; does nothing for a reply without text. */
  end(): void;
}

/** Every write to a stream goes through here. */
export class Terminal {
  readonly streams: Streams;
  /** Somebody is there to answer: stdin is a terminal, and so is one of the outputs. */
  readonly interactive: boolean;
  /** stdout may carry styles. */
  readonly styled: boolean;
  /** The cursor can't be moved: TERM=dumb. */
  readonly dumb: boolean;
  /** Called once when an output is gone: `hangup` where it was a terminal. */
  onGone: ((how: 'closed' | 'hangup') => void) | undefined;
  /** What is told on stderr is JSON, a line each: a program reads along. */
  json = false;
  readonly #gone = new Set<NodeJS.WriteStream>();
  #failure: CofferError | undefined;

  constructor(streams: Streams = process, env: NodeJS.ProcessEnv = process.env) {
    this.streams = streams;
    this.dumb = env['TERM'] === 'dumb';
    const plain = Boolean(env['NO_COLOR']) || this.dumb;
    this.interactive = this.ui.isTTY === true && streams.stdin.isTTY === true;
    this.styled = streams.stdout.isTTY === true && !plain;
    for (const stream of [streams.stdout, streams.stderr]) stream.on('error', (error) => this.#lose(stream, error));
  }

  /** A person can see what is told and press Ctrl+C: any of the streams is a terminal. */
  get attended(): boolean {
    const { stdin, stdout, stderr } = this.streams;
    return [stdin, stdout, stderr].some(({ isTTY }) => isTTY === true);
  }

  /** Where a person looks: stdout, or stderr where stdout is not a terminal. */
  get ui(): NodeJS.WriteStream {
    return this.streams.stdout.isTTY === true ? this.streams.stdout : this.streams.stderr;
  }

  /** Writes a line to stdout; `details` follow it, dim, on a terminal only. */
  say(line: string, details = ''): void {
    const shown = this.styled && details !== '' ? `  ${dim(escapeLine(details))}` : '';
    this.#put(this.streams.stdout, `${escapeLine(line)}${shown}\n`);
  }

  /** Writes a line to stderr: something about what is going on. */
  tell(line: string): void {
    this.#put(this.streams.stderr, `${this.json ? escapeJsonLine({ note: line }) : escapeLine(line)}\n`);
  }

  /** Tells that a request to a model is made again. */
  tellWait({ seconds, error }: { readonly seconds: number; readonly error: CofferError }): void {
    this.tell(`${error.what}; trying again in ${Math.ceil(seconds)} s`);
  }

  /** Tells what a provider said of an error, if it said anything. */
  tellSaid({ said }: CofferError): void {
    if (said !== undefined) this.tell(`the provider says: ${said}`);
  }

  /** Writes why the program ends to stderr as JSON: `{"error":{"code","exit","message"}}`, with `faults` where there are several. */
  failJson(failed: CofferError, exit: number): void {
    const { cause } = failed;
    const faults = cause instanceof AggregateError ? cause.errors.map(({ message }: Error) => message) : undefined;
    const error = { ...errorFields(failed), exit, faults };
    this.#put(this.streams.stderr, `${escapeJsonLine({ error })}\n`);
  }

  /** Writes why the program ends to stderr: `coffer: message`. */
  fail(message: string): void {
    this.tell(`coffer: ${message}`);
  }

  /** Writes text of many lines to stdout. */
  write(text: string): void {
    this.#put(this.streams.stdout, escapeText(text));
  }

  /** Writes text of many lines to stdout in pieces, each once the one before has left the process; none once the stream is gone. */
  async pour(pieces: Iterable<string>): Promise<void> {
    const { stdout } = this.streams;
    for (const piece of pieces) {
      if (this.#gone.has(stdout)) return;
      this.write(piece);
      if (stdout.writableNeedDrain) await this.#left(stdout);
    }
  }

  /** Writes what readline and the prompt send: it is ours or was typed here, escape sequences and all. */
  show(text: string): void {
    this.#put(this.ui, text);
  }

  /** Begins a reply: rendered on a terminal, as it comes where it is piped. */
  async startReply(): Promise<ReplyWriter> {
    const escaper = new TextEscaper();
    const put = (text: string): void => this.#put(this.streams.stdout, text);
    const lines = this.styled ? await rendered(put) : plain(put);
    return {
      push: (delta) => lines.push(escaper.push(delta)),
      end: () => {
        lines.push(escaper.end());
        lines.end();
      },
    };
  }

  /** Resolves when everything written has left the process. Throws `FAILED` where stdout could not take it. */
  async flush(): Promise<void> {
    for (const stream of [this.streams.stdout, this.streams.stderr]) {
      if (!this.#gone.has(stream)) await this.#left(stream);
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Resolves when what was written has left the process, or never will. */
  async #left(stream: NodeJS.WriteStream): Promise<void> {
    await new Promise((resolve) => stream.write('', resolve));
  }

  #put(stream: NodeJS.WriteStream, text: string): void {
    if (text !== '' && !this.#gone.has(stream)) stream.write(text);
  }

  #lose(stream: NodeJS.WriteStream, error: NodeJS.ErrnoException): void {
    const first = this.#gone.size === 0;
    this.#gone.add(stream);
    if (error.code !== 'EPIPE' && error.code !== 'EIO') {
      this.#failure ??= new CofferError('FAILED', `cannot write the output: ${error.message}`, { cause: error });
    }
    if (first) this.onGone?.(error.code === 'EIO' ? 'hangup' : 'closed');
  }
}

/** By hand: styleText is in node:util, and all that an import of that reads takes 4 ms at every start. */
function dim(text: string): string {
  return `\u001b[2m${text}\u001b[22m`;
}

async function rendered(put: (text: string) => void): Promise<ReplyWriter> {
  const { MarkdownStream } = await import('./markdown.ts');
  return new MarkdownStream(put);
}

function plain(put: (text: string) => void): ReplyWriter {
  let last = '\n';
  return {
    push: (delta) => {
      put(delta);
      last = delta.at(-1) ?? last;
    },
    end: () => {
      if (last !== '\n') put('\n');
    },
  };
}
