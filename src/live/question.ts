import type { ApprovalRequest } from '../chat/tools/toolbox.ts';
import type { CofferError } from '../errors.ts';
import type { Approval } from '../session/event/event.ts';
import type { Notice } from './notice.ts';

/**
 * A question to the user. `ask` is its key: the id of the event that recorded the question, or a
 * negative number if it isn't recorded.
 */
export type Question = { readonly ask: number } & Inquiry;

/** A question without its key. */
export type Inquiry =
  /** Is a tool allowed to do this? */
  | { readonly kind: 'approval'; readonly request: ApprovalRequest }
  /** May a conversation with a model on this machine be sent to one elsewhere? */
  | {
      readonly kind: 'send-elsewhere';
      readonly messages: number;
      readonly from: string;
      readonly to: string;
    }
  /** The session is older than when it was last seen: continue anyway? */
  | { readonly kind: 'accept-older'; readonly error: CofferError }
  /** Another process holds the session: fork it, only read it, or cancel? */
  | { readonly kind: 'in-use'; readonly error: CofferError }
  /** Leave a conversation that isn't saved? */
  | { readonly kind: 'drop-unsaved'; readonly since: Date }
  /** Which directory should tools work in: the session's, or the one the chat was started in? */
  | { readonly kind: 'directory'; readonly recorded: string; readonly here: string }
  /** The session's directory is gone: continue in the one the chat was started in? */
  | { readonly kind: 'directory-gone'; readonly recorded: string; readonly here: string }
  /** Should the model be given the AGENTS.md of this directory? */
  | { readonly kind: 'agents'; readonly bytes: number };

/** The types of answers to each kind of question. */
export interface Answers {
  readonly approval: Approval;
  readonly 'send-elsewhere': 'yes' | 'no';
  readonly 'accept-older': 'yes' | 'no';
  readonly 'in-use': 'fork' | 'read' | 'cancel';
  readonly 'drop-unsaved': 'yes' | 'no';
  readonly directory: 'recorded' | 'here' | 'cancel';
  readonly 'directory-gone': 'here' | 'cancel';
  readonly agents: 'yes' | 'no';
}

/** The valid answers to each kind of question. */
export const answers: { readonly [K in Inquiry['kind']]: readonly Answers[K][] } = {
  approval: ['once', 'session', 'deny', 'always'],
  'send-elsewhere': ['yes', 'no'],
  'accept-older': ['yes', 'no'],
  'in-use': ['fork', 'read', 'cancel'],
  'drop-unsaved': ['yes', 'no'],
  directory: ['recorded', 'here', 'cancel'],
  'directory-gone': ['here', 'cancel'],
  agents: ['yes', 'no'],
};

/** A front end, as seen by functions that need to ask or notify the user. */
export interface FrontEnd {
  /** Whether a user can answer. If false, {@link ask} must not be called. */
  readonly attended: boolean;
  /** Asks the user. Resolves to undefined if there is no answer, or once `signal` is aborted. */
  ask<K extends Inquiry['kind']>(
    inquiry: Extract<Inquiry, { kind: K }>,
    signal?: AbortSignal,
  ): Promise<Answers[K] | undefined>;
  /** Notifies the user of something that isn't the result of a command. */
  notify(notice: Notice): void;
}
