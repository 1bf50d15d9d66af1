import { CofferError } from '../errors.ts';
import type { NewEvent, Part, Usage } from '../session/event.ts';
import type { Session } from '../session/session.ts';
import type { ReplyPart } from './reply.ts';

/** What a reply needs of a session to arrive in it. */
export type ReplySession = Pick<Session, 'record' | 'saveDraft' | 'draft' | 'state'>;

/** What a model wants a tool to do. */
export type Call = Extract<Part, { type: 'tool-call' }> & { input: unknown };

/** How a reply ended. `text` is what arrived of it; `error` is there where it failed; only a whole one has calls. */
export interface Arrived {
  readonly outcome: 'completed' | 'cancelled' | 'failed';
  readonly text: string;
  readonly error?: CofferError;
  readonly calls: readonly Call[];
}

/**
 * A reply on its way into a session: the draft first, saved at intervals, then the step it becomes. Calls are no part of a draft or of a
 * reply that was cut short: they were never run, and would stay without a result.
 */
export class ArrivingReply {
  text = '';
  #reasoning = '';
  readonly #calls: Call[] = [];
  #usage: Usage | undefined;
  readonly #session: ReplySession;
  readonly #model: string;
  readonly #interval: number;
  #timer: NodeJS.Timeout | undefined;
  #savedAt = Date.now();
  #saving: Promise<void> | undefined;

  constructor(session: ReplySession, model: string, interval: number) {
    this.#session = session;
    this.#model = model;
    this.#interval = interval;
  }

  /** Nothing has arrived that anybody would miss. */
  get isEmpty(): boolean {
    return this.text === '' && this.#reasoning === '';
  }

  take(part: ReplyPart): void {
    if (part.type === 'finish') {
      this.#usage = part.usage;
      return;
    }
    if (part.type === 'tool-call') {
      this.#calls.push({ ...part, toolCallId: this.#newId(part.toolCallId) });
      return;
    }
    if (part.type === 'text') this.text += part.text;
    else this.#reasoning += part.text;
    this.#session.draft = { ...this.#message([]), partial: true };
    this.#timer ??= setTimeout(() => this.#saveDraft(), Math.max(0, this.#savedAt + this.#interval - Date.now()));
  }

  async complete(): Promise<Arrived> {
    const used = this.#usage === undefined ? [] : [{ type: 'usage', model: this.#model, usage: this.#usage } as const];
    const calls = this.#calls;
    if (this.isEmpty && calls.length === 0) {
      const advice = 'ask again or choose another with /model';
      const error = new CofferError('MODEL_FAILED', `${this.#model} sent an empty reply: ${advice}`);
      await this.#record([...used, faultOf(error)]);
      return { outcome: 'failed', text: '', error, calls: [] };
    }
    await this.#record([this.#message(calls), ...used]);
    return { outcome: 'completed', text: this.text, calls };
  }

  async breakOff(outcome: 'cancelled' | 'failed', error?: CofferError): Promise<Arrived> {
    const said = this.isEmpty ? [] : [{ ...this.#message([]), partial: true } as const];
    const fault = error === undefined ? [] : [faultOf(error)];
    await this.#record([...said, ...fault]);
    return { outcome, text: this.text, ...(error === undefined ? {} : { error }), calls: [] };
  }

  // No turn of the event loop between the draft's end and the record: a final save finds one of them, never both.
  async #record(events: NewEvent[]): Promise<void> {
    clearTimeout(this.#timer);
    this.#session.draft = undefined;
    if (events.length > 0) await this.#session.record(...events);
    await this.#saving;
  }

  #saveDraft(): void {
    this.#saving = this.#session.saveDraft().finally(() => {
      this.#savedAt = Date.now();
      this.#timer = undefined;
    });
  }

  #message(calls: readonly Call[]): Extract<NewEvent, { type: 'message' }> {
    const { text } = this;
    const thought = this.#reasoning === '' ? [] : [{ type: 'reasoning', text: this.#reasoning } as const];
    const said = text === '' ? [] : [{ type: 'text', text } as const];
    const content = thought.length === 0 && calls.length === 0 ? text : [...thought, ...said, ...calls];
    return { type: 'message', message: { role: 'assistant', content }, model: this.#model };
  }

  /** Some servers count from 0 in every reply, or give none: what is asked, answered and done is found by it in the record. */
  #newId(given: string): string {
    const contents = this.#session.state.messages.map(({ content }): string | readonly Part[] => content);
    const recorded = contents.flatMap((content) => (typeof content === 'string' ? [] : content));
    const used = new Set(
      [...recorded, ...this.#calls].flatMap((part) => ('toolCallId' in part ? part.toolCallId : [])),
    );
    const wanted = given || 'call';
    let id = wanted;
    for (let count = 2; used.has(id); count++) id = `${wanted}-${count}`;
    return id;
  }
}

/** The event of an error that a person was told. */
export function faultOf({ code, message }: CofferError): NewEvent {
  return { type: 'error', code, message };
}
