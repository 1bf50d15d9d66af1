import { createInterface, type Interface, type Key } from 'node:readline';
import { Readable, Writable } from 'node:stream';
import type { Terminal } from './terminal.ts';

/** A key as readline decodes it: what it types, if anything, and its name. */
export type Press = readonly [text: string | undefined, key: Key];

/** What begins an escape sequence. */
const ESC = '\u001b';

/** What moves the cursor by rows, hides it or shows it. */
const MOVES = new RegExp(`\\n|${ESC}\\[(\\d*)([AB])|${ESC}\\[\\?25[hl]`, 'g');

const STYLES = new RegExp(`${ESC}\\[[\\d;]*m`, 'g');

/** What a terminal is taken for that does not know its size. */
export const usualSize: { readonly columns: number; readonly rows: number } = { columns: 80, rows: 24 };

/** A stream for what draws on the terminal: its size is the terminal's, and what is written goes to `show`. */
export class Screen extends Writable {
  readonly isTTY = true;
  readonly #terminal: Terminal;
  readonly #show: (text: string) => void;
  readonly #onResize = (): void => {
    this.emit('resize');
  };

  constructor(terminal: Terminal, show: (text: string) => void) {
    super({ decodeStrings: false });
    this.#terminal = terminal;
    this.#show = show;
    terminal.ui.on('resize', this.#onResize);
  }

  get columns(): number {
    return this.#terminal.ui.columns || usualSize.columns;
  }

  get rows(): number {
    return this.#terminal.ui.rows || usualSize.rows;
  }

  override _write(chunk: string, _encoding: string, done: () => void): void {
    this.#show(chunk);
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#terminal.ui.off('resize', this.#onResize);
    done(error);
  }
}

/** A stream of keys that were decoded already. It is raw as long as the real one is: switching it changes nothing. */
export class KeyStream extends Readable {
  readonly isTTY = true;

  setRawMode(): this {
    return this;
  }

  override _read(): void {
    // keys come as events
  }
}

/**
 * The terminal as it is lent to a list that is chosen from: the keys such a list understands, and a screen from which
 * {@link Lent.giveBack} wipes what was drawn. The list may hide the cursor; whatever happens, it is shown again.
 */
