import { CofferError } from '../errors.ts';
import type { Vault, Writable } from '../vault/vault.ts';
import type { Event, NewEvent, Status } from './event/event.ts';
import { emptyState, fold } from './state.ts';

/** The vault and the initial events of a session. */
export interface SessionOrigin {
  readonly vault: Vault;
  /** Whether steps are saved automatically. */
  readonly autosave: boolean;
  readonly events: Event[];
  /** The sealed file, its lease and the session's id, if the events are already on disk. */
  readonly written?:
    | (Writable & { readonly id: string; readonly lost: string | undefined; readonly pointed: boolean })
    | undefined;
}

/** The events that are not on disk because a save failed. */
export interface Unsaved {
  /** Time of the first unsaved event. */
  readonly since: Date;
  /** The id of the first event that is not on disk; undefined if only how the session ended isn't. */
  readonly firstEvent: number | undefined;
  /** Number of unsaved user and assistant messages. */
  readonly messages: number;
  /** The error of the last save. */
  readonly error: CofferError;
}

/**
 * Returns the status events that begin a resumed session. A session that is still `running`
 * although no process held it was interrupted by a crash.
 */
export function goingOn(status: Status): NewEvent[] {
  const running: NewEvent = { type: 'status', status: 'running' };
  return status === 'running' ? [{ type: 'status', status: 'failed', reason: 'interrupted' }, running] : [running];
}

/** Converts anything thrown by a save into an error for {@link Unsaved}. */
export function saveError(error: unknown): CofferError {
  if (error instanceof CofferError) return error;
  return new CofferError('NOT_SAVED', 'the session could not be saved', {
    reason: error instanceof Error ? error.message : String(error),
    cause: error,
  });
}

/** Summarises the events that are not on disk, and the error that prevented saving them. */
export function unsavedOf(events: readonly Event[], error: CofferError): Unsaved {
  const { messageCount: messages } = fold(emptyState, events);
  return { since: new Date(events[0]?.ts ?? Date.now()), firstEvent: events[0]?.id, messages, error };
}
