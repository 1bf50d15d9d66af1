import { createInterface, type Interface, type Key } from 'node:readline';
import { Writable } from 'node:stream';
import type { Terminal } from './terminal.ts';

/** How many lines may wait before a pipe is held up. */
const WAITING_LINES = 100;

/**
 * The lines of stdin, in order: typed ahead, pasted or piped. One readline serves questions and prompts alike,
 * so that nothing typed between two of them is lost. Its history stays in memory.
 */
export class Input {
  /** Ctrl+C on a terminal. Unless somebody takes it, it ends the process as SIGINT does. */
  onInterrupt: () => void = () => this.#raise('SIGINT');
  /** Any key but Ctrl+C. */
  onKey: (() => void) | undefined;
  /** The end of input: Ctrl+D, or the end of a pipe. */
  onEnd: (() => void) | undefined;
  /** The terminal is gone. */
  onHangup: () => void = () => this.#raise('SIGHUP');
  readonly #terminal: Terminal;
  #readline: Interface | undefined;
  #muted = true;
  #lines: string[] = [];
  #waiting: ((line: string | undefined) => void) | undefined;
  #pasted: string[] = [];
  #pasting = false;
  #ended = false;
  #leaving = false;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  /**
   * Gives the next line, without its line feed; undefined at the end of input. Shows `prompt` on a terminal, and behind it what was
   * typed ahead, unless that is `hidden`.
   */
  async next(prompt: string, options: { hidden?: boolean } = {}): Promise<string | undefined> {
    const readline = this.#open();
    const ready = this.#lines.shift();
    if (!this.#ended && this.#lines.length < WAITING_LINES) readline?.resume();
    if (ready !== undefined) {
      // A hidden one ends its line in `ask`.
      if (this.#terminal.interactive) this.#terminal.show(options.hidden === true ? prompt : `${prompt}${ready}\n`);
      return ready;
    }
    if (this.#ended) return undefined;
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    this.#waiting = resolve;
    if (readline !== undefined && this.#terminal.interactive) this.#prompt(readline, prompt);
    return promise;
  }

  /** Asks a question on a terminal; `hidden` echoes nothing. Undefined at the end of input. The answer enters no history. */
  async ask(question: string, options: { hidden?: boolean } = {}): Promise<string | undefined> {
    const readline = this.#open();
    const before = [...historyOf(readline)];
    const answer = this.next(question, options);
    if (options.hidden === true) this.#muted = true;
    const given = await answer;
    if (options.hidden === true && !this.#ended) this.#terminal.show('\n');
    // What was typed ahead is in the history already.
    const kept = options.hidden === true ? before.filter((line) => line !== given) : before;
    historyOf(readline).splice(0, Number.POSITIVE_INFINITY, ...kept);
    return given;
  }

  /** Drops what is typed so far, shows `notice` under it, and prompts anew. */
  clear(notice: string): void {
    const readline = this.#readline;
    if (readline === undefined) return;
    this.#pasted = [];
    const muted = this.#muted;
    this.#muted = true;
    readline.write(null, { ctrl: true, name: 'e' });
    readline.write(null, { ctrl: true, name: 'u' });
    this.#muted = muted;
    this.#terminal.show('\n');
    this.#terminal.tell(notice);
    if (!muted) readline.prompt();
  }

  /** Ends the input as Ctrl+D does: what waits is dropped. */
  stop(): void {
    this.#leaving = true;
    this.#lines = [];
    this.#end(false);
  }

  /** Gives the terminal back as it was found. Never throws: the terminal may be gone. */
  close(): void {
    this.#leaving = true;
    if (this.#readline === undefined) return;
    try {
      if (this.#terminal.interactive) this.#terminal.show(this.#muted ? pasteMarks.off : `${pasteMarks.off}\n`);
      this.#muted = true;
      this.#readline.close();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EIO') throw error; // a terminal that is gone needs no setting back
    }
  }

  #open(): Interface | undefined {
    if (this.#readline !== undefined || this.#ended) return this.#readline;
    const { stdin } = this.#terminal.streams;
    const terminal = this.#terminal.interactive;
    stdin.on('error', () => this.#end(true));
    if (terminal) stdin.prependListener('keypress', (_, key: Key) => this.#key(key));
    const output = terminal ? new Gate(this.#terminal, () => !this.#muted) : undefined;
    const readline = createInterface({
      input: stdin,
      ...(output && { output }),
      terminal,
      historySize: terminal ? 1000 : 0,
      crlfDelay: Number.POSITIVE_INFINITY,
    });
    readline.on('line', (line) => this.#line(line));
    readline.on('close', () => this.#end(false));
    readline.on('error', () => this.#end(true));
    readline.on('SIGINT', () => this.onInterrupt());
    if (terminal) this.#terminal.show(pasteMarks.on);
    this.#readline = readline;
    return readline;
  }

  /** What was typed ahead while the prompt was away stands behind it again. */
  #prompt(readline: Interface, prompt: string): void {
    this.#muted = false;
    (readline as Interface & { prevRows?: number }).prevRows = 0;
    readline.setPrompt(prompt);
    readline.prompt(true);
  }

  #key(key: Key | undefined): void {
    if (key?.name === 'paste-start') this.#pasting = true;
    else if (key?.name === 'paste-end') this.#pasting = false;
    if (key?.ctrl === true && key.name === 'd') this.#leaving = true;
    else if (key?.ctrl !== true || key.name !== 'c') {
      this.#leaving = false;
      this.onKey?.();
    }
  }

  /** Lines of one paste are one message, sent by the Enter behind it. */
  #line(line: string): void {
    if (this.#pasting) {
      this.#pasted.push(line);
      return;
    }
    const text = [...this.#pasted, line].join('\n');
    this.#pasted = [];
    const waiting = this.#waiting;
    this.#waiting = undefined;
    this.#muted = true;
    if (waiting === undefined) this.#lines.push(text);
    else waiting(text);
    if (!this.#terminal.interactive && !this.#ended && this.#lines.length >= WAITING_LINES) this.#readline?.pause();
  }

  #end(failed: boolean): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#terminal.interactive && (failed || !this.#leaving)) this.onHangup();
    else this.onEnd?.();
    this.#waiting?.(undefined);
    this.#waiting = undefined;
  }

  #raise(signal: NodeJS.Signals): void {
    this.close();
    process.kill(process.pid, signal);
  }
}

/** A terminal that understands them says where a paste begins and ends. */
const pasteMarks = { on: '\u001b[?2004h', off: '\u001b[?2004l' };

/** Shut while a reply streams: what is typed ahead is kept and not echoed into it. */
class Gate extends Writable {
  readonly isTTY = true;
  readonly #terminal: Terminal;
  readonly #isOpen: () => boolean;

  constructor(terminal: Terminal, isOpen: () => boolean) {
    super({ decodeStrings: false });
    this.#terminal = terminal;
    this.#isOpen = isOpen;
    terminal.ui.on('resize', () => this.emit('resize'));
  }

  get columns(): number {
    return this.#terminal.ui.columns;
  }

  get rows(): number {
    return this.#terminal.ui.rows;
  }

  override _write(chunk: string, _encoding: string, done: () => void): void {
    if (this.#isOpen()) this.#terminal.show(chunk);
    done();
  }
}

function historyOf(readline: Interface | undefined): string[] {
  return (readline as (Interface & { history?: string[] }) | undefined)?.history ?? [];
}
