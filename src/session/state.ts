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

/**
 * The current state of a session, folded from its events. Tasks, tool calls and usage are its own,
 * without those of its parent.
 */
export interface State {
  readonly uuid: string;
  /** Working directory: where the session was begun or last moved to. */
  readonly directory: string;
  readonly branch: string | undefined;
  readonly worktree: string | undefined;
  readonly project: Project | undefined;
  readonly parent: Parent | undefined;
  /** Whether the directory comes from an imported file and the user has not chosen it yet. */
  readonly imported: boolean;
  /** Current model, `provider/model`. */
  readonly model: string;
  /** Instructions for the model: at most one per source, in the order they were first given. */
  readonly instructions: readonly Instructions[];
  readonly name: string | undefined;
  /** First words of the first exchange, at most 80 characters. */
  readonly title: string | undefined;
  readonly pinned: boolean;
  readonly archived: boolean;
  readonly tags: readonly string[];
  /** The current conversation, without messages removed by a rewind. */
  readonly messages: readonly Message[];
  /** Event id of each message. */
  readonly messageEvents: readonly number[];
  /**
   * Model that wrote each message, `provider/model`; undefined if unknown or not written by one.
   */
  readonly messageModels: readonly (string | undefined)[];
  /** Number of user and assistant messages, including those inherited from the parent. */
  readonly messageCount: number;
  /** Number of completely answered prompts. */
  readonly tasks: number;
  readonly toolCalls: number;
  /** Sum over all requests; null if unknown. */
  readonly inputTokens: number | null;
  /** Sum over all requests; null if unknown. */
  readonly outputTokens: number | null;
  /** US dollars; null if unknown. */
  readonly cost: number | null;
  /**
   * Tokens of the last request and its reply, which the next request begins with; null if unknown.
   */
  readonly contextTokens: number | null;
  /** The summary that replaces the messages of events up to `through` in requests to the model. */
  readonly compaction: { readonly summary: string; readonly through: number } | undefined;
  /** Tool permissions, in the order they were decided. */
  readonly permissions: readonly Permission[];
  readonly status: Status;
  readonly statusReason: string | undefined;
  /** Milliseconds since 1970. */
  readonly begun: number;
  /**
   * Time of the last event other than a remark such as a name or tag, in milliseconds since 1970.
   */
  readonly updated: number;
  /** Ids of the first and last event; 0 if there are none. */
  readonly firstEvent: number;
  readonly lastEvent: number;
}

/** A decision to allow or deny what a rule covers. */
export interface Permission {
  readonly rule: string;
  readonly decision: 'allow' | 'deny';
  /** Absolute path it was decided in: a grant applies only there, a denial everywhere. */
  readonly directory: string;
  /** Whether a grant for commands also applies outside the sandbox. */
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

/** Event types that are remarks: they neither resume a session nor change when it was updated. */
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

/** Tells whether an event is a remark about the session and not part of the conversation. */
export function isRemark(event: { readonly type: string }): boolean {
  return remarks.has(event.type);
}

/**
 * Folds events into a state, in order. If `state` comes from an earlier fold, its message arrays
 * are changed in place, so that the cost of a step doesn't grow with the conversation.
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

/**
 * Applies a decision. A denial replaces every decision on its rule; a grant replaces a denial and a
 * grant for the same directory.
 */
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

/** Keeps the conversation but resets counts, name and marks, which belong to the parent. */
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

/** Prefix of a parent's `reason` if the parent is an imported file. */
export const IMPORTED = 'imported from ';

function moveTo(state: Writable<State>, { directory, branch, worktree, project }: Location): void {
  Object.assign(state, { directory, branch, worktree, project });
}

type Location = Pick<Extract<KnownEvent, { type: 'move' }>, 'directory' | 'branch' | 'worktree' | 'project'>;

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

/** Removes messages but keeps tasks and usage counted: the work was done and paid for. */
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

/** Adds known values: an unknown value adds nothing, and a sum of unknown values is unknown. */
function add(sum: number | null, more: number | null): number | null {
  if (more === null) return sum;
  return (sum ?? 0) + more;
}
