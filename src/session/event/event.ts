import { CofferError } from '../../errors.ts';

/*
 * An event is one recorded fact of a session, and the events are the file: state is folded from them.
 * Messages carry the AI SDK's ModelMessage names. What a newer version wrote is kept as it came:
 * unknown fields stay on the objects, unknown types stay in their row.
 */

/** One part of a message's content, as the AI SDK's `ModelMessage` names it. */
export type Part = (
  | { type: 'text'; text: string }
  | { type: 'reasoning'; text: string }
  | { type: 'file'; mediaType: string; data: string; filename?: string | undefined }
  | { type: 'tool-call'; toolCallId: string; toolName: string; input?: unknown }
  | { type: 'tool-result'; toolCallId: string; toolName: string; output?: unknown }
) &
  FromProvider;

/** What a part carries for the model that wrote it: the signature of its reasoning, say. */
export interface FromProvider {
  /** By the SDK's name of the provider. Only the model that wrote the part gets it back; to any other it means nothing. */
  providerOptions?: ProviderOptions | undefined;
}

/** Values of JSON's, by provider and name. */
export type ProviderOptions = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** A message as the AI SDK's `ModelMessage` has it. */
export type Message =
  | { role: 'system'; content: string }
  | { role: 'user'; content: string | Extract<Part, { type: 'text' | 'file' }>[] }
  | { role: 'assistant'; content: string | Extract<Part, { type: 'text' | 'reasoning' | 'file' | 'tool-call' }>[] }
  | { role: 'tool'; content: Extract<Part, { type: 'tool-result' }>[] };

/** Tokens and cost (US dollars) of one request to a model; null is "not known", never 0. */
export interface Usage {
  inputTokens: number | null;
  /** How many of the input tokens came from the provider's cache of the prompt; missing if it didn't say. */
  cachedTokens?: number | undefined;
  outputTokens: number | null;
  cost: number | null;
}

/** How far a session has come. */
export type Status = 'running' | 'completed' | 'cancelled' | 'failed';

/** Where a session came from: the conversation or snapshot it goes on from. */
export interface Parent {
  uuid: string;
  id: string;
  reason: string;
}

/**
 * What a directory is known by wherever it lies: the commit its repository began with (40 or 64 hex digits), the address it is
 * fetched from, and the path within its work tree (`''` at its top).
 */
export interface Project {
  first?: string | undefined;
  remote?: string | undefined;
  path: string;
}

/** What a model is told before the conversation: by the user (`system`), or by the AGENTS.md of the directory (`agents`). */
export interface Instructions {
  source: 'system' | 'agents';
  /** Empty: nothing, from now on. */
  text: string;
  /** The file it was read from. */
  path?: string | undefined;
  /** The user was asked whether the AGENTS.md of the directory is to be used; an empty text means no. */
  offered?: true | undefined;
}

/** How a person, a rule, or the want of both decided on a tool call. `always` denies it from now on. */
export type Approval = 'once' | 'session' | 'deny' | 'always';

/** What happened, without its place: the input of an append. Models are named `provider/model`. */
export type NewEvent =
  /** What stands before it in a fork or an import is the parent's. */
  | {
      type: 'begin';
      uuid: string;
      directory: string;
      branch?: string | undefined;
      worktree?: string | undefined;
      project?: Project | undefined;
      parent?: Parent | undefined;
    }
  /** `partial` marks a reply that was cut short; `model` is who wrote it. */
  | { type: 'message'; message: Message; model?: string | undefined; partial?: true | undefined }
  | { type: 'usage'; model: string; usage: Usage }
  | { type: 'model'; model: string }
  /** They replace those of the same source. */
  | ({ type: 'instructions' } & Instructions)
  | { type: 'name'; name: string }
  | { type: 'pin'; pinned: boolean }
  | { type: 'archive'; archived: boolean }
  /** All of them, in order. */
  | { type: 'tags'; tags: string[] }
  | { type: 'status'; status: Status; reason?: string | undefined }
  | { type: 'error'; code: string; message: string }
  | { type: 'tool-start'; toolCallId: string; toolName: string }
  /** `bytes` is the length of the result. */
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
   * A rule of this session about what tools may do; see `chat/permissions.ts`. An allowance holds in `directory` (absolute; if missing,
   * where the session was begun), and for commands without a sandbox only if it is `unsandboxed`. A denial holds everywhere. A revocation
   * without `directory` is about all of them.
   */
  | {
      type: 'permission';
      rule: string;
      decision: 'allow' | 'deny' | 'revoke';
      directory?: string | undefined;
      unsandboxed?: true | undefined;
    }
  /** The context for the model is `tokens` long, of `window` it may have. */
  | { type: 'context-warning'; tokens: number; window: number }
  /** For the model alone, `summary` stands in place of the messages of events up to `through`. */
  | { type: 'compaction'; summary: string; through: number; model: string }
  /** The conversation goes on behind event `to`; what came after it stays in the record. */
  | { type: 'rewind'; to: number }
  /** From here on the session is in another directory. */
  | {
      type: 'move';
      directory: string;
      branch?: string | undefined;
      worktree?: string | undefined;
      project?: Project | undefined;
    }
  /** What git said of the directory, if it answered only after the session had begun. */
  | { type: 'project'; project: Project }
  /** Another session goes on from this one. */
  | { type: 'child'; uuid: string; reason: string };

/** An event's place: `id` rises by one within a session, across resumes; `ts` is milliseconds since 1970. */
export interface Place {
  id: number;
  ts: number;
}

/** An event of a type this version knows. */
export type KnownEvent = NewEvent & Place;

/**
 * What this version can't interpret, kept as it came: an event of a type that a newer version knows, or, with the type `unknown`, the
 * `line` of one that does not fit the schema (`bytes`, in base64, if that is not UTF-8).
 */
export type UnknownEvent = Place & { type: string; [field: string]: unknown };

/** One recorded fact of a session. Tell the two apart with {@link isKnown}. */
export type Event = KnownEvent | UnknownEvent;

/** Tells whether an event is of a type this version knows. */
export function isKnown(event: Event): event is KnownEvent {
  return Object.hasOwn(knownTypes, event.type);
}

/** How long the lines are, in UTF-16 units, that are turned into bytes at once: V8 has no string of more than 512 MiB. */
const PIECE = 8 * 1024 * 1024;

/**
 * Writes events as NDJSON, the form they are sealed in: one line each, each ended by a line feed. Throws `NOT_SAVED` for an event that is
 * larger than a text can be.
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
    throw new CofferError('NOT_SAVED', `event ${event.id} is too large or nested too deep to be written`, { cause });
  }
}

/** The id and the time of an event that was read without possible ones. */
export const NO_ID = 0;
export const NO_TIME = -1;

/** Tells whether an event may be a draft, which the next event of the session replaces: only messages are. */
export function mayBeDraft(event: Event): boolean {
  return isKnown(event) && event.type === 'message';
}

/**
 * Events as they are read, one piece of a record after another. An event replaces a draft that was saved under its id: what had arrived
 * of a reply, say. Otherwise ids rise: an event whose id does not gets the next one, and one that has no time that of the one before.
 */
export class MergedEvents {
  readonly events: Event[];
  /** The last event did not bring its id along: one that has the same does not replace it. */
  #isMoved = false;

  /** `events` is added to, and belongs to the caller. */
  constructor(events: Event[] = []) {
    this.events = events;
  }

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

/** The types that this version knows. */
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
