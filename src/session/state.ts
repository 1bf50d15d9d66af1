import {
  type Event,
  type Instructions,
  isKnown,
  type KnownEvent,
  type Message,
  type Parent,
  type Project,
  type Status,
} from './event/event.ts';
import { titleOf } from './event/message-text.ts';

/** What a session is at the moment: a fold over its events. Counts and usage are its own, without what a parent did. */
export interface State {
  readonly uuid: string;
  /** The directory it is in: where it was begun, or was moved to. */
  readonly directory: string;
  readonly branch: string | undefined;
  readonly worktree: string | undefined;
  readonly project: Project | undefined;
  readonly parent: Parent | undefined;
  /** The directory is what an imported file says: nobody has chosen it here. */
  readonly imported: boolean;
  /** `provider/model`, as chosen last. */
  readonly model: string;
  /** What the model is told before the conversation: at most one of each source, in the order in which they were first given. */
  readonly instructions: readonly Instructions[];
  readonly name: string | undefined;
  /** The first words of the first exchange, at most 80 characters. */
  readonly title: string | undefined;
  readonly pinned: boolean;
  readonly archived: boolean;
  readonly tags: readonly string[];
  /** The conversation as it stands, without what was taken back. */
  readonly messages: readonly Message[];
  /** The id of each message's event. */
  readonly messageEvents: readonly number[];
  /** The model that wrote each message, `provider/model`; undefined if it was not a model, or is not known. */
  readonly messageModels: readonly (string | undefined)[];
  /** Messages of user and assistant. */
  readonly messageCount: number;
  /** Prompts that were answered to their end. */
  readonly tasks: number;
  readonly toolCalls: number;
  readonly inputTokens: number | null;
  readonly outputTokens: number | null;
  /** US dollars; null is "not known". */
  readonly cost: number | null;
  /** Tokens of the last request and its reply: what the next one begins with; null is "not known". */
  readonly contextTokens: number | null;
  /** What stands for the model in place of the messages of events up to `through`. */
  readonly compaction: { readonly summary: string; readonly through: number } | undefined;
  /** What tools may do, in the order of the decisions. */
  readonly permissions: readonly Permission[];
  readonly status: Status;
  readonly statusReason: string | undefined;
  /** Milliseconds since 1970; `updated` is when the conversation last went on. */
  readonly begun: number;
  readonly updated: number;
  readonly firstEvent: number;
  readonly lastEvent: number;
}

/** A decision about what tools may do, or may not. */
export interface Permission {
  readonly rule: string;
  readonly decision: 'allow' | 'deny';
  /** The absolute path of the directory it was decided in: an allowance holds only there, a denial everywhere. */
  readonly directory: string;
  /** Whether an allowance of commands holds without a sandbox, too. */
  readonly unsandboxed: boolean;
}

/** The state before any event. */
export const emptyState: State = {
  uuid: '',
  directory: '',
  branch: undefined,
  worktree: undefined,
  project: undefined,
  parent: undefined,
  imported: false,
  model: '',
  instructions: [],
  name: undefined,
  title: undefined,
  pinned: false,
  archived: false,
  tags: [],
  messages: [],
  messageEvents: [],
  messageModels: [],
  messageCount: 0,
  tasks: 0,
  toolCalls: 0,
  inputTokens: null,
  outputTokens: null,
  cost: null,
  contextTokens: null,
  compaction: undefined,
  permissions: [],
  status: 'running',
  statusReason: undefined,
  begun: 0,
  updated: 0,
  firstEvent: 0,
  lastEvent: 0,
};

/** What says something about a session and is no part of the conversation: it does not make it newer, or running. */
const remarks: ReadonlySet<string> = new Set([
  'name',
  'pin',
  'archive',
  'tags',
  'permission',
  'move',
  'project',
  'child',
]);

/** Tells whether an event says something about a session and is no part of the conversation. */
export function isRemark(event: { readonly type: string }): boolean {
  return remarks.has(event.type);
}

/**
 * Folds events in order into a state. The lists of messages of `state` are changed in place where it
 * came from an earlier fold, so that a step costs the same however long the conversation is.
 */
export function fold(state: State, events: Iterable<Event>): State {
  const isFirst = state === emptyState;
  const messages = isFirst ? [] : (state.messages as Message[]);
  const messageEvents = isFirst ? [] : (state.messageEvents as number[]);
  const messageModels = isFirst ? [] : (state.messageModels as (string | undefined)[]);
  const next: Writable<State> = { ...state, messages, messageEvents, messageModels };
  for (const event of events) {
    if (next.firstEvent === 0) next.firstEvent = event.id;
    next.lastEvent = event.id;
    if (!isRemark(event)) next.updated = event.ts;
    if (isKnown(event)) apply(next, event);
  }
  return next;
}

type Mutable<T> = T extends readonly (infer E)[] ? E[] : T;
type Writable<T> = { -readonly [K in keyof T]: K extends `message${'s' | 'Events' | 'Models'}` ? Mutable<T[K]> : T[K] };

