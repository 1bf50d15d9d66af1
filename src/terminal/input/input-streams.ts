import { createInterface, type Interface, type Key } from 'node:readline';
import { Readable, Writable } from 'node:stream';
import type { Terminal } from '../output/terminal.ts';

/** A key as readline decodes it: the text it types, if any, and its name. */
export type Press = readonly [text: string | undefined, key: Key];

/** The first character of an escape sequence. */
const ESC = '\u001b';

/** Matches output that moves the cursor by rows, or hides or shows it. */
const MOVES = new RegExp(`\\n|${ESC}\\[(\\d*)([AB])|${ESC}\\[\\?25[hl]`, 'g');

/** Matches output that sets styles. */
const STYLES = new RegExp(`${ESC}\\[[\\d;]*m`, 'g');

/** The size assumed for a terminal that doesn't report one. */
export const usualSize: { readonly columns: number; readonly rows: number } = { columns: 80, rows: 24 };

/**
 * An output stream to draw on the terminal with. It has the terminal's size, and passes everything
 * written to `show`.
 */
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

/**
 * An input stream of decoded keys, emitted as `keypress` events. Its raw mode is that of the real
 * stdin, so `setRawMode` does nothing.
 */
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
 * The terminal as lent to a selection list. `stdin` emits only keys that such a list understands;
 * {@link Lent.giveBack} wipes what was drawn on `stdout`. If the list hides the cursor, it is shown
 * again however the list ends.
 */
export class Lent {
  readonly stdin: KeyStream = new KeyStream();
  readonly stdout: Screen;
  readonly #terminal: Terminal;
  readonly #ended = new AbortController();
  /** The cursor's row, relative to the row in which drawing began. */
  #row = 0;
  #hidden = false;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
    this.stdout = new Screen(terminal, (text) => this.#draw(text));
    process.once('exit', this.#showCursor);
  }

  /** Aborted when the input has ended. */
  get signal(): AbortSignal {
    return this.#ended.signal;
  }

  /** Passes a key to the list. `pasting`: whether it is part of a paste. */
  press(press: Press, pasting: boolean): void {
    for (const understood of translate(press, pasting)) this.stdin.emit('keypress', ...understood);
  }

  /** Aborts {@link signal}, and shows the cursor now, because the process may be about to exit. */
  abandon(): void {
    this.#ended.abort();
    this.#showCursor();
  }

  /** Wipes what was drawn, and shows the cursor. */
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

/**
 * Calls `restore` on SIGINT, SIGTERM and SIGHUP, each only if it has no other listener: it would
 * then end the process without restoring the terminal. Disposing the result removes the listeners.
 */
export function untilSignal(restore: (signal: NodeJS.Signals) => void): Disposable {
  const free = (['SIGINT', 'SIGTERM', 'SIGHUP'] as const).filter((signal) => process.listenerCount(signal) === 0);
  for (const signal of free) process.once(signal, restore);
  return {
    [Symbol.dispose]: () => {
      for (const signal of free) process.off(signal, restore);
    },
  };
}

/** Lines that Page Up and Page Down move by. */
const PAGE = 10;

/**
 * Translates a key into keys that a list understands. Ctrl+C and Ctrl+D leave the list, as Esc
 * does. A paste never chooses.
 */
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

// With Meta set, clack's readline ignores these keys. Otherwise it would recall lines of its
// history.
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

/**
 * How long, in milliseconds, an Esc may still be the beginning of another key. Node's default of
 * 500 is noticeable.
 */
const ESCAPE_TIME = 100;

/**
 * Opens readline on stdin. On a terminal, it writes through `show` and receives only the keys that
 * are passed to `type`, so that the caller can filter them.
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

/**
 * Returns the lines that readline recalls with its arrow keys, newest first. The array is
 * readline's own: changing it changes the history.
 */
export function historyOf(readline: Interface | undefined): string[] {
  return (readline as (Interface & { history?: string[] }) | undefined)?.history ?? [];
}

/** Clears the current line of a readline. */
export function emptyLine(readline: Interface): void {
  readline.write(null, { ctrl: true, name: 'e' });
  readline.write(null, { ctrl: true, name: 'u' });
}

/** The sequences that turn bracketed paste on and off. With it, terminals mark each paste. */
export const pasteMarks: { readonly on: string; readonly off: string } = { on: '\u001b[?2004h', off: '\u001b[?2004l' };

/** Returns whether a key is Ctrl+C. */
export function isInterrupt(key: Key): boolean {
  return key.ctrl === true && key.name === 'c';
}
