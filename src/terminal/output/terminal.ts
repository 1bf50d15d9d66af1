import { styleText } from 'node:util';
import { CofferError, errorFields } from '../../errors.ts';
import { escapeJsonLine, escapeLine, escapeText, TextEscaper } from './escape.ts';

/*
 * The conventions of coffer on a terminal:
 *
 * - Requested output (replies, lists, exports) goes to stdout, messages about it to stderr.
 * - Messages are lower case without a full stop: one line for what happened, to which thing, and
 *   what to do now.
 * - Control characters are escaped before anything is shown: no model, file or name may control the
 *   terminal.
 * - Styles and rendered Markdown only if stdout is a terminal, and not with NO_COLOR or TERM=dumb.
 * - A stream that is gone (EPIPE, EIO) is no longer written to, and `onGone` is called once.
 */

/** The three streams of a process. */
export interface Streams {
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
}

/** The output of one reply while it streams. */
export interface ReplyWriter {
  /** Adds text, and shows what can be shown. */
  push(delta: string): void;
  /** Shows the text held back, and ends the line. Does nothing for a reply without text. */
  end(): void;
}

/** The output to a process's streams. All writes go through it. */
export class Terminal {
  readonly streams: Streams;
  /** Whether a user can answer: stdin is a terminal, and so is one of the outputs. */
  readonly interactive: boolean;
  /** Whether stdout may carry styles. */
  readonly styled: boolean;
  /** Whether the terminal can't move its cursor: TERM=dumb. */
  readonly dumb: boolean;
  /** Called once when an output is gone, with `hangup` if it was a terminal. */
  onGone: ((how: 'closed' | 'hangup') => void) | undefined;
  /** Whether messages on stderr are JSON, one object per line, for a program to read. */
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

  /** Whether a user can see messages and press Ctrl+C: any of the streams is a terminal. */
  get attended(): boolean {
    const { stdin, stdout, stderr } = this.streams;
    return [stdin, stdout, stderr].some(({ isTTY }) => isTTY === true);
  }

  /** The stream that the user sees: stdout, or stderr if stdout isn't a terminal. */
  get ui(): NodeJS.WriteStream {
    return this.streams.stdout.isTTY === true ? this.streams.stdout : this.streams.stderr;
  }

  /** Writes a line to stdout, followed by dimmed `details` if styled. */
  say(line: string, details = ''): void {
    const shown =
      this.styled && details !== '' ? `  ${styleText('dim', escapeLine(details), { validateStream: false })}` : '';
    this.#put(this.streams.stdout, `${escapeLine(line)}${shown}\n`);
  }

  /** Writes a message to stderr, as a line. */
  tell(line: string): void {
    this.#put(this.streams.stderr, `${this.json ? escapeJsonLine({ note: line }) : escapeLine(line)}\n`);
  }

  /** Reports that a request to a model will be retried. */
  tellWait({ seconds, error }: { readonly seconds: number; readonly error: CofferError }): void {
    this.tell(`${error.what}; trying again in ${Math.ceil(seconds)} s`);
  }

  /** Reports the provider's own text about an error, if there is one. */
  tellSaid({ said }: CofferError): void {
    if (said !== undefined) this.tell(`the provider says: ${said}`);
  }

  /**
   * Writes the error that ends the program to stderr as JSON:
   * `{"error":{"code","exit","message"}}`, with `faults` if it has several causes.
   */
  failJson(failed: CofferError, exit: number): void {
    const { cause } = failed;
    const faults = cause instanceof AggregateError ? cause.errors.map(({ message }: Error) => message) : undefined;
    const error = { ...errorFields(failed), exit, faults };
    this.#put(this.streams.stderr, `${escapeJsonLine({ error })}\n`);
  }

  /** Writes the error that ends the program to stderr: `coffer: message`. */
  fail(message: string): void {
    this.tell(`coffer: ${message}`);
  }

  /** Writes text of several lines to stdout. */
  write(text: string): void {
    this.#put(this.streams.stdout, escapeText(text));
  }

  /**
   * Writes text of several lines to stdout in pieces, each after the one before has left the
   * process. Stops once the stream is gone.
   */
  async pour(pieces: Iterable<string>): Promise<void> {
    const { stdout } = this.streams;
    for (const piece of pieces) {
      if (this.#gone.has(stdout)) return;
      this.write(piece);
      if (stdout.writableNeedDrain) await this.#drained(stdout);
    }
  }

  /** Writes output of readline and the prompt unescaped: it is coffer's own or was typed here. */
  show(text: string): void {
    this.#put(this.ui, text);
  }

  /** Begins a reply: Markdown is rendered if styled, else written as it is. */
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

  /** Resolves when everything written has left the process. Throws `FAILED` if a write failed. */
  async flush(): Promise<void> {
    for (const stream of [this.streams.stdout, this.streams.stderr]) {
      if (!this.#gone.has(stream)) await this.#drained(stream);
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Resolves when everything written has left the process, or never will. */
  async #drained(stream: NodeJS.WriteStream): Promise<void> {
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
