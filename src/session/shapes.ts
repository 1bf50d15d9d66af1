import type { CofferError } from '../errors.ts';
import type { VaultInspection } from '../vault/inspect.ts';
import type { SeenReport } from '../vault/vault.ts';
import type { Event, Instructions, Parent, Project } from './event/event.ts';
import type { Conflict } from './list/conflicts.ts';
import type { Row } from './list/row.ts';
import type { State } from './state.ts';

export type { SeenReport } from '../vault/vault.ts';

/** A session read without a lease: every byte of it verified. Whether it is as coffer saw it last, `row.rolledBack` says. */
export interface Recorded {
  readonly row: Row;
  readonly events: readonly Event[];
  readonly state: State;
}

/** What a new session begins with. The model is named `provider/model`. */
export interface Beginning {
  readonly directory: string;
  readonly model: string;
  /** What git says of the directory; without them the branch is looked up. */
  readonly branch?: string | undefined;
  readonly worktree?: string | undefined;
  readonly project?: Project | undefined;
  /** What the model is told before the conversation, beside what the session it continues was told. */
  readonly instructions?: readonly Instructions[] | undefined;
  /** What tools may do from the start, whatever the session it continues was told. Default: nothing that has to be asked. */
  readonly permissions?: State['permissions'] | undefined;
  /** The conversation it goes on from: what another session had recorded, which is copied. */
  readonly after?: { readonly events: readonly Event[]; readonly parent: Parent } | undefined;
}

/** What `coffer doctor` shows of a vault. */
export interface Inspection extends VaultInspection {
  readonly key: KeyState;
  /** Sessions and snapshots, unreadable ones with their reason. Empty where the key can't be had. */
  readonly rows: readonly Row[];
  /** Copies of sessions under other names. Empty where the key can't be had. */
  readonly conflicts: readonly Conflict[];
  /** The marks against rollback; undefined where there are none yet, or the key can't be had. */
  readonly seen: SeenReport | undefined;
}

/** Whether the key is there: available, asked for and awaited, unavailable and why, or not asked for yet. */
export type KeyState =
  | {
      readonly state: 'ready';
      readonly keyId: string;
      readonly backend: string;
      readonly provider: string;
      readonly how: 'opened' | 'created';
    }
  | { readonly state: 'awaited' }
  | { readonly state: 'unavailable'; readonly error: CofferError }
  | { readonly state: 'unasked' };
