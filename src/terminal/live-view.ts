import { randomUUID } from 'node:crypto';
import { type CofferError, isCofferError } from '../errors.ts';
import type { Live, LiveEvent } from '../live/live.ts';
import type { Question } from '../live/question.ts';
import type { Input } from './input/input.ts';
import { describeNotice, saidBy } from './notices.ts';
import type { ReplyWriter, Terminal } from './output/terminal.ts';
import { askUser } from './questions.ts';

type CallEnd = Extract<LiveEvent, { type: 'call-end' }>;
type Idle = Extract<LiveEvent, { type: 'idle' }>;

/**
 * The view of a live session on the terminal: replies on stdout, everything else on stderr. Asks
 * the user the session's questions, and sends the answers.
 */
export class LiveView {
  readonly #live: Live;
  readonly #terminal: Terminal;
  readonly #input: Input;
  readonly #closed = new AbortController();
  readonly #idle: Map<string, (idle: Idle) => void> = new Map();
  /** Resolves when the session has ended; rejects with a fault of the program. */
  readonly #shown: Promise<void>;
  readonly #questions: Map<number, AbortController> = new Map();
  #reply: ReplyWriter | undefined;
  #hasToldUnattended = false;

  constructor(live: Live, { terminal, input }: { readonly terminal: Terminal; readonly input: Input }) {
    this.#live = live;
    this.#terminal = terminal;
    this.#input = input;
    const events = live.events(undefined, this.#closed.signal);
    this.#shown = this.#showAll(events);
    this.#shown.catch(() => undefined); // `prompt` rethrows it
  }

  /**
   * Sends a prompt, and resolves when its reply has been shown. Returns the error that the prompt
   * failed with, if any, which was already shown. A cancelled prompt is not a failure.
   */
  async prompt(text: string): Promise<CofferError | undefined> {
    const tag = randomUUID();
    const { promise, resolve } = Promise.withResolvers<Idle>();
    this.#idle.set(tag, resolve);
    // The outcome is in the `idle` event, even if the prompt was not sent.
    void this.#live.send({ type: 'SendMessage', text, tag }).catch(() => undefined);
    const idle = await Promise.race([promise, this.#shown]);
    this.#idle.delete(tag);
    return idle === undefined || isCofferError(idle.error, 'CANCELLED') ? undefined : idle.error;
  }

  /** Cancels the running turn, if there is one. */
  cancel(): void {
    void this.#live.send({ type: 'Cancel' }).catch(() => undefined); // the turn ended first
  }

  /** Stops showing the session, which keeps running. */
  close(): void {
    this.#closed.abort();
  }

  async #showAll(events: AsyncIterable<LiveEvent>): Promise<void> {
    for await (const event of events) await this.#show(event);
  }

  async #show(event: LiveEvent): Promise<void> {
    const terminal = this.#terminal;
    switch (event.type) {
      case 'delta':
        this.#reply ??= await terminal.startReply();
        this.#reply.push(event.text);
        return;
      case 'thinking':
        if (terminal.interactive) terminal.tell('thinking');
        return;
      case 'recorded':
        if (event.event.type === 'message') this.#endReply();
        return;
      case 'call-end':
        this.#showCall(event);
        return;
      case 'ask':
        void this.#ask(event.question);
        return;
      case 'ask-over':
        this.#questions.get(event.ask)?.abort();
        return;
      case 'notice':
        for (const line of describeNotice(event.notice)) terminal.tell(line);
        return;
      case 'idle':
        this.#endReply();
        for (const line of describeEnd(event)) terminal.tell(line);
        this.#idle.get(event.tag)?.(event);
        return;
      default:
        return; // `call`, `lagged`, `rewritten` and `bye` are not shown
    }
  }

  #endReply(): void {
    this.#reply?.end();
    this.#reply = undefined;
  }

  #showCall(end: CallEnd): void {
    this.#terminal.tell(describeCall(end));
    if (!end.unattended || end.outcome !== 'denied' || this.#hasToldUnattended) return;
    this.#hasToldUnattended = true;
    this.#terminal.tell(
      'no user is present to allow it; set permissions.allow in the settings to allow tools without asking',
    );
  }

  async #ask(question: Question): Promise<void> {
    const over = new AbortController();
    this.#questions.set(question.ask, over);
    const { ask } = question;
    try {
      const on = { terminal: this.#terminal, input: this.#input };
      const answer = await askUser(question, on, over.signal);
      if (over.signal.aborted) return;
      if (answer !== undefined) await this.#live.send({ type: 'AnswerQuestion', ask, answer });
      else if (question.kind === 'approval') this.cancel();
      else await this.#live.send({ type: 'AnswerQuestion', ask, answer: 'no' });
    } catch (error) {
      if (!isCofferError(error, 'NO_ASK')) throw error; // another client was faster
    } finally {
      this.#questions.delete(ask);
    }
  }
}

function describeEnd({ outcome, text, error }: Idle): string[] {
  if (outcome === 'cancelled') return [text ? 'cancelled; partial reply kept' : 'cancelled'];
  if (error === undefined) return [];
  if (outcome !== 'unsent') return [error.message, ...saidBy(error)];
  return [error.code === 'CANCELLED' ? 'cancelled; prompt not sent' : `prompt not sent: ${error.message}`];
}

/** Describes a call in one line: the tool, the subject, and the outcome unless it completed. */
function describeCall({ call, outcome, reason = '' }: CallEnd): string {
  const subject = subjectOf(call.input);
  const what = subject === '' ? call.toolName : `${call.toolName} ${subject}`;
  if (outcome === 'completed') return what;
  return `${what}: ${outcome === 'failed' ? cut(reason) : outcome}`;
}

function subjectOf(input: unknown): string {
  const values = typeof input === 'object' && input !== null ? Object.values(input) : [];
  const named = ['command', 'path', 'pattern', 'query'].map((name) => Reflect.get(Object(input), name));
  const subject = [...named, ...values].find((value) => typeof value === 'string') ?? '';
  return cut(subject.trim());
}

function cut(text: string): string {
  const [line = '', ...more] = text.split('\n');
  return line.length > 100 || more.length > 0 ? `${line.slice(0, 99)}…` : line;
}
