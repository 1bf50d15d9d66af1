import type { Surroundings } from '../../../session/project/project.ts';
import type { Chat } from '../../../terminal/chat.ts';
import type { Terminal } from '../../../terminal/output/terminal.ts';
import { awaitGit, GIT_LIMIT_MS, gitLimit, NOTICE_MS, within } from '../../../terminal/waiting.ts';

/**
 * Finds out which project a chat's directory belongs to: git runs while the rest of the chat
 * starts, and is awaited only if the answer is needed.
 */
export class Looking {
  readonly #terminal: Terminal;
  readonly #directory: string;
  readonly #stop = new AbortController();
  readonly #answer: Promise<Surroundings>;
  readonly #begun = performance.now();
  /** The answer of git, until the chat has received it. */
  #arrived: Surroundings | undefined;

  /** Asks git. */
  constructor(terminal: Terminal, directory: string) {
    this.#terminal = terminal;
    this.#directory = directory;
    this.#answer = look(directory, { limit: gitLimit(terminal), signal: this.#stop.signal });
    this.#answer.catch(() => undefined); // the caller that awaits it gets the error
  }

  /**
   * Returns the answer of git, however long it takes: it decides which session is meant. Throws
   * `FAILED` if git never answers.
   */
  known(): Promise<Surroundings> {
    return awaitGit(this.#terminal, this.#answer);
  }

  /**
   * Returns the answer of git if it arrives within two seconds of the start; otherwise the project
   * isn't known yet.
   */
  async soon(): Promise<Surroundings> {
    const answer = this.#answer.catch(() => undefined); // a new conversation needs no project
    const found = await within(answer, this.#left(NOTICE_MS));
    if (found !== undefined) return found;
    void answer.then((late) => {
      this.#arrived = late;
    });
    const { withoutGit } = await import('../../../session/project/project.ts');
    return withoutGit(this.#directory);
  }

  /** Passes a late answer of git to the chat. Must not be called during a turn. */
  async place(chat: Chat): Promise<void> {
    const arrived = this.#arrived;
    this.#arrived = undefined;
    if (arrived !== undefined) await place(chat, arrived);
  }

  /**
   * Waits for git at the end of a chat that does not know its project yet, up to the limit that
   * holds without a terminal.
   */
  async placeAtEnd(chat: Chat): Promise<void> {
    if (!chat.live.isUnplaced) return;
    const answer = this.#answer.catch(() => undefined); // it ends without a project then
    const late = await awaitGit(this.#terminal, within(answer, this.#left(GIT_LIMIT_MS)));
    if (late !== undefined) await place(chat, late);
  }

  /** Returns what is left of a time limit that began when git was asked, in milliseconds. */
  #left(milliseconds: number): number {
    return Math.max(0, milliseconds - (performance.now() - this.#begun));
  }

  /** Ends git, if it still runs. */
  stop(): void {
    this.#stop.abort();
  }
}

async function look(directory: string, options: { limit: number; signal: AbortSignal }): Promise<Surroundings> {
  const { surroundingsOf } = await import('../../../session/project/project.ts');
  return surroundingsOf(directory, options);
}

async function place({ host, live }: Chat, surroundings: Surroundings): Promise<void> {
  host.place(surroundings);
  await live.place(surroundings);
}
