import { type Event, isKnown, type Message, type Parent, type Status } from './event.ts';

/** What a session is at the moment: a fold over its events. */
export interface State {
  readonly uuid: string;
  /** The directory it was begun in. */
  readonly directory: string;
  readonly branch: string | undefined;
  readonly parent: Parent | undefined;
  /** `provider/model`, as chosen last. */
  readonly model: string;
  readonly name: string | undefined;
  /** The first words of the conversation, at most 80 characters. */
  readonly title: string | undefined;
  readonly messages: readonly Message[];
  /** Messages of user and assistant. */
  readonly messageCount: number;
  readonly inputTokens: number | null;
  readonly outputTokens: number | null;
  /** US dollars; null is "not known". */
  readonly cost: number | null;
  readonly status: Status;
  /** Milliseconds since 1970. */
  readonly begun: number;
  readonly updated: number;
  readonly firstEvent: number;
  readonly lastEvent: number;
}

/** The state before any event. */
export const emptyState: State = {
  uuid: '',
  directory: '',
  branch: undefined,
  parent: undefined,
  model: '',
  name: undefined,
  title: undefined,
  messages: [],
  messageCount: 0,
  inputTokens: null,
  outputTokens: null,
  cost: null,
  status: 'running',
  begun: 0,
  updated: 0,
  firstEvent: 0,
  lastEvent: 0,
};

/**
 * Folds events in order into a state. The list of messages of `state` is extended in place where it
 * came from an earlier fold, so that a step costs the same however long the conversation is.
 */
export function fold(state: State, events: Iterable<Event>): State {
  const next: Writable<State> = { ...state };
  const messages = state === emptyState ? [] : (state.messages as Message[]);
  next.messages = messages;
  for (const event of events) {
    if (next.firstEvent === 0) next.firstEvent = event.id;
    next.lastEvent = event.id;
    next.updated = event.ts;
    if (isKnown(event)) apply(next, messages, event);
  }
  return next;
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

function apply(state: Writable<State>, messages: Message[], event: Extract<Event, { type: string }>): void {
  if (!isKnown(event)) return;
  switch (event.type) {
    case 'begin':
      state.uuid = event.uuid;
      state.directory = event.directory;
      state.branch = event.branch;
      state.parent = event.parent;
      state.begun = event.ts;
      return;
    case 'message':
      messages.push(event.message);
      if (event.message.role === 'user' || event.message.role === 'assistant') state.messageCount++;
      if (event.message.role === 'user') state.title ??= titleOf(event.message);
      return;
    case 'usage':
      state.inputTokens = add(state.inputTokens, event.usage.inputTokens);
      state.outputTokens = add(state.outputTokens, event.usage.outputTokens);
      state.cost = add(state.cost, event.usage.cost);
      return;
    case 'model':
      state.model = event.model;
      return;
    case 'name':
      state.name = event.name;
      return;
    case 'status':
      state.status = event.status;
      return;
    case 'error':
      return;
  }
}

function titleOf(message: Message): string | undefined {
  const words = textOf(message).trim().replace(/\s+/g, ' ');
  return words === '' ? undefined : [...words].slice(0, 80).join('');
}

/** The text of a message, its parts joined; what is not text is left out. */
export function textOf(message: Message): string {
  if (typeof message.content === 'string') return message.content;
  return message.content.map((part) => (part.type === 'text' ? part.text : '')).join('');
}

/** A sum in which what is not known adds nothing, and nothing known at all stays "not known". */
function add(sum: number | null, more: number | null): number | null {
  if (more === null) return sum;
  return (sum ?? 0) + more;
}
