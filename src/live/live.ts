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
 * A running session, independent of where the user sits. The terminal, a page or a messenger are
 * clients of this interface and know nothing else about the session. `LiveSession` runs it in this
 * process; every implementation passes test/suites/live.ts.
 */
export interface Live extends AsyncDisposable {
  /** Returns the session as it is now. */
  snapshot(): Promise<Snapshot>;
  /**
   * Yields what happens, in order: first the recorded events with an id above `after` (default: the
   * last one recorded, so none), then each event as it comes. Ends after `bye`, or when `signal` is
   * aborted. A client that reads too slowly gets `lagged` in place of the events it missed; recorded
   * events are never missed. Throws what ended the session if that was a fault of the program.
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
  /** The id users know it by; undefined before its first save. */
  readonly id: string | undefined;
  /** The name of its sealed file; undefined before its first save. */
  readonly fileId: string | undefined;
  readonly state: State;
  /** Set while recorded steps are not on disk, if the session is to be saved at all. */
  readonly unsaved: Unsaved | undefined;
  /** How the session is kept: sealed on disk, in memory because there is no key, or not at all. */
  readonly kept: Kept;
  /** The model that replies; undefined if the session's model is not available. */
  readonly model: string | undefined;
  /** The directory that tools work in. */
  readonly directory: string;
  /** The id of the last recorded event. */
  readonly lastEvent: number;
  readonly running: boolean;
  /** Prompts that wait for the running turn to end. */
  readonly queued: number;
  /** The text of the reply that is arriving. */
  readonly reply: string;
  readonly questions: readonly Question[];
}

/** How a session is kept. */
export type Kept = 'sealed' | 'memory' | 'incognito';

/** What happens in a live session. Only `recorded` events are part of the session's record. */
export type LiveEvent =
  /** Sent after the save has settled; `durable` tells whether the event is on disk. */
  | { readonly type: 'recorded'; readonly event: Event; readonly durable: boolean }
  /** More text of the reply that is arriving, beginning `at` UTF-16 units into it. */
  | { readonly type: 'delta'; readonly at: number; readonly text: string }
  /** The model has begun to reason; sent once per reply. */
  | { readonly type: 'thinking' }
  | { readonly type: 'call'; readonly call: Call }
  /** `reason` says in one line why the call failed. */
  | ({ readonly type: 'call-end'; readonly reason?: string } & Omit<CallEnd, 'text'>)
  | { readonly type: 'ask'; readonly question: Question }
  /** A question is settled; `answer` is undefined if nobody answered it. */
  | { readonly type: 'ask-over'; readonly ask: number; readonly answer: string | undefined }
  /**
   * A prompt has been dealt with: answered, cancelled, failed, or not even sent. `tag` is that of its
   * command; `text` tells whether any text of the last reply arrived.
   */
  | {
      readonly type: 'idle';
      readonly tag: string;
      readonly outcome: 'completed' | 'cancelled' | 'failed' | 'unsent';
      readonly text: boolean;
      readonly error?: CofferError;
    }
  /** Events were removed or changed: a client that shows the conversation reads it again. */
  | { readonly type: 'rewritten' }
  /** Events that are not recorded were skipped, because the client read too slowly. */
  | { readonly type: 'lagged' }
  | { readonly type: 'notice'; readonly notice: Notice }
  | { readonly type: 'bye'; readonly status: Status };

/** A request to a live session. */
export type Command =
  /**
   * A prompt; `@path` in it attaches a file. Prompts that arrive during a turn wait, at most ten.
   * Resolves once it is recorded; `tag` identifies its `idle` event.
   */
  | { readonly type: 'SendMessage'; readonly text: string; readonly tag: string }
  | { readonly type: 'ApproveToolCall'; readonly ask: number; readonly scope: 'once' | 'session' }
  | { readonly type: 'DenyToolCall'; readonly ask: number; readonly scope: 'once' | 'session' }
  | { readonly type: 'AnswerQuestion'; readonly ask: number; readonly answer: string }
  /** Cancels the running turn or compaction; what arrived is kept. */
  | { readonly type: 'Cancel' }
  | { readonly type: 'ChooseModel'; readonly model: string }
  /** Takes a named snapshot. */
  | { readonly type: 'Save'; readonly name?: string | undefined }
  | { readonly type: 'Mark'; readonly mark: MarkChange }
  /** Replaces older messages by a summary, for the model only. */
  | { readonly type: 'Compact' }
  /** Removes what follows the first `prompts` prompts (default: the last prompt) from the conversation. */
  | { readonly type: 'Rewind'; readonly prompts?: number | undefined }
  | { readonly type: 'Redact'; readonly text: string }
  | { readonly type: 'SetPermission'; readonly decision: 'allow' | 'deny'; readonly rule: string }
  /** Without `directory` the rule is revoked everywhere. */
  | { readonly type: 'RevokePermission'; readonly rule: string; readonly directory?: string | undefined }
  /** Saves, closes the session and ends every subscription. */
  | { readonly type: 'Shutdown'; readonly status?: Status | undefined };

/** A prompt, and the tag that its `idle` event will have. */
export type SentPrompt = Omit<Extract<Command, { type: 'SendMessage' }>, 'type'>;

/** The results of commands, by their type. */
interface Results {
  readonly SendMessage: undefined;
  readonly ApproveToolCall: undefined;
  readonly DenyToolCall: undefined;
  readonly AnswerQuestion: undefined;
  readonly Cancel: undefined;
  readonly ChooseModel: { readonly model: string };
  readonly Save: { readonly id: string; readonly messages: number };
  /** `changed` is false if the session was marked that way already. */
  readonly Mark: { readonly changed: boolean; readonly marks: Marks };
  readonly Compact: Compacted;
  readonly Rewind: Rewind;
  /** How many events were changed, and the providers that had been sent the text. */
  readonly Redact: { readonly changed: number; readonly providers: readonly string[] };
  readonly SetPermission: { readonly rule: string; readonly already: boolean };
  readonly RevokePermission: undefined;
  readonly Shutdown: undefined;
}

/** What a command resolves to. */
export type Result<C extends Command> = Results[C['type']];
