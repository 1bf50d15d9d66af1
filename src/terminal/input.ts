import type { Interface, Key } from 'node:readline';
import { escapeLine } from './escape.ts';
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
  /** What Ctrl+X and then a key say at the prompt, by the name of the key: a line. What is being typed stands at the next prompt. */
  chords: Readonly<Record<string, string>> = {};
  readonly #terminal: Terminal;
  #readline: Interface | undefined;
  /** Gives a key to readline. */
  #type: (...press: Press) => void = () => undefined;
  #muted = true;
  /** The prompt waits for a line, and no question. */
  #prompting = false;
  /** Ctrl+X was pressed: the next key may complete a chord. */
  #chord = false;
  /** What was being typed when a chord came, until the next prompt; and keys since then that nobody was there to read. */
  #aside: { readonly text: string; readonly cursor: number } | undefined;
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
   * Gives the next line, without its line feed; undefined at the end of input. Shows `prompt` on a terminal, and behind it what was
   * typed ahead, unless that is `hidden`.
   */
  async next(prompt: string, options: { hidden?: boolean } = {}): Promise<string | undefined> {
    const readline = this.#open();
    this.#takeUp(readline);
    const answer = this.#read(prompt, options);
    this.#prompting = this.#waiting !== undefined;
    this.#release();
    return answer;
  }

  async #read(prompt: string, options: { hidden?: boolean }): Promise<string | undefined> {
    const readline = this.#readline;
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
    if (readline !== undefined && this.#terminal.interactive) this.#prompt(readline, prompt, options.hidden === true);
    return promise;
  }

  /**
   * Asks a question on a terminal, its control characters escaped: it may name a path or a model. `hidden` echoes nothing. Undefined at the
   * end of input. The answer enters no history.
   */
  async ask(question: string, options: { hidden?: boolean } = {}): Promise<string | undefined> {
    const readline = this.#open();
    const before = [...historyOf(readline)];
    const answer = this.#read(escapeLine(question), options);
    this.#release();
    const given = await answer;
    if (options.hidden === true && !this.#ended) this.#terminal.show('\n');
    // What was typed ahead is in the history already.
    const kept = options.hidden === true ? before.filter((line) => line !== given) : before;
    historyOf(readline).splice(0, Number.POSITIVE_INFINITY, ...kept);
    return given;
  }

  /** Drops every line from the history that has `text` in it. */
  forget(text: string): void {
    const history = historyOf(this.#readline);
    history.splice(0, history.length, ...history.filter((line) => !line.includes(text)));
  }

  /**
   * Lends the terminal to `work`, which draws on `stdout` and hears the keys on `stdin` until it is done: the prompt hears none, and what
   * stood there stands there again. What was drawn is wiped then. `signal` aborts when nobody is there any more.
   * Throws a TypeError without a terminal, and while a line is waited for.
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
      this.#release();
      return await done;
    } finally {
      this.#lent = undefined;
      lent.giveBack();
    }
  }

  /** Drops what is typed so far, shows `notice` under it, and prompts anew. */
  clear(notice: string): void {
    const readline = this.#readline;
    if (readline === undefined) return;
    this.#pasted = [];
    this.#held = [];
    const muted = this.#muted;
    // The end of a line of several rows is further down than the cursor may be.
    readline.write(null, { ctrl: true, name: 'e' });
    this.#muted = true;
    emptyLine(readline);
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
    this.#terminal.streams.stdin.off('keypress', this.#onPress);
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
    stdin.on('error', () => this.#end(true));
    // Shut while a reply streams: what is typed ahead is kept and not echoed into it.
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

  /** What was typed ahead while the prompt was away stands behind it again, unless the answer is `hidden`. */
  #prompt(readline: Interface, prompt: string, hidden: boolean): void {
    this.#muted = hidden;
    (readline as Interface & { prevRows?: number }).prevRows = 0;
    readline.setPrompt(prompt);
    if (hidden) this.#terminal.show(prompt);
    readline.prompt(true);
  }

  readonly #onPress = (text: string | undefined, key: Key = {}): void => {
    const nobody = this.#aside !== undefined && this.#waiting === undefined && this.#lent === undefined;
    if (nobody && !isInterrupt(key)) this.#held.push([text, key]);
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

  /** Whether a key belongs to a chord; the last one of a chord answers the prompt. A key that makes no chord is one as ever. */
  #isChord(key: Key): boolean {
    const line = this.#chord && key.meta !== true ? this.chords[key.name ?? ''] : undefined;
    const asking = this.#waiting !== undefined && !this.#prompting;
    this.#chord = key.ctrl === true && key.name === 'x' && !asking && !this.#pasting;
    if (line === undefined) return this.#chord;
    if (this.#prompting) this.#answerAside(line);
    return true;
  }

  /** Answers the prompt with `line`, taking it off the screen with what stands behind it, which is put aside. */
  #answerAside(line: string): void {
    const readline = this.#readline;
    if (readline === undefined) return;
    this.#aside = { text: readline.line, cursor: readline.cursor };
    // readline itself loses count of the rows of what came in one piece
    const { rows } = readline.getCursorPos();
    this.#terminal.show(`${rows > 0 ? `\u001b[${rows}A` : ''}\r\u001b[J`);
    this.#muted = true;
    emptyLine(readline);
    this.#answer(line);
  }

  /** What was put aside stands in the line again. */
  #takeUp(readline: Interface | undefined): void {
    const aside = this.#aside;
    if (readline === undefined || aside === undefined) return;
    this.#aside = undefined;
    readline.write(aside.text);
    while (readline.cursor > aside.cursor) readline.write(null, { name: 'left' });
  }

  #release(): void {
    for (const press of this.#held.splice(0)) this.#deliver(...press);
  }

  /** Lines of one paste are one message, sent by the Enter behind it. */
  #line(line: string): void {
    if (this.#pasting) {
      this.#pasted.push(line);
      return;
    }
    const { interactive, dumb } = this.#terminal;
    // A terminal that can't move its cursor hands keys like Ctrl+L on as characters: nobody means them to be in the line.
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
