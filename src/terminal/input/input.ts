import type { Interface, Key } from 'node:readline';
import { escapeLine } from '../output/escape.ts';
import type { Terminal } from '../output/terminal.ts';
import {
  emptyLine,
  historyOf,
  isInterrupt,
  type KeyStream,
  Lent,
  openReadline,
  type Press,
  pasteMarks,
  type Screen,
  untilSignal,
} from './input-streams.ts';

/** Queued lines at which reading from a pipe is paused. */
const WAITING_LINES = 100;

/**
 * The lines of stdin, in order, whether typed ahead, pasted or piped. One readline serves both
 * questions and prompts, so that nothing typed between two of them is lost. Its history stays in
 * memory.
 */
export class Input {
  /** Called on Ctrl+C on a terminal. Default: ends the process by SIGINT. */
  onInterrupt: () => void = () => this.#raise('SIGINT');
  /** Called on any key except Ctrl+C and Ctrl+D. */
  onKey: (() => void) | undefined;
  /** Called at the end of input: Ctrl+D, or the end of a pipe. */
  onEnd: (() => void) | undefined;
  /** Called when the terminal is gone. Default: ends the process by SIGHUP. */
  onHangup: () => void = () => this.#raise('SIGHUP');
  /**
   * The lines that Ctrl+X followed by a key enters at the prompt, by the name of the key. The text
   * typed so far is moved to the next prompt.
   */
  chords: Readonly<Record<string, string>> = {};
  readonly #terminal: Terminal;
  #readline: Interface | undefined;
  /** Passes a key to readline. */
  #type: (...press: Press) => void = () => undefined;
  /** Whether readline's output is discarded. */
  #muted = true;
  /** Whether the prompt, not a question, is waiting for a line. */
  #prompting = false;
  /** Whether Ctrl+X was pressed, so that the next key may complete a chord. */
  #chord = false;
  /** The text that a chord interrupted, until the next prompt. */
  #aside: { readonly text: string; readonly cursor: number } | undefined;
  /** Keys pressed since a chord while nothing was reading keys. */
  #held: Press[] = [];
  #lent: Lent | undefined;
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
   * Reads the next line, without its line feed. Resolves to undefined at the end of input. On a
   * terminal, shows `prompt`, followed by text typed ahead unless the input is `hidden`.
   */
  async next(prompt: string, options: { hidden?: boolean } = {}): Promise<string | undefined> {
    const readline = this.#open();
    this.#restoreAside(readline);
    const answer = this.#read(prompt, options);
    this.#prompting = this.#waiting !== undefined;
    this.#deliverHeld();
    return answer;
  }

