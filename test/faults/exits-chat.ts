import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Place } from '../support/coffer.ts';
import type { Ending, Terminal } from '../support/pty.ts';

const PROGRAM = join(import.meta.dirname, '..', '..', 'src', 'cli', 'main.ts');
const PATIENCE = 20_000;

/** A running coffer, on a terminal or on pipes. */
export interface Chat extends AsyncDisposable {
  readonly pid: number;
  readonly exit: Promise<Ending>;
  enter(line: string): void;
  waitFor(pattern: RegExp): Promise<unknown>;
  kill(signal: NodeJS.Signals): void;
}

/** coffer without a terminal, its standard input a pipe that stays open until {@link endInput}. */
export class Piped implements Chat {
  readonly exit: Promise<Ending>;
  readonly #child: ChildProcess;
  readonly #watchers = new Set<() => void>();
  #text = '';
  #seen = 0;

  constructor(place: Place, args: readonly string[], env: Record<string, string>) {
    const { COFFER_KEY_FD: _, ...others } = place.env;
    this.#child = spawn(process.execPath, [PROGRAM, ...args], {
      cwd: place.project,
      env: { ...others, CREDENTIALS_DIRECTORY: place.credentials, ...env },
      stdio: 'pipe',
    });
    this.exit = once(this.#child, 'close').then(([code, signal]) => ({ code, signal }));
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#text += text;
        for (const look of [...this.#watchers]) look();
      });
    }
  }

  get pid(): number {
    return this.#child.pid!;
  }

  enter(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  endInput(): void {
    this.#child.stdin?.end();
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async waitFor(pattern: RegExp): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const look = (): void => {
      const found = this.#text.slice(this.#seen).match(pattern);
      if (!found) return;
      this.#seen += (found.index ?? 0) + found[0].length;
      resolve();
    };
    const timer = setTimeout(() => reject(new Error(`${pattern} did not come:\n${this.#text}`)), PATIENCE);
    this.#watchers.add(look);
    look();
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      this.#watchers.delete(look);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.exit;
  }
}

/** The state of a terminal after the program on it has ended. */
export class TerminalMode implements Disposable {
  readonly #stty: ChildProcess;

  /** Keeps the terminal open by passing its master to a helper process. */
  constructor(terminal: Terminal) {
    const number = /pts\/(\d+)$/.exec(readlinkSync(`/proc/${terminal.pid}/fd/0`))?.[1];
    const master = readdirSync('/proc/self/fdinfo').find((fd) => indexOf(fd) === number);
    if (number === undefined || master === undefined) throw new Error('terminal not found');
    const watch = 'read _; exec stty -a <&3';
    this.#stty = spawn('sh', ['-c', watch], { stdio: ['pipe', 'pipe', 'inherit', Number(master)] });
  }

  /**
   * Returns whether the terminal is as a shell wants it: lines, echo, and keys that send signals.
   */
  async isGivenBack(): Promise<boolean> {
    let shown = '';
    this.#stty.stdout?.setEncoding('utf8').on('data', (text: string) => {
      shown += text;
    });
    this.#stty.stdin?.end('\n');
    await once(this.#stty, 'close');
    return ['icanon', 'echo', 'isig'].every((mode) => new RegExp(`(?<!-)\\b${mode}\\b`).test(shown));
  }

  [Symbol.dispose](): void {
    this.#stty.kill('SIGKILL');
  }
}

/** Returns the number of the terminal whose master is this descriptor of this process. */
function indexOf(fd: string): string | undefined {
  try {
    return /^tty-index:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1];
  } catch {
    return undefined; // it was the descriptor that listed the folder
  }
}
