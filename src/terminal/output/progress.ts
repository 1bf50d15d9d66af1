import type { Terminal } from './terminal.ts';
import { cut } from './width.ts';

/** Width of the bar, in columns. */
const CELLS = 20;

/**
 * A progress line on a terminal, which {@link Progress.end} wipes. Shows nothing if there is no
 * terminal, or if it can't wipe a line. To print something else meanwhile, call `end` first and
 * `show` afterwards.
 */
export class Progress {
  readonly #terminal: Terminal;
  readonly #doing: string;
  #line = '';

  /** `doing` is a phrase such as `resealing`. */
  constructor(terminal: Terminal, doing: string) {
    this.#terminal = terminal;
    this.#doing = doing;
  }

  /** Shows that `done` of `total` are done. */
  show(done: number, total: number): void {
    if (!this.#terminal.interactive || this.#terminal.dumb || total === 0) return;
    const full = Math.min(CELLS, Math.floor((done / total) * CELLS));
    const bar = '█'.repeat(full) + '░'.repeat(CELLS - full);
    // Leave the last column free: a line that wraps can't be wiped.
    this.#draw(cut(`${this.#doing} ${done} of ${total} ${bar}`, (this.#terminal.ui.columns || 80) - 1));
  }

  /** Wipes the line. */
  end(): void {
    if (this.#line !== '') this.#terminal.show('\r\u001b[K');
    this.#line = '';
  }

  #draw(line: string): void {
    if (line !== this.#line) this.#terminal.show(`\r${line}\u001b[K`);
    this.#line = line;
  }
}
