import { CofferError } from '../../errors.ts';

/*
 * An event is one recorded fact of a session. The events are the file; state is folded from them.
 * Messages use the AI SDK's ModelMessage names. Data from newer versions is preserved: unknown
 * fields stay on their objects, events of unknown types stay in place.
 */

/** One part of a message's content, with the names of the AI SDK's `ModelMessage`. */
export type Part = (
  | { type: 'text'; text: string }
  | { type: 'reasoning'; text: string }
  | { type: 'file'; mediaType: string; data: string; filename?: string | undefined }
  | { type: 'tool-call'; toolCallId: string; toolName: string; input?: unknown }
  | { type: 'tool-result'; toolCallId: string; toolName: string; output?: unknown }
) &
  FromProvider;

/** Provider-specific data of a part, such as the signature of its reasoning. */
export interface FromProvider {
  /** Keyed by the SDK's provider name. Sent back only to the model that wrote the part. */
  providerOptions?: ProviderOptions | undefined;
}

/** JSON values, keyed by provider and name. */
export type ProviderOptions = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** A message in the form of the AI SDK's `ModelMessage`. */
export type Message =
  | { role: 'system'; content: string }
  | { role: 'user'; content: string | Extract<Part, { type: 'text' | 'file' }>[] }
  | { role: 'assistant'; content: string | Extract<Part, { type: 'text' | 'reasoning' | 'file' | 'tool-call' }>[] }
  | { role: 'tool'; content: Extract<Part, { type: 'tool-result' }>[] };

/** Tokens and cost (US dollars) of one request to a model. Unknown values are null, never 0. */
export interface Usage {
  inputTokens: number | null;
  /**
   * Input tokens read from the provider's prompt cache; missing if the provider didn't report it.
   */
  cachedTokens?: number | undefined;
  outputTokens: number | null;
  cost: number | null;
}

/** The status of a session. */
export type Status = 'running' | 'completed' | 'cancelled' | 'failed';

/** The conversation or snapshot that a session continues. */
export interface Parent {
  /** UUID of the parent. */
  uuid: string;
  /** Id of the parent when the session was begun. */
  id: string;
  /** Why the session was begun: `forked after prompt 3`. */
  reason: string;
}

/** Identifies a project directory independently of its location. */
export interface Project {
  /** First commit of the repository, 40 or 64 hex digits. */
  first?: string | undefined;
  /** URL the repository is fetched from. */
  remote?: string | undefined;
  /** Path within the work tree, with slashes; `''` at its top. */
  path: string;
}

/**
 * Instructions sent to the model before the conversation: from the user (`system`) or from the
 * directory's AGENTS.md (`agents`).
 */
export interface Instructions {
  source: 'system' | 'agents';
  /** Empty: clears the instructions of this source. */
  text: string;
  /** The file it was read from. */
  path?: string | undefined;
  /** Set if the user was asked whether to use the directory's AGENTS.md; an empty text means no. */
  offered?: true | undefined;
}

/**
 * A decision on a tool call: allowed once or for the session, denied once (`deny`) or denied from
 * now on (`always`).
 */
export type Approval = 'once' | 'session' | 'deny' | 'always';

/** An event to append, without id and time. Models are named `provider/model`. */
export type NewEvent =
  /**
   * Begins a session. In a fork or import, events before `begin` were inherited from the parent.
   */
  | {
      type: 'begin';
      uuid: string;
      directory: string;
      branch?: string | undefined;
      worktree?: string | undefined;
      project?: Project | undefined;
      parent?: Parent | undefined;
    }
  /** A message. `partial` marks a reply that was cut short; `model` is the model that wrote it. */
  | { type: 'message'; message: Message; model?: string | undefined; partial?: true | undefined }
  | { type: 'usage'; model: string; usage: Usage }
  | { type: 'model'; model: string }
  /** Replaces the instructions of the same source. */
  | ({ type: 'instructions' } & Instructions)
  | { type: 'name'; name: string }
  | { type: 'pin'; pinned: boolean }
  | { type: 'archive'; archived: boolean }
  /** Replaces all tags, in this order. */
  | { type: 'tags'; tags: string[] }
  | { type: 'status'; status: Status; reason?: string | undefined }
  | { type: 'error'; code: string; message: string }
  | { type: 'tool-start'; toolCallId: string; toolName: string }
  /** A tool call ended. `bytes` is the length of its result. */
  | {
      type: 'tool-end';
      toolCallId: string;
      toolName: string;
      outcome: 'completed' | 'failed' | 'denied' | 'cancelled';
      bytes: number;
    }
  | { type: 'approval-asked'; toolCallId: string; rule: string; about: string }
  | {
      type: 'approval-answered';
      toolCallId: string;
      rule: string;
      answer: Approval;
      by: 'person' | 'rule' | 'nobody';
    }
  /**
   * A tool permission rule of this session; see `chat/permissions.ts`. A grant applies in
   * `directory` (absolute; default: the session's directory at that point), and to commands outside
   * the sandbox only if `unsandboxed` is set. A denial applies everywhere. A revocation without
   * `directory` revokes the rule in all directories.
   */
  | {
      type: 'permission';
      rule: string;
      decision: 'allow' | 'deny' | 'revoke';
      directory?: string | undefined;
      unsandboxed?: true | undefined;
    }
  /** The model's context has grown to `tokens` of the `window` tokens available. */
  | { type: 'context-warning'; tokens: number; window: number }
  /**
   * In requests to the model, `summary` replaces the messages of all events up to `through`. The
   * record is unchanged.
   */
  | { type: 'compaction'; summary: string; through: number; model: string }
  /** The conversation continues after event `to`; later events stay in the record. */
  | { type: 'rewind'; to: number }
  /** The session moves to another directory. */
  | {
      type: 'move';
      directory: string;
      branch?: string | undefined;
      worktree?: string | undefined;
      project?: Project | undefined;
    }
  /** The project of the directory, if git answered only after the session had begun. */
  | { type: 'project'; project: Project }
  /** Another session continues from this one. */
  | { type: 'child'; uuid: string; reason: string };

