import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

/** Time a flush is held, in milliseconds. The end of the chat must come within it. */
const HELD_MS = 1000;

/**
 * Holds the next flush of a process for a second, so that something can happen to it while a save
 * is under way. Must be made before the process gets its terminal: processes started later inherit
 * a copy of the terminal's master, which then could not be closed any more.
 */
export class Hold implements AsyncDisposable {
  readonly #strace: ChildProcess;
  readonly #ended: Promise<unknown>;
  readonly #watchers = new Set<() => void>();
  #text = '';
  #pid: number | undefined;
  /** The thread whose flush is held. */
  #held: string | undefined;

  constructor() {
    const inject = `inject=fsync,fdatasync:delay_enter=${HELD_MS * 1000}:when=1`;
    const args = ['strace', '-f', '-e', 'trace=fsync,fdatasync', '-e', 'signal=none', '-e', inject, '-p'];
    const waiting = ['-c', 'read -r pid && exec "$@" "$pid"', 'sh', ...args];
    this.#strace = spawn('sh', waiting, { stdio: ['pipe', 'ignore', 'pipe'] });
    this.#ended = once(this.#strace, 'close').then(() => this.#wake());
    this.#strace.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#text += text;
      this.#wake();
    });
  }

  /** Attaches to a process: from now on the first flush of each of its threads is held. */
  async attach(pid: number): Promise<void> {
    this.#pid = pid;
    this.#strace.stdin?.write(`${pid}\n`);
    await this.#until(/attached/);
  }

  /**
   * Resolves when a flush is held: in the pool, while the process continues, or on its main thread,
   * which then stops (it flushes there after making a folder).
   */
  async reached(where: 'pool' | 'main' = 'pool'): Promise<void> {
    const thread = where === 'main' ? String(this.#pid) : `(?!${this.#pid}\\b)\\d+`;
    const [, held = ''] = await this.#until(new RegExp(`\\[pid +(${thread})\\] f(?:data)?sync\\(`));
    this.#held = held;
  }

  /** Whether a flush was reached and has been released by now. */
  get isOver(): boolean {
    if (this.#held === undefined) return false;
    return new RegExp(`\\[pid +${this.#held}\\] (?:<\\.\\.\\. )?f(?:data)?sync[^\\n]*= `).test(this.#text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#strace.kill();
    await this.#ended;
  }

  async #until(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.#text);
      if (found) return found;
      if (this.#strace.exitCode !== null) throw new Error(`strace ended before ${pattern}: ${this.#text}`);
      await new Promise<void>((resolve) => this.#watchers.add(resolve));
    }
  }

  #wake(): void {
    for (const watcher of this.#watchers) watcher();
    this.#watchers.clear();
  }
}
