import { CofferError } from '../errors.ts';
import type { Vault, Writable } from '../vault/vault.ts';
import type { Event, NewEvent, Status } from './event/event.ts';
import { emptyState, fold } from './state.ts';

/** How a session comes to be: its vault, and what it begins with. */
export interface SessionOrigin {
  readonly vault: Vault;
  /** False where nothing is saved but by {@link Session.save}. */
  readonly autosave: boolean;
  readonly events: Event[];
  /** Where the events are on disk already: the file, its lease and its id. */
  readonly written?:
    | (Writable & { readonly id: string; readonly lost: string | undefined; readonly pointed: boolean })
    | undefined;
}

/** Since when, and why, steps are not on disk. */
export interface Unsaved {
  readonly since: Date;
  /** The id of the first event that is not on disk; undefined if only how the session ended isn't. */
  readonly firstEvent: number | undefined;
  /** How many messages of user and assistant that concerns. */
  readonly messages: number;
  readonly error: CofferError;
}

/** Returns what a resumed session begins with. One that is still running although nobody held it was ended by a crash. */
export function goingOn(status: Status): NewEvent[] {
  const running: NewEvent = { type: 'status', status: 'running' };
  return status === 'running' ? [{ type: 'status', status: 'failed', reason: 'interrupted' }, running] : [running];
}

/** Returns the error of a save as one that {@link Unsaved} can show, whatever was thrown. */
export function failureOf(error: unknown): CofferError {
  if (error instanceof CofferError) return error;
  return new CofferError('NOT_SAVED', 'the session is not saved', {
    reason: error instanceof Error ? error.message : String(error),
    cause: error,
  });
}

/** Describes the events that are not on disk, and why. */
export function unsavedOf(events: readonly Event[], error: CofferError): Unsaved {
  const { messageCount: messages } = fold(emptyState, events);
  return { since: new Date(events[0]?.ts ?? Date.now()), firstEvent: events[0]?.id, messages, error };
}