export class Lent {
  readonly stdin: KeyStream = new KeyStream();
  readonly stdout: Screen;
  readonly #terminal: Terminal;
  readonly #ended = new AbortController();
  /** The row the cursor is in, counted from where drawing began. */
  #row = 0;
  #hidden = false;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
    this.stdout = new Screen(terminal, (text) => this.#draw(text));
    process.once('exit', this.#showCursor);
  }

  /** Aborted when nobody is there any more to choose. */
  get signal(): AbortSignal {
    return this.#ended.signal;
  }

  /** Hands a key on; `pasting` says that nobody pressed it. */
  press(press: Press, pasting: boolean): void {
    for (const understood of translate(press, pasting)) this.stdin.emit('keypress', ...understood);
  }

  /** Tells the list that nobody is there any more, and shows the cursor at once: the process may be about to end. */
  abandon(): void {
    this.#ended.abort();
    this.#showCursor();
  }

  /** Wipes what was drawn. */
  giveBack(): void {
    process.off('exit', this.#showCursor);
    this.#showCursor();
    this.stdout.destroy();
    this.#terminal.show(`${this.#row > 0 ? `\u001b[${this.#row}A` : ''}\r\u001b[J`);
  }

  readonly #showCursor = (): void => {
    if (this.#hidden) this.#terminal.show('\u001b[?25h');
    this.#hidden = false;
  };

  #draw(text: string): void {
    for (const [found, count, way] of text.matchAll(MOVES)) {
      if (found === '\n') this.#row++;
      else if (way === undefined) this.#hidden = found.endsWith('l');
      else this.#row = Math.max(0, this.#row + Number(count || 1) * (way === 'A' ? -1 : 1));
    }
    this.#terminal.show(this.#terminal.styled ? text : text.replace(STYLES, ''));
  }
}

/** Where nobody else sees to it, `restore` gets a signal that would end the process and leave the terminal as it is. */
export function untilSignal(restore: (signal: NodeJS.Signals) => void): Disposable {
  const free = (['SIGINT', 'SIGTERM', 'SIGHUP'] as const).filter((signal) => process.listenerCount(signal) === 0);
  for (const signal of free) process.once(signal, restore);
  return {
    [Symbol.dispose]: () => {
      for (const signal of free) process.off(signal, restore);
    },
  };
}

/** How many lines Page Up and Page Down move. */
const PAGE = 10;

/** What a list understands of a key. Ctrl+C and Ctrl+D leave it as Esc does, and a paste chooses nothing. */
function translate([text, key]: Press, pasting: boolean): readonly Press[] {
  const name = key.name ?? '';
  if (pasting) return name === 'return' || name === 'enter' ? [typed(' ')] : printable(text, key);
  if (key.ctrl === true) return withCtrl.get(name) ?? [];
  if (name === 'escape') return [plain('escape')];
  if (key.meta === true) return [];
  if (name === 'pageup' || name === 'pagedown') return Array(PAGE).fill(name === 'pageup' ? up : down);
  if (name === 'up' || name === 'down') return [name === 'up' ? up : down];
  if (name === 'enter') return [plain('return')];
  if (name === 'return' || name === 'backspace') return [plain(name)];
  return printable(text, key);
}

function printable(text: string | undefined, key: Key): readonly Press[] {
  return text === undefined || key.ctrl === true || /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(text) ? [] : [typed(text)];
}

function plain(name: string): Press {
  return [undefined, { name, sequence: '' }];
}

function typed(text: string): Press {
  return [text, { ...(text === ' ' && { name: 'space' }), sequence: text }];
}

/** With Meta, the readline that a list of clack's has for its filter takes them for nothing: without, it fetches lines of its history. */
const up: Press = [undefined, { name: 'up', meta: true, sequence: '' }];
const down: Press = [undefined, { name: 'down', meta: true, sequence: '' }];

const withCtrl: ReadonlyMap<string, readonly Press[]> = new Map([
  ['c', [plain('escape')]],
  ['d', [plain('escape')]],
  ['g', [plain('escape')]],
  ['j', [plain('return')]],
  ['n', [down]],
  ['p', [up]],
  ['h', [plain('backspace')]],
  ['u', [[undefined, { name: 'u', ctrl: true, sequence: '' }]]],
  ['w', [[undefined, { name: 'w', ctrl: true, sequence: '' }]]],
]);

/** For how many milliseconds an Esc may be the beginning of another key; Node's own half a second is felt. */
const ESCAPE_TIME = 100;

/**
 * Opens readline on stdin. On a terminal it writes through `show` and hears no key by itself, but those that `type` gives it: somebody stands
 * between.
 */
export function openReadline(
  terminal: Terminal,
  show: (text: string) => void,
): { readline: Interface; type: ((...press: Press) => void) | undefined } {
  const { stdin } = terminal.streams;
  const crlfDelay = Number.POSITIVE_INFINITY;
  if (!terminal.interactive) {
    return { readline: createInterface({ input: stdin, terminal: false, historySize: 0, crlfDelay }), type: undefined };
  }
  const others = stdin.listeners('keypress');
  const readline = createInterface({
    input: stdin,
    output: new Screen(terminal, show),
    terminal: true,
    historySize: 1000,
    crlfDelay,
    escapeCodeTimeout: ESCAPE_TIME,
  });
  const own = stdin.listeners('keypress').find((listener) => !others.includes(listener)) as (...press: Press) => void;
  stdin.off('keypress', own);
  return { readline, type: own };
}

/** The lines that readline keeps for its arrow keys: its own list, newest first. */
export function historyOf(readline: Interface | undefined): string[] {
  return (readline as (Interface & { history?: string[] }) | undefined)?.history ?? [];
}

/** Drops what stands in the line of a readline. */
export function emptyLine(readline: Interface): void {
  readline.write(null, { ctrl: true, name: 'e' });
  readline.write(null, { ctrl: true, name: 'u' });
}

/** A terminal that understands them says where a paste begins and ends. */
export const pasteMarks: { readonly on: string; readonly off: string } = { on: '\u001b[?2004h', off: '\u001b[?2004l' };

/** Ctrl+C. */
export function isInterrupt(key: Key): boolean {
  return key.ctrl === true && key.name === 'c';
}
