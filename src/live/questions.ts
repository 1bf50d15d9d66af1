import type { Approve } from '../chat/tools/toolbox.ts';
import { CofferError } from '../errors.ts';
import type { Session } from '../session/session.ts';
import type { LiveEvent } from './live.ts';
import { type Answers, answers, type Inquiry, type Question } from './question.ts';

/** An open question, and who waits for its answer. */
interface Open {
  readonly question: Question;
  settle(answer: string | undefined): void;
}

/** The open questions of a live session: the first answer wins, and later ones are refused. */
export class Questions {
  readonly #open: Map<number, Open> = new Map();
  readonly #publish: (event: LiveEvent) => void;
  #unrecorded = 0;

  constructor(publish: (event: LiveEvent) => void) {
    this.#publish = publish;
  }

  get open(): readonly Question[] {
    return [...this.#open.values()].map(({ question }) => question);
  }

  /**
   * Asks the clients. `ask` is the id of the event that recorded the question, if one did. Resolves
   * to undefined once `signal` is aborted.
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

  /**
   * Answers a question. Throws `NO_ASK` if none with that key is open, and `USAGE` for an answer
   * that its kind doesn't have.
   */
  answer(ask: number, answer: string): void {
    const open = this.#open.get(ask);
    if (open === undefined)
      throw new CofferError('NO_ASK', 'no such question is open', { advice: 'it may be answered already' });
    const valid: readonly string[] = answers[open.question.kind];
    if (!valid.includes(answer)) {
      throw new CofferError('USAGE', `"${answer}" does not answer this question`, {
        advice: `answers are ${valid.join(', ')}`,
      });
    }
    open.settle(answer);
  }
}

/** Asks the clients of a session for approvals, which the session has recorded as events. */
export function approver(session: Session, questions: Questions): Approve {
  return async (request, signal) => {
    const asked = session.events.findLast(
      (event) => event.type === 'approval-asked' && event['toolCallId'] === request.toolCallId,
    );
    return (await questions.ask({ kind: 'approval', request }, signal, asked?.id)) ?? 'deny';
  };
}
