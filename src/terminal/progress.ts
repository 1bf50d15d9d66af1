import type { Terminal } from './terminal.ts';
import { cut } from './width.ts';

/** How many cells the bar has. */
const CELLS = 20;

/**
 * Shows on a terminal how far something long has come, in one line that {@link Progress.end} wipes. Where there is no terminal, or one that
 * can't wipe a line, it shows nothing. Whoever prints meanwhile ends it first, and shows it again.
 */
export class Progress {
  readonly #terminal: Terminal;
  readonly #doing: string;
  #line = '';

  /** `doing` is a phrase as `resealing`. */
  constructor(terminal: Terminal, doing: string) {
    this.#terminal = terminal;
    this.#doing = doing;
  }

  /** Says that `done` of `total` are done. */
  show(done: number, total: number): void {
    if (!this.#terminal.interactive || this.#terminal.dumb || total === 0) return;
    const full = Math.min(CELLS, Math.floor((done / total) * CELLS));
    const bar = '█'.repeat(full) + '░'.repeat(CELLS - full);
    // A line that wraps could not be wiped: the last column stays free.
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
