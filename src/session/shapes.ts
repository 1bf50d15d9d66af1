import type { VaultInspection } from '../vault/inspect.ts';
import type { KeyState } from '../vault/keys/vault-keys.ts';
import type { SeenReport } from '../vault/vault.ts';
import type { Event, Instructions, Parent, Project } from './event/event.ts';
import type { Conflict } from './list/conflicts.ts';
import type { Row } from './list/row.ts';
import type { State } from './state.ts';

export type { KeyState } from '../vault/keys/vault-keys.ts';
export type { SeenReport } from '../vault/vault.ts';

/**
 * A session read without a lease, every byte verified. `row.rolledBack` reports if it isn't as
 * coffer last saw it.
 */
export interface Recorded {
  readonly row: Row;
  readonly events: readonly Event[];
  readonly state: State;
}

/** The initial data of a new session. */
export interface Beginning {
  /** Working directory of the conversation. */
  readonly directory: string;
  /** Model to use, `provider/model`. */
  readonly model: string;
  /** Git branch of the directory. Default: looked up. */
  readonly branch?: string | undefined;
  /** Top of the linked work tree that contains the directory, if any. */
  readonly worktree?: string | undefined;
  /** Project that the directory belongs to. */
  readonly project?: Project | undefined;
  /** Instructions for the model, in addition to those of the session it continues from. */
  readonly instructions?: readonly Instructions[] | undefined;
  /**
   * Tool permissions at the start; they replace those of the session it continues from. Default:
   * none, so everything that needs approval is asked for.
   */
  readonly permissions?: State['permissions'] | undefined;
  /** The conversation it continues from: events of another session, which are copied. */
  readonly after?: { readonly events: readonly Event[]; readonly parent: Parent } | undefined;
}

/** The state of a vault as shown by `coffer doctor`. */
export interface Inspection extends VaultInspection {
  readonly key: KeyState;
  /** Sessions and snapshots, unreadable ones with the reason. Empty if the key is unavailable. */
  readonly rows: readonly Row[];
  /** Conflicting copies of sessions. Empty if the key is unavailable. */
  readonly conflicts: readonly Conflict[];
  /** The rollback marks; undefined if the vault is empty or the key is unavailable. */
  readonly seen: SeenReport | undefined;
}
