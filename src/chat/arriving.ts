import { CofferError } from '../errors.ts';
import type { NewEvent, Part, ProviderOptions, Usage } from '../session/event/event.ts';
import type { Session } from '../session/session.ts';
import type { ReplyPart } from './reply.ts';

/** The members of a session that {@link ArrivingReply} uses. */
export type ReplySession = Pick<Session, 'record' | 'saveDraft' | 'draft' | 'state'>;

/** A tool call requested by a model. */
export type Call = Extract<Part, { type: 'tool-call' }> & { input: unknown };

type Block = Extract<Part, { type: 'text' | 'reasoning' }>;

/**
 * The outcome of a reply. `text` is the text received so far; `error` is set if the reply failed;
 * `calls` is empty unless the reply completed.
 */
export interface Arrived {
  readonly outcome: 'completed' | 'cancelled' | 'failed';
  readonly text: string;
  readonly error?: CofferError;
  readonly calls: readonly Call[];
}

/**
 * Collects a reply while it arrives: first as the session's draft, saved at intervals, then as a
 * recorded step. A draft never contains tool calls, nor does a reply that was cut short: they were
 * never run and would have no result.
 */
export class ArrivingReply {
  text = '';
  #hasReasoning = false;
  readonly #parts: (Block | Call)[] = [];
  #usage: Usage | undefined;
  #reason: string | undefined;
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

  /** Whether nothing worth recording has arrived. */
  get isEmpty(): boolean {
    return this.text === '' && !this.#hasReasoning;
  }

  get #blocks(): Block[] {
    return this.#parts.filter((part) => part.type !== 'tool-call');
  }

  /** Adds a part of the reply to the draft. */
  take(part: ReplyPart): void {
    if (part.type === 'wait') return;
    if (part.type === 'finish') {
      this.#usage = part.usage;
      this.#reason = part.reason;
      return;
    }
    if (part.type === 'tool-call') {
      this.#parts.push({ ...part, toolCallId: this.#newId(part.toolCallId) });
      return;
    }
    this.#extend(part);
    if (part.text === '') return;
    if (part.type === 'text') this.text += part.text;
    else this.#hasReasoning = true;
    this.#session.draft = { ...this.#message(this.#blocks), partial: true };
    this.#timer ??= setTimeout(() => this.#saveDraft(), Math.max(0, this.#savedAt + this.#interval - Date.now()));
  }

  /** Records the finished reply. It fails if it is empty or was cut off. */
  async complete(): Promise<Arrived> {
    const used = this.#usage === undefined ? [] : [{ type: 'usage', model: this.#model, usage: this.#usage } as const];
    const calls = this.#parts.filter((part) => part.type === 'tool-call');
    const cut = this.#cutOff();
    if (cut !== undefined) return await this.breakOff('failed', cut, used);
    if (this.text.trim() === '' && !this.#hasReasoning && calls.length === 0) {
      const advice = 'ask again or choose another model with /model';
      const error = new CofferError('MODEL_FAILED', `${this.#model} sent an empty reply`, { advice });
      return await this.breakOff('failed', error, used);
    }
    await this.#record([this.#message(this.#parts), ...used]);
    return { outcome: 'completed', text: this.text, calls };
  }

  /** Records the text received so far as a partial message, with its usage and the error. */
  async breakOff(
    outcome: 'cancelled' | 'failed',
    error?: CofferError,
    used: readonly NewEvent[] = [],
  ): Promise<Arrived> {
    const said = this.isEmpty ? [] : [{ ...this.#message(this.#blocks), partial: true } as const];
    const fault = error === undefined ? [] : [faultOf(error)];
    await this.#record([...said, ...used, ...fault]);
    return { outcome, text: this.text, ...(error === undefined ? {} : { error }), calls: [] };
  }

  // The draft is cleared in the same turn of the event loop in which recording starts, so that a
  // final save finds one of the two, never both.
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

  #extend({ type, text, begins, providerOptions }: Extract<ReplyPart, { type: Block['type'] }>): void {
    const last = this.#parts.at(-1);
    if (last?.type !== type || begins) {
      this.#parts.push({ type, text, ...(providerOptions && { providerOptions }) });
      return;
    }
    last.text += text;
    if (providerOptions !== undefined) last.providerOptions = combine(last.providerOptions, providerOptions);
  }

  #message(parts: readonly (Block | Call)[]): Extract<NewEvent, { type: 'message' }> {
    const said = parts.filter((part) => part.type === 'tool-call' || part.text !== '' || part.providerOptions);
    const isPlain = said.every((part) => part.type === 'text' && part.providerOptions === undefined);
    const content = isPlain ? this.text : said;
    return { type: 'message', message: { role: 'assistant', content }, model: this.#model };
  }

  /**
   * Returns an error if the provider ended the reply early. The calls of such a reply are never
   * run.
   */
  #cutOff(): CofferError | undefined {
    if (this.#reason === 'length') return cutOff(this.#model, 'reply');
    if (this.#reason !== 'content-filter') return undefined;
    const advice = 'rephrase it or choose another model with /model';
    return new CofferError('MODEL_REFUSED', `a content filter of ${this.#model} cut off the reply`, { advice });
  }

  /**
   * Returns an id that is unique in the session. Some servers count from 0 in every reply or send
   * no id, but the record refers to calls by id.
   */
  #newId(given: string): string {
    const contents = this.#session.state.messages.map(({ content }): string | readonly Part[] => content);
    const recorded = contents.flatMap((content) => (typeof content === 'string' ? [] : content));
    const used = new Set(
      [...recorded, ...this.#parts].flatMap((part) => ('toolCallId' in part ? part.toolCallId : [])),
    );
    const wanted = given || 'call';
    let id = wanted;
    for (let count = 2; used.has(id); count++) id = `${wanted}-${count}`;
    return id;
  }
}

/**
 * Returns the error for a reply or summary of `model` (`provider/model`) that hit its length limit.
 */
export function cutOff(model: string, what: 'reply' | 'summary'): CofferError {
  const provider = model.slice(0, model.indexOf('/'));
  return new CofferError('LIMIT_REACHED', `the ${what} of ${model} was cut off at its length limit`, {
    advice: `${what === 'reply' ? 'ask for the rest, or raise' : 'raise'} maxOutputTokens of ${provider} in the settings`,
  });
}

function combine(first: ProviderOptions = {}, second: ProviderOptions): ProviderOptions {
  const names = Object.keys({ ...first, ...second });
  return Object.fromEntries(names.map((name) => [name, { ...first[name], ...second[name] }]));
}

/** Returns the event that records an error shown to the user. */
export function faultOf({ code, message }: CofferError): NewEvent {
  return { type: 'error', code, message };
}