  async #read(prompt: string, options: { hidden?: boolean }): Promise<string | undefined> {
    const readline = this.#readline;
    const ready = this.#lines.shift();
    if (!this.#ended && this.#lines.length < WAITING_LINES) readline?.resume();
    if (ready !== undefined) {
      // After a hidden answer, `ask` shows the line feed.
      if (this.#terminal.interactive) this.#terminal.show(options.hidden === true ? prompt : `${prompt}${ready}\n`);
      return ready;
    }
    if (this.#ended) return undefined;
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    this.#waiting = resolve;
    if (readline !== undefined && this.#terminal.interactive) this.#prompt(readline, prompt, options.hidden === true);
    return promise;
  }

  /**
   * Asks a question on a terminal. Escapes its control characters, because it may name a path or a
   * model. `hidden` answers are not echoed. Resolves to undefined at the end of input. The answer
   * is not kept in the history.
   */
  async ask(question: string, options: { hidden?: boolean } = {}): Promise<string | undefined> {
    const readline = this.#open();
    const before = [...historyOf(readline)];
    const answer = this.#read(escapeLine(question), options);
    this.#deliverHeld();
    const given = await answer;
    if (options.hidden === true && !this.#ended) this.#terminal.show('\n');
    // A line that was typed ahead was in the history before.
    const kept = options.hidden === true ? before.filter((line) => line !== given) : before;
    historyOf(readline).splice(0, Number.POSITIVE_INFINITY, ...kept);
    return given;
  }

  /** Drops every line that contains `text` from the history. */
  forget(text: string): void {
    const history = historyOf(this.#readline);
    history.splice(0, history.length, ...history.filter((line) => !line.includes(text)));
  }

  /**
   * Lends the terminal to `work`, which draws on `stdout` and receives keys on `stdin` until it
   * settles. The prompt receives none and keeps its text. What was drawn is wiped afterwards.
   * `signal` is aborted at the end of input. Throws a TypeError if there is no terminal, if a line
   * is being read, or if the terminal is already lent.
   */
  async lend<T>(work: (stdin: KeyStream, stdout: Screen, signal: AbortSignal) => Promise<T>): Promise<T> {
    if (!this.#terminal.interactive) throw new TypeError('there is no terminal to lend');
    if (this.#waiting !== undefined || this.#lent !== undefined) throw new TypeError('the terminal is in use');
    const readline = this.#open();
    if (!this.#ended) readline?.resume();
    const lent = new Lent(this.#terminal);
    this.#lent = lent;
    using _ = untilSignal((signal) => this.#raise(signal));
    try {
      if (this.#ended) lent.abandon();
      const done = work(lent.stdin, lent.stdout, lent.signal);
      this.#deliverHeld();
      return await done;
    } finally {
      this.#lent = undefined;
      lent.giveBack();
    }
  }

  /** Drops the text typed so far, shows `notice` below it, and shows the prompt again. */
  clear(notice: string): void {
    const readline = this.#readline;
    if (readline === undefined) return;
    this.#pasted = [];
    this.#held = [];
    const muted = this.#muted;
    // Move to the end first: in a line of several rows, the cursor may not be in the last one.
    readline.write(null, { ctrl: true, name: 'e' });
    this.#muted = true;
    emptyLine(readline);
    this.#muted = muted;
    this.#terminal.show('\n');
    this.#terminal.tell(notice);
    if (!muted) readline.prompt();
  }

  /** Ends the input as Ctrl+D does, and drops queued lines. */
  stop(): void {
    this.#leaving = true;
    this.#lines = [];
    this.#end(false);
  }

  /** Restores the terminal's state. Doesn't throw if the terminal is gone. */
  close(): void {
    this.#leaving = true;
    if (this.#readline === undefined) return;
    this.#terminal.streams.stdin.off('keypress', this.#onPress);
    try {
      if (this.#terminal.interactive) this.#terminal.show(this.#muted ? pasteMarks.off : `${pasteMarks.off}\n`);
      this.#muted = true;
      this.#readline.close();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EIO') throw error; // else the terminal is gone
    }
  }

  #open(): Interface | undefined {
    if (this.#readline !== undefined || this.#ended) return this.#readline;
    const { stdin } = this.#terminal.streams;
    stdin.on('error', () => this.#end(true));
    // Muted while a reply streams: text typed ahead is kept, but not echoed into the reply.
    const { readline, type } = openReadline(this.#terminal, (text) => {
      if (!this.#muted) this.#terminal.show(text);
    });
    readline.on('line', (line) => this.#line(line));
    readline.on('close', () => this.#end(false));
    readline.on('error', () => this.#end(true));
    readline.on('SIGINT', () => this.onInterrupt());
    this.#readline = readline;
    if (type === undefined) return readline;
    this.#type = type;
    stdin.on('keypress', this.#onPress);
    this.#terminal.show(pasteMarks.on);
    return readline;
  }

  /** Shows the prompt, followed by text typed ahead unless the answer is `hidden`. */
  #prompt(readline: Interface, prompt: string, hidden: boolean): void {
    this.#muted = hidden;
    (readline as Interface & { prevRows?: number }).prevRows = 0;
    readline.setPrompt(prompt);
    if (hidden) this.#terminal.show(prompt);
    readline.prompt(true);
  }

  readonly #onPress = (text: string | undefined, key: Key = {}): void => {
    const isUnread = this.#aside !== undefined && this.#waiting === undefined && this.#lent === undefined;
    if (isUnread && !isInterrupt(key)) this.#held.push([text, key]);
    else this.#deliver(text, key);
  };

  #deliver(text: string | undefined, key: Key): void {
    if (key.name === 'paste-start') this.#pasting = true;
    else if (key.name === 'paste-end') this.#pasting = false;
    if (this.#lent !== undefined) {
      this.#lent.press([text, key], this.#pasting);
      return;
    }
    if (key.ctrl === true && key.name === 'd') this.#leaving = true;
    else if (!isInterrupt(key)) {
      this.#leaving = false;
      this.onKey?.();
    }
    if (!this.#isChord(key)) this.#type(text, key);
  }

  /**
   * Returns whether a key is part of a chord. The last key of a chord answers the prompt. A key
   * that doesn't complete a chord is handled as usual.
   */
  #isChord(key: Key): boolean {
    const line = this.#chord && key.meta !== true ? this.chords[key.name ?? ''] : undefined;
    const asking = this.#waiting !== undefined && !this.#prompting;
    this.#chord = key.ctrl === true && key.name === 'x' && !asking && !this.#pasting;
    if (line === undefined) return this.#chord;
    if (this.#prompting) this.#answerByChord(line);
    return true;
  }

  /**
   * Answers the prompt with `line`. Wipes the prompt and its text, which is kept for the next one.
   */
  #answerByChord(line: string): void {
    const readline = this.#readline;
    if (readline === undefined) return;
    this.#aside = { text: readline.line, cursor: readline.cursor };
    // Ask for the position: readline's own row count is wrong for text that arrived in one piece.
    const { rows } = readline.getCursorPos();
    this.#terminal.show(`${rows > 0 ? `\u001b[${rows}A` : ''}\r\u001b[J`);
    this.#muted = true;
    emptyLine(readline);
    this.#answer(line);
  }

  /** Restores the text that a chord interrupted, and its cursor. */
  #restoreAside(readline: Interface | undefined): void {
    const aside = this.#aside;
    if (readline === undefined || aside === undefined) return;
    this.#aside = undefined;
    readline.write(aside.text);
    while (readline.cursor > aside.cursor) readline.write(null, { name: 'left' });
  }

  #deliverHeld(): void {
    for (const press of this.#held.splice(0)) this.#deliver(...press);
  }

  /** Handles a line. The lines of one paste become one message, sent by the Enter after it. */
  #line(line: string): void {
    if (this.#pasting) {
      this.#pasted.push(line);
      return;
    }
    const { interactive, dumb } = this.#terminal;
    // On a terminal that can't move its cursor, keys like Ctrl+L arrive as characters. They are not
    // meant to be in the line.
    const typed = interactive && dumb ? line.replaceAll(/(?!\t)\p{Cc}/gu, '') : line;
    const text = [...this.#pasted, typed].join('\n');
    this.#pasted = [];
    this.#muted = true;
    if (this.#waiting === undefined) this.#lines.push(text);
    else this.#answer(text);
    if (!this.#terminal.interactive && !this.#ended && this.#lines.length >= WAITING_LINES) this.#readline?.pause();
  }

  #answer(line: string | undefined): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    this.#prompting = false;
    waiting?.(line);
  }

  #end(failed: boolean): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#lent?.abandon();
    if (this.#terminal.interactive && (failed || !this.#leaving)) this.onHangup();
    else this.onEnd?.();
    this.#answer(undefined);
  }

  #raise(signal: NodeJS.Signals): void {
    this.close();
    process.kill(process.pid, signal);
  }
}