/** The position of an event in its session. */
export interface EventPlace {
  /** Increases by one within a session, across resumes. */
  id: number;
  /** Milliseconds since 1970. */
  ts: number;
}

/** An event of a type this version knows. */
export type KnownEvent = NewEvent & EventPlace;

/**
 * An event that this version can't interpret, preserved unchanged: either its type is from a newer
 * version, or its type is `unknown` and `line` holds a line that doesn't match the schema (`bytes`
 * in base64 if the line isn't UTF-8).
 */
export type UnknownEvent = EventPlace & { type: string; [field: string]: unknown };

/** One recorded fact of a session, of a type this version knows or not. */
export type Event = KnownEvent | UnknownEvent;

/** Tells whether a value is a JSON object. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Tells whether this version knows the type of an event. */
export function isKnown(event: Event): event is KnownEvent {
  return Object.hasOwn(knownTypes, event.type);
}

/** UTF-16 units of text encoded at once: V8 strings are limited to 512 MiB. */
const PIECE = 8 * 1024 * 1024;

/**
 * Encodes events as NDJSON, the form they are sealed in: one line each, ended by a line feed.
 * Throws `NOT_SAVED` for an event that is too large for one string or nested too deeply.
 */
export function encodeEvents(events: readonly Event[]): Buffer {
  const pieces: Buffer[] = [];
  let lines: string[] = [];
  let length = 0;
  for (const event of events) {
    const line = `${encodeEvent(event)}\n`;
    if (length + line.length > PIECE) {
      pieces.push(Buffer.from(lines.join('')));
      lines = [];
      length = 0;
    }
    lines.push(line);
    length += line.length;
  }
  const last = Buffer.from(lines.join(''));
  return pieces.length === 0 ? last : Buffer.concat([...pieces, last]);
}

function encodeEvent(event: Event): string {
  try {
    return JSON.stringify(event);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new CofferError('NOT_SAVED', `event ${event.id} is too large or nested too deeply to be saved`, { cause });
  }
}

/** The id of an event that was read without a valid one. */
export const NO_ID = 0;
/** The time of an event that was read without a valid one. */
export const NO_TIME = -1;

/** Tells whether an event may be a draft, which the next event replaces. Only messages may be. */
export function mayBeDraft(event: Event): boolean {
  return isKnown(event) && event.type === 'message';
}

/**
 * Merges the events of a record that is read piece by piece. An event replaces a draft that was
 * saved under its id, such as the part of a reply that had arrived. Otherwise ids increase: an
 * event whose id doesn't gets the next id, and an event without a time gets the time of the
 * previous one.
 */
export class MergedEvents {
  /** The merged events so far. */
  readonly events: Event[];
  /** The last event was assigned a new id, so an event with the same id doesn't replace it. */
  #isMoved = false;

  /** Appends to `events`, which the caller owns. */
  constructor(events: Event[] = []) {
    this.events = events;
  }

  /** Adds the next events. */
  add(more: readonly Event[]): void {
    for (const event of more) {
      const last = this.events.at(-1);
      if (last !== undefined && last.id === event.id && mayBeDraft(last) && !this.#isMoved) this.events.pop();
      const { id, ts } = this.events.at(-1) ?? { id: 0, ts: 0 };
      this.#isMoved = event.id <= id;
      const isWhole = !this.#isMoved && event.ts !== NO_TIME;
      this.events.push(
        isWhole ? event : { ...event, id: Math.max(event.id, id + 1), ts: event.ts === NO_TIME ? ts : event.ts },
      );
    }
  }
}

/** Event types this version knows. */
export const knownTypes: Readonly<Record<NewEvent['type'], true>> = {
  begin: true,
  message: true,
  usage: true,
  model: true,
  instructions: true,
  name: true,
  pin: true,
  archive: true,
  tags: true,
  status: true,
  error: true,
  'tool-start': true,
  'tool-end': true,
  'approval-asked': true,
  'approval-answered': true,
  permission: true,
  'context-warning': true,
  compaction: true,
  rewind: true,
  move: true,
  project: true,
  child: true,
};
