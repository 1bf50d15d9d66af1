import type { CofferError } from '../errors.ts';
import type { Vault, Writable } from '../vault/vault.ts';
import type { Event } from './event.ts';

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
  /** How many messages of user and assistant that concerns. */
  readonly messages: number;
  readonly error: CofferError;
}
