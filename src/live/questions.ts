import type { Approve } from '../chat/tools/toolbox.ts';
import { CofferError } from '../errors.ts';
import type { Session } from '../session/session.ts';
import type { LiveEvent } from './live.ts';
import { type Answers, answers, type Inquiry, type Question } from './question.ts';

/** An open question, and the function that settles it. */
interface Open {
  readonly question: Question;
  settle(answer: string | undefined): void;
}

/** The open questions of a live session. The first answer wins; later ones are rejected. */
export class Questions {
  readonly #open: Map<number, Open> = new Map();
  readonly #publish: (event: LiveEvent) => void;
  #unrecorded = 0;

  constructor(publish: (event: LiveEvent) => void) {
    this.#publish = publish;
  }

  /** The open questions, oldest first. */
  get open(): readonly Question[] {
    return [...this.#open.values()].map(({ question }) => question);
  }

  /**
   * Asks the clients, and resolves to the first answer, or to undefined once `signal` is aborted.
   * `ask` is the id of the event that recorded the question. Default: a new negative number, for a
   * question that isn't recorded.
   */
  async ask<K extends Inquiry['kind']>(
    inquiry: Extract<Inquiry, { kind: K }>,
    signal: AbortSignal | undefined,
    ask: number = --this.#unrecorded,
  ): Promise<Answers[K] | undefined> {
    if (signal?.aborted) return undefined;
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    const settle = (answer: string | undefined): void => {
      signal?.removeEventListener('abort', cancel);
      this.#open.delete(ask);
      this.#publish({ type: 'ask-over', ask, answer });
      resolve(answer);
    };
    const cancel = (): void => settle(undefined);
    signal?.addEventListener('abort', cancel, { once: true });
    const question: Question = { ask, ...inquiry };
    this.#open.set(ask, { question, settle });
    this.#publish({ type: 'ask', question });
    return (await promise) as Answers[K] | undefined;
  }

  /** Settles every open question without an answer. */
  withdraw(): void {
    for (const { settle } of [...this.#open.values()]) settle(undefined);
  }

  /**
   * Answers a question. Throws `NO_ASK` if no question with that key is open, and `USAGE` if the
   * answer isn't valid for its kind.
   */
  answer(ask: number, answer: string): void {
    const open = this.#open.get(ask);
    if (open === undefined) {
      throw new CofferError('NO_ASK', 'this question is not open', { advice: 'it may have been answered already' });
    }
    const valid: readonly string[] = answers[open.question.kind];
    if (!valid.includes(answer)) {
      throw new CofferError('USAGE', `"${answer}" is not an answer to this question`, {
        advice: `valid answers are ${valid.join(', ')}`,
      });
    }
    open.settle(answer);
  }
}

/**
 * Returns a function that asks a session's clients for approval. Each question has the key of its
 * `approval-asked` event. No answer means `deny`.
 */
export function approver(session: Session, questions: Questions): Approve {
  return async (request, signal) => {
    const asked = session.events.findLast(
      (event) => event.type === 'approval-asked' && event['toolCallId'] === request.toolCallId,
    );
    return (await questions.ask({ kind: 'approval', request }, signal, asked?.id)) ?? 'deny';
  };
}
