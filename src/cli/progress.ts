import type { Terminal } from './terminal.ts';

/** Shows on a terminal how far something long has come, in one line that {@link end} wipes. Where there is no terminal it shows nothing. */
export class Progress {
  readonly #terminal: Terminal;
  readonly #doing: string;
  #shown = false;

  /** `doing` is a phrase as `resealing`. */
  constructor(terminal: Terminal, doing: string) {
    this.#terminal = terminal;
    this.#doing = doing;
  }

  /** Says that `done` of `total` are done. */
  show(done: number, total: number): void {
    if (!this.#terminal.interactive || total === 0) return;
    this.#terminal.show(`\r${this.#doing} ${done} of ${total}`);
    this.#shown = true;
  }

  /** Wipes the line. */
  end(): void {
    if (this.#shown) this.#terminal.show('\r\u001b[K');
    this.#shown = false;
  }
}
