import { CofferError, isCofferError } from '../errors.ts';
import type { Message, NewEvent, Usage } from '../session/event.ts';
import type { Session } from '../session/session.ts';
import type { ChatModel, ReplyPart } from './reply.ts';

/** Told what arrives, in order. What these throw ends the turn as it is: recorded like a break, then thrown on. */
export interface TurnEvents {
  onText(delta: string): void;
  onReasoning?(delta: string): void;
}

/** How a turn ended. `text` is what arrived of the reply; `error` is there where it failed. */
export interface TurnResult {
  outcome: 'completed' | 'cancelled' | 'failed';
  text: string;
  error?: CofferError;
}

/** What a turn may be told beside its words. */
export interface TurnOptions {
  /** How many messages are sent at most, the newest; at least 1. All are recorded whatever it says. */
  maxMessages?: number | undefined;
  /** Milliseconds between two saves of a reply that is still arriving; 30,000 unless given. */
  saveInterval?: number | undefined;
}

/** What a turn needs of a session. */
export type TurnSession = Pick<Session, 'record' | 'saveDraft' | 'draft' | 'state'>;

/**
 * Takes one turn: records what the user says as a step, asks the model, and records the reply and what
 * it used as a second step. While the reply arrives, `session.draft` is what a final save would add.
 * A reply that breaks or is cancelled by `signal` is recorded as far as it came, marked `partial`, a
 * break with its `error` event beside it; where nothing came, no message is recorded. Resolves for
 * every outcome of the model's; steps that could not be saved are told by `session.unsaved`. Throws
 * RangeError for `maxMessages` or `saveInterval` below 1.
 */
export async function turn(
  session: TurnSession,
  model: ChatModel,
  text: string,
  events: TurnEvents,
  signal: AbortSignal,
  options: TurnOptions = {},
): Promise<TurnResult> {
  const { maxMessages = Number.POSITIVE_INFINITY, saveInterval = 30_000 } = options;
  if (!(maxMessages >= 1)) throw new RangeError('maxMessages is at least 1');
  if (!(saveInterval >= 1)) throw new RangeError('saveInterval is at least 1 ms');
  await session.record({ type: 'message', message: { role: 'user', content: text } });
  const arriving = new ArrivingReply(session, model.name, saveInterval);
  try {
    for await (const part of model.reply(newest(session.state.messages, maxMessages), signal)) {
      arriving.take(part);
      if (part.type === 'text') events.onText(part.text);
      if (part.type === 'reasoning') events.onReasoning?.(part.text);
    }
  } catch (error) {
    if (signal.aborted && isCofferError(error, 'CANCELLED')) return await arriving.breakOff('cancelled');
    if (isCofferError(error)) return await arriving.breakOff('failed', error);
    await arriving.breakOff('failed');
    throw error;
  }
  return await arriving.complete();
}

/** The newest messages, beginning with one of the user's as every protocol wants it, and the system's before them. */
function newest(messages: readonly Message[], count: number): Message[] {
  const others = messages.filter(({ role }) => role !== 'system');
  const sent = others.slice(-Math.min(count, others.length));
  const first = sent.findIndex(({ role }) => role === 'user');
  return [...messages.filter(({ role }) => role === 'system'), ...sent.slice(first)];
}

/** A reply on its way into a session: the draft first, saved at intervals, then the step it becomes. */
class ArrivingReply {
  text = '';
  #reasoning = '';
  #usage: Usage | undefined;
  readonly #session: TurnSession;
  readonly #model: string;
  readonly #interval: number;
  #timer: NodeJS.Timeout | undefined;
  #savedAt = Date.now();
  #saving: Promise<void> | undefined;

  constructor(session: TurnSession, model: string, interval: number) {
    this.#session = session;
    this.#model = model;
    this.#interval = interval;
  }

  get #empty(): boolean {
    return this.text === '' && this.#reasoning === '';
  }

  take(part: ReplyPart): void {
    if (part.type === 'finish') {
      this.#usage = part.usage;
      return;
    }
    if (part.type === 'text') this.text += part.text;
    else this.#reasoning += part.text;
    this.#session.draft = { ...this.#message(), partial: true };
    this.#timer ??= setTimeout(() => this.#saveDraft(), Math.max(0, this.#savedAt + this.#interval - Date.now()));
  }

  async complete(): Promise<TurnResult> {
    const used = this.#usage === undefined ? [] : [{ type: 'usage', model: this.#model, usage: this.#usage } as const];
    if (this.#empty) {
      const advice = 'ask again or choose another with /model';
      const error = new CofferError('MODEL_FAILED', `${this.#model} sent an empty reply: ${advice}`);
      await this.#record([...used, faultOf(error)]);
      return { outcome: 'failed', text: '', error };
    }
    await this.#record([this.#message(), ...used]);
    return { outcome: 'completed', text: this.text };
  }

  async breakOff(outcome: 'cancelled' | 'failed', error?: CofferError): Promise<TurnResult> {
    const said = this.#empty ? [] : [{ ...this.#message(), partial: true } as const];
    const fault = error === undefined ? [] : [faultOf(error)];
    await this.#record([...said, ...fault]);
    return { outcome, text: this.text, ...(error === undefined ? {} : { error }) };
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

  #message(): Extract<NewEvent, { type: 'message' }> {
    const { text } = this;
    const thought = this.#reasoning === '' ? [] : [{ type: 'reasoning', text: this.#reasoning } as const];
    const said = text === '' ? [] : [{ type: 'text', text } as const];
    const content = thought.length === 0 ? text : [...thought, ...said];
    return { type: 'message', message: { role: 'assistant', content }, model: this.#model };
  }
}

function faultOf({ code, message }: CofferError): NewEvent {
  return { type: 'error', code, message };
}
