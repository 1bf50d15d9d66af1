import { constants } from 'node:os';
import { stripVTControlCharacters } from 'node:util';
import { type IPty, spawn } from '@lydell/node-pty';
import { HANGS } from './patience.ts';

/** The end of a program: its exit code, or the signal that ended it. */
export interface Ending {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** The keys that tests press, by their usual names. */
export type Key = 'enter' | 'escape' | 'tab' | 'up' | 'down' | 'ctrl+c' | 'ctrl+d' | 'ctrl+u';

const keys: Record<Key, string> = {
  enter: '\r',
  escape: '\x1b',
  tab: '\t',
  up: '\x1b[A',
  down: '\x1b[B',
  'ctrl+c': '\x03',
  'ctrl+d': '\x04',
  'ctrl+u': '\x15',
};

/**
 * Runs a program on a new pseudo-terminal, as a user would see it. Nothing here sleeps: every wait
 * ends on output, on the program's end, or fails with the screen's content.
 */
export class Terminal implements AsyncDisposable {
  readonly exit: Promise<Ending>;
  readonly #pty: IPty;
  readonly #watchers: Set<() => void> = new Set();
  #text = '';
  #seen = 0;
  #ending: Ending | undefined;

  constructor(file: string, args: readonly string[], options: { cwd: string; env: Record<string, string> }) {
    this.#pty = spawn(file, [...args], { ...options, name: 'xterm-256color', cols: 120, rows: 40 });
    this.#pty.onData((data) => {
      this.#text += data;
      this.#wake();
    });
    this.exit = new Promise((resolve) => {
      this.#pty.onExit(({ exitCode, signal }) => {
        this.#ending = signal ? { code: null, signal: signalName(signal) } : { code: exitCode, signal: null };
        resolve(this.#ending);
        this.#wake();
      });
    });
  }

  /** The end of the program; undefined while it runs. */
  get ending(): Ending | undefined {
    return this.#ending;
  }

  get pid(): number {
    return this.#pty.pid;
  }

  /** Types text as it is; {@link enter} also ends the line. */
  type(text: string): void {
    this.#pty.write(text);
  }

  /** Types a line and presses enter. */
  enter(line: string): void {
    this.#pty.write(`${line}\r`);
  }

  key(key: Key): void {
    this.#pty.write(keys[key]);
  }

  /** Returns everything the program has written so far, byte for byte. */
  raw(): string {
    return this.#text;
  }

  /** Resizes the terminal, as a user does by dragging its corner. */
  resize(columns: number, rows: number): void {
    this.#pty.resize(columns, rows);
  }

  /** Returns everything shown so far, without escape sequences. */
  screen(): string {
    return plain(this.#text);
  }

  /**
   * Resolves as soon as the output after the last match contains `pattern`, and marks it as seen.
   * Rejects with the screen if the program ends first, or nothing matches for {@link HANGS} ms.
   */
  async waitFor(pattern: RegExp): Promise<RegExpMatchArray> {
    const { promise, resolve, reject } = Promise.withResolvers<RegExpMatchArray>();
    const look = (): void => {
      const screen = this.screen();
      const found = screen.slice(this.#seen).match(pattern);
      if (found) {
        this.#seen += (found.index ?? 0) + found[0].length;
        resolve(found);
      } else if (this.#ending) {
        reject(new Error(`ended (${JSON.stringify(this.#ending)}) before ${pattern} was shown:\n${screen}`));
      }
    };
    const timer = setTimeout(() => reject(new Error(`${pattern} was not shown:\n${this.screen()}`)), HANGS);
    this.#watchers.add(look);
    look();
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#watchers.delete(look);
    }
  }

  /** Sends the program a signal, as another process would. */
  kill(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal);
  }

  /**
   * Closes the terminal's window: the program's end of it hangs up, and the kernel sends SIGHUP. A
   * terminal started after this one holds a copy of the master (node-pty doesn't mark it
   * close-on-exec), and must have ended before.
   */
  hangUp(): void {
    // node-pty's destroy() also sends SIGHUP itself; only the closed master shows what the kernel
    // does.
    const master = (this.#pty as unknown as { _socket: { destroy(): void } })._socket;
    master.destroy();
  }

  /** Kills the program if a failed test left it running. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#ending) {
      this.#pty.kill('SIGKILL');
    }
    await this.exit;
  }

  #wake(): void {
    for (const look of [...this.#watchers]) {
      look();
    }
  }
}

/** Removes escape sequences and carriage returns; an incomplete sequence at the end is cut off. */
function plain(text: string): string {
  const start = text.lastIndexOf('\u001b');
  const unfinished = start !== -1 && /^.(?:\[[0-9;?]*)?$/.test(text.slice(start));
  return stripVTControlCharacters(unfinished ? text.slice(0, start) : text).replaceAll('\r', '');
}

function signalName(number: number): NodeJS.Signals {
  const found = Object.entries(constants.signals).find(([, value]) => value === number);
  if (!found) {
    throw new RangeError(`no signal has the number ${number}`);
  }
  return found[0] as NodeJS.Signals;
}
