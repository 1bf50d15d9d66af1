import type { Compacted } from '../chat/compact.ts';
import type { Call, CallEnd } from '../chat/loop.ts';
import type { CofferError } from '../errors.ts';
import type { Rewind } from '../session/change/fork.ts';
import type { MarkChange, Marks } from '../session/change/marks.ts';
import type { Event, Status } from '../session/event/event.ts';
import type { Unsaved } from '../session/origin.ts';
import type { State } from '../session/state.ts';
import type { Notice } from './notice.ts';
import type { Question } from './question.ts';

/**
 * A running session, independent of the front end. Front ends (the terminal, a page, a messenger)
 * are clients that use the session only through this interface. `LiveSession` runs one in this
 * process. Every implementation must pass test/suites/live.ts.
 */
export interface Live extends AsyncDisposable {
  /** Returns the current state of the session. */
  snapshot(): Promise<Snapshot>;
  /**
   * Yields events in order: first the recorded events with an id above `after` (default: the last
   * recorded event, so none), then new events as they happen. Ends after `bye`, or when `signal` is
   * aborted. A client that reads too slowly gets `lagged` in place of the unrecorded events that it
   * missed; it never misses recorded events. Throws if a fault of the program ended the session.
   *
   * Subscribe before taking a snapshot, so that nothing is missed between the two; `at` of a delta
   * tells which part of the snapshot's reply it repeats.
   */
  events(after?: number, signal?: AbortSignal): AsyncIterable<LiveEvent>;
  /**
   * Carries out a command. Whatever it records is durable when it resolves, or reported by
   * `snapshot().unsaved`. Throws a `CofferError`.
   */
  send<C extends Command>(command: C): Promise<Result<C>>;
}

/** A live session at one moment. */
export interface Snapshot {
  readonly uuid: string;
  /** The id that users see; undefined before the first save. */
  readonly id: string | undefined;
  /** The name of the sealed file; undefined before the first save. */
  readonly fileId: string | undefined;
  readonly state: State;
  /** The steps not yet on disk, if any. Always undefined for a session kept in memory. */
  readonly unsaved: Unsaved | undefined;
  /** How the session is kept. */
  readonly kept: Kept;
  /** The model that replies; undefined if the session's model is not available. */
  readonly model: string | undefined;
  /** The directory that tools work in. */
  readonly directory: string;
  /** The id of the last event published as recorded. */
  readonly lastEvent: number;
  /** Whether a turn or a compaction is running. */
  readonly running: boolean;
  /** The number of prompts queued behind the running turn. */
  readonly queued: number;
  /** The text so far of the reply that is arriving. */
  readonly reply: string;
  /** The open questions. */
  readonly questions: readonly Question[];
}

/** How a session is kept: sealed on disk, in memory because there is no key, or not at all. */
export type Kept = 'sealed' | 'memory' | 'incognito';

/** An event of a live session. Only `recorded` events are part of the session's record. */
export type LiveEvent =
  /** Sent after the save has settled. `durable`: whether the event is on disk. */
  | { readonly type: 'recorded'; readonly event: Event; readonly durable: boolean }
  /** More text of the reply that is arriving, at offset `at` in UTF-16 code units. */
  | { readonly type: 'delta'; readonly at: number; readonly text: string }
  /** The model has begun to reason; sent once per reply. */
  | { readonly type: 'thinking' }
  | { readonly type: 'call'; readonly call: Call }
  /** `reason`: why the call failed, in one line. */
  | ({ readonly type: 'call-end'; readonly reason?: string } & Omit<CallEnd, 'text'>)
  | { readonly type: 'ask'; readonly question: Question }
  /** A question is settled. `answer` is undefined if it was withdrawn unanswered. */
  | { readonly type: 'ask-over'; readonly ask: number; readonly answer: string | undefined }
  /**
   * The handling of a prompt has ended. `tag` is the tag of its command; `text`: whether any text
   * of the last reply arrived.
   */
  | {
      readonly type: 'idle';
      readonly tag: string;
      readonly outcome: 'completed' | 'cancelled' | 'failed' | 'unsent';
      readonly text: boolean;
      readonly error?: CofferError;
    }
  /** Recorded events were removed or changed: clients that show the conversation must reload it. */
  | { readonly type: 'rewritten' }
  /** Unrecorded events were skipped, because the client read too slowly. */
  | { readonly type: 'lagged' }
  | { readonly type: 'notice'; readonly notice: Notice }
  | { readonly type: 'bye'; readonly status: Status };

/** A request to a live session. */
export type Command =
  /**
   * Sends a prompt; `@path` in it attaches a file. Prompts that arrive during a turn are queued, at
   * most ten. Resolves once the prompt is recorded. `tag` identifies its `idle` event.
   */
  | { readonly type: 'SendMessage'; readonly text: string; readonly tag: string }
  | { readonly type: 'ApproveToolCall'; readonly ask: number; readonly scope: 'once' | 'session' }
  | { readonly type: 'DenyToolCall'; readonly ask: number; readonly scope: 'once' | 'session' }
  | { readonly type: 'AnswerQuestion'; readonly ask: number; readonly answer: string }
  /** Cancels the running turn or compaction. The part of a reply that arrived is kept. */
  | { readonly type: 'Cancel' }
  | { readonly type: 'ChooseModel'; readonly model: string }
  /** Takes a named snapshot. */
  | { readonly type: 'Save'; readonly name?: string | undefined }
  | { readonly type: 'Mark'; readonly mark: MarkChange }
  /** Summarises older messages to free context. The saved history is unchanged. */
  | { readonly type: 'Compact' }
  /**
   * Removes everything after the first `prompts` prompts from the conversation. Default: removes
   * the last prompt and its reply.
   */
  | { readonly type: 'Rewind'; readonly prompts?: number | undefined }
  | { readonly type: 'Redact'; readonly text: string }
  | { readonly type: 'SetPermission'; readonly decision: 'allow' | 'deny'; readonly rule: string }
  /** Revokes a rule in `directory`. Default: everywhere. */
  | { readonly type: 'RevokePermission'; readonly rule: string; readonly directory?: string | undefined }
  /** Saves and closes the session, and ends every subscription. */
  | { readonly type: 'Shutdown'; readonly status?: Status | undefined };

/** A prompt and the tag of its `idle` event. */
export type SentPrompt = Omit<Extract<Command, { type: 'SendMessage' }>, 'type'>;

/** The results of commands, by command type. */
interface Results {
  readonly SendMessage: undefined;
  readonly ApproveToolCall: undefined;
  readonly DenyToolCall: undefined;
  readonly AnswerQuestion: undefined;
  readonly Cancel: undefined;
  readonly ChooseModel: { readonly model: string };
  readonly Save: { readonly id: string; readonly messages: number };
  /** `changed` is false if the session already had the mark. */
  readonly Mark: { readonly changed: boolean; readonly marks: Marks };
  readonly Compact: Compacted;
  readonly Rewind: Rewind;
  /** The number of events changed, and the providers that the text had been sent to. */
  readonly Redact: { readonly changed: number; readonly providers: readonly string[] };
  /** `already`: whether the rule was already in effect. */
  readonly SetPermission: { readonly rule: string; readonly already: boolean };
  readonly RevokePermission: undefined;
  readonly Shutdown: undefined;
}

/** The result of a command. */
export type Result<C extends Command> = Results[C['type']];
