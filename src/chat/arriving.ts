import { CofferError } from '../errors.ts';
import type { NewEvent, Part, ProviderOptions, Usage } from '../session/event/event.ts';
import type { Session } from '../session/session.ts';
import type { ReplyPart } from './reply.ts';

/** What a reply needs of a session to arrive in it. */
export type ReplySession = Pick<Session, 'record' | 'saveDraft' | 'draft' | 'state'>;

/** What a model wants a tool to do. */
export type Call = Extract<Part, { type: 'tool-call' }> & { input: unknown };

type Block = Extract<Part, { type: 'text' | 'reasoning' }>;

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

  /** Nothing has arrived that anybody would miss. */
  get isEmpty(): boolean {
    return this.text === '' && !this.#hasReasoning;
  }

  get #blocks(): Block[] {
    return this.#parts.filter((part) => part.type !== 'tool-call');
  }

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

  async complete(): Promise<Arrived> {
    const used = this.#usage === undefined ? [] : [{ type: 'usage', model: this.#model, usage: this.#usage } as const];
    const calls = this.#parts.filter((part) => part.type === 'tool-call');
    const cut = this.#cutOff();
    if (cut !== undefined) return await this.breakOff('failed', cut, used);
    if (this.text.trim() === '' && !this.#hasReasoning && calls.length === 0) {
      const advice = 'ask again or choose another with /model';
      const error = new CofferError('MODEL_FAILED', `${this.#model} sent an empty reply`, { advice });
      return await this.breakOff('failed', error, used);
    }
    await this.#record([this.#message(this.#parts), ...used]);
    return { outcome: 'completed', text: this.text, calls };
  }

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

  /** Says why the provider ended a reply that isn't whole. Its calls are never run. */
  #cutOff(): CofferError | undefined {
    if (this.#reason === 'length') return cutOff(this.#model, 'reply');
    if (this.#reason !== 'content-filter') return undefined;
    const advice = 'say it in other words or choose another with /model';
    return new CofferError('MODEL_REFUSED', `a filter of ${this.#model} cut the reply off`, { advice });
  }

  /** Some servers count from 0 in every reply, or give none: what is asked, answered and done is found by it in the record. */
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

/** Says that what a model, `provider/model`, has written is not whole. */
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

/** The event of an error that a person was told. */
export function faultOf({ code, message }: CofferError): NewEvent {
  return { type: 'error', code, message };
}