function apply(state: Writable<State>, event: KnownEvent): void {
  switch (event.type) {
    case 'begin':
      begin(state, event);
      return;
    case 'message':
      addMessage(state, event);
      return;
    case 'usage': {
      const { inputTokens, outputTokens, cost } = event.usage;
      state.inputTokens = add(state.inputTokens, inputTokens);
      state.outputTokens = add(state.outputTokens, outputTokens);
      state.cost = add(state.cost, cost);
      state.contextTokens = inputTokens === null ? null : inputTokens + (outputTokens ?? 0);
      return;
    }
    case 'model':
      state.model = event.model;
      return;
    case 'instructions':
      state.instructions = instructed(state.instructions, event);
      return;
    case 'name':
      state.name = event.name;
      return;
    case 'move':
      moveTo(state, event);
      state.imported = false;
      return;
    case 'project':
      state.project = event.project;
      return;
    case 'pin':
      state.pinned = event.pinned;
      return;
    case 'archive':
      state.archived = event.archived;
      return;
    case 'tags':
      state.tags = event.tags;
      return;
    case 'status':
      state.status = event.status;
      state.statusReason = event.reason;
      return;
    case 'tool-start':
      state.toolCalls++;
      return;
    case 'permission':
      state.permissions = decided(state, event);
      return;
    case 'compaction':
      state.compaction = { summary: event.summary, through: event.through };
      state.contextTokens = null;
      return;
    case 'rewind':
      rewind(state, event.to);
      return;
    default:
  }
}

/** A denial replaces every decision about its rule; an allowance replaces a denial, and one for the same directory. */
function decided(state: State, event: Extract<KnownEvent, { type: 'permission' }>): readonly Permission[] {
  const { rule, decision, directory = state.directory, unsandboxed = false } = event;
  const isReplaced = (one: Permission): boolean => {
    if (one.rule !== rule) return false;
    if (decision === 'deny' || (decision === 'revoke' && event.directory === undefined)) return true;
    return one.directory === directory || (decision === 'allow' && one.decision === 'deny');
  };
  const others = state.permissions.filter((one) => !isReplaced(one));
  return decision === 'revoke' ? others : [...others, { rule, decision, directory, unsandboxed }];
}

/** What was counted before belongs to the parent, and so do its marks and its name; the conversation goes on. */
function begin(state: Writable<State>, event: Extract<KnownEvent, { type: 'begin' }>): void {
  const { model, messages, messageEvents, messageModels, messageCount, title, compaction, contextTokens } = state;
  const { instructions, imported, permissions, firstEvent, lastEvent, updated } = state;
  Object.assign(state, emptyState, { model, messages, messageEvents, messageModels, messageCount });
  Object.assign(state, { title, compaction, contextTokens });
  Object.assign(state, { instructions, permissions, firstEvent, lastEvent, updated });
  state.uuid = event.uuid;
  state.imported = imported || event.parent?.reason.startsWith(IMPORTED) === true;
  moveTo(state, event);
  state.parent = event.parent;
  state.begun = event.ts;
}

/** What the reason of a parent begins with if that is an imported file. */
export const IMPORTED = 'imported from ';

function moveTo(state: Writable<State>, { directory, branch, worktree, project }: Surroundings): void {
  Object.assign(state, { directory, branch, worktree, project });
}

type Surroundings = Pick<Extract<KnownEvent, { type: 'move' }>, 'directory' | 'branch' | 'worktree' | 'project'>;

function instructed(
  before: readonly Instructions[],
  { source, text, path, offered }: Instructions,
): readonly Instructions[] {
  const next = { source, text, path, offered };
  const at = before.findIndex((one) => one.source === source);
  return at === -1 ? [...before, next] : before.with(at, next);
}

function addMessage(state: Writable<State>, event: Extract<KnownEvent, { type: 'message' }>): void {
  const { message } = event;
  state.messages.push(message);
  state.messageEvents.push(event.id);
  state.messageModels.push(event.model);
  if (!isCounted(message)) return;
  state.messageCount++;
  state.title ??= titleOf(message);
  if (message.role === 'assistant' && event.partial !== true && !callsTools(message)) state.tasks++;
}

/** What was answered stays counted: it was done, and paid for. */
function rewind(state: Writable<State>, to: number): void {
  while ((state.messageEvents.at(-1) ?? to) > to) {
    state.messageEvents.pop();
    state.messageModels.pop();
    const cut = state.messages.pop();
    if (cut !== undefined && isCounted(cut)) state.messageCount--;
  }
  if (state.compaction !== undefined && state.compaction.through > to) state.compaction = undefined;
  state.contextTokens = null;
}

function isCounted({ role }: Message): boolean {
  return role === 'user' || role === 'assistant';
}

function callsTools(message: Message): boolean {
  return typeof message.content !== 'string' && message.content.some((part) => part.type === 'tool-call');
}

/** A sum in which what is not known adds nothing, and nothing known at all stays "not known". */
function add(sum: number | null, more: number | null): number | null {
  if (more === null) return sum;
  return (sum ?? 0) + more;
}
