import { CofferError, isCofferError } from '../../errors.ts';
import { refuseRolledBack } from '../../vault/marks/rollback.ts';
import type { NewEvent } from '../event/event.ts';
import type { Row } from '../list/row.ts';
import { withoutGrants } from '../permissions.ts';
import type { Session } from '../session.ts';
import type { Beginning, Recorded } from '../shapes.ts';
import type { State } from '../state.ts';
import { type Fork, type ForkParent, planFork } from './fork.ts';

/** A fork that has begun. */
export interface Forked extends Pick<Fork, 'prompts' | 'of'> {
  readonly session: Session;
  /** Why the parent has no `child` event; undefined if it has one. */
  readonly unnoted: CofferError | undefined;
}

/** The sessions of a vault, as a fork needs them. */
interface Places {
  begin(beginning: Beginning): Session;
  read(row: Row): Promise<Recorded>;
  list(): Promise<Row[]>;
  change<T>(row: Row, work: (session: Session) => Promise<T>): Promise<T>;
}

/** Options of a fork. */
export interface ForkOptions {
  /** Number of prompts to keep, with their answers. Default: all. */
  readonly prompts?: number | undefined;
  /** Model of the fork. Default: that of the parent. */
  readonly model?: string | undefined;
}

/**
 * Begins a session that continues from a saved one, which may be open here or in another process.
 * If the parent can be written, saves the fork and records a `child` event in the parent, both
 * durable when it resolves. Throws what reading the parent throws, `ROLLED_BACK`
 * unless `acceptOlder`, and `USAGE`.
 */
export async function forkRow(
  sessions: Places,
  row: Row,
  { acceptOlder = false, ...options }: ForkOptions & { readonly acceptOlder?: boolean | undefined },
): Promise<Forked> {
  const { events, state, row: now } = await sessions.read(row);
  if (now.rolledBack !== undefined && !acceptOlder) throw refuseRolledBack(row.fileId, now.rolledBack);
  const permissions = await permissionsNow(sessions, now, state);
  const { uuid, id, kind } = row;
  const parent = { uuid, id, events, state: { ...state, permissions }, isSnapshot: kind === 'snapshot' };
  return beginFork(sessions, parent, options, (fork, child) =>
    sessions.change(row, async (opened) => {
      await fork.record();
      requireSaved(fork);
      await opened.append(child);
    }),
  );
}

/**
 * Begins a session that continues from one that is open here. Saves the fork, best effort, and
 * calls `note` with the `child` event for the parent. Throws `USAGE`.
 */
export async function forkOpen(
  sessions: Pick<Places, 'begin'>,
  from: Session,
  options: ForkOptions,
  note: (child: NewEvent) => Promise<void>,
): Promise<Forked> {
  const { uuid, id = uuid, events, state } = from;
  return beginFork(sessions, { uuid, id, events, state, isSnapshot: false }, options, async (fork, child) => {
    await fork.record();
    await note(child);
  });
}

async function beginFork(
  sessions: Pick<Places, 'begin'>,
  parent: ForkParent,
  options: ForkOptions,
  note: (fork: Session, child: NewEvent) => Promise<void>,
): Promise<Forked> {
  const { beginning, prompts, of, reason } = planFork(parent, options.prompts);
  const session = sessions.begin({ ...beginning, model: options.model ?? beginning.model });
  try {
    await note(session, { type: 'child', uuid: session.uuid, reason });
    return { session, prompts, of, unnoted: undefined };
  } catch (error) {
    if (!isCofferError(error)) throw error;
    return { session, prompts, of, unnoted: error };
  }
}

/** A session must not name a fork that was never saved. */
function requireSaved({ fileId, unsaved }: Session): void {
  if (unsaved !== undefined) throw unsaved.error;
  if (fileId === undefined) throw new CofferError('NOT_SAVED', 'the fork is saved only on request');
}

/**
 * Returns the permission rules that apply to a session now. For a snapshot, these are the rules of
 * the session it was taken of, which may have revoked some since. Drops all grants if that session
 * is missing or unreadable, or if the row is rolled back.
 */
async function permissionsNow(sessions: Places, row: Row, state: State): Promise<State['permissions']> {
  if (row.rolledBack !== undefined) return withoutGrants(state.permissions);
  if (row.kind === 'session' || state.permissions.length === 0) return state.permissions;
  const rows = await sessions.list();
  const of = rows.find(({ kind, uuid, unreadable }) => kind === 'session' && uuid === state.uuid && !unreadable);
  const now = await (of && sessions.read(of))?.catch((error: unknown) => {
    if (!isCofferError(error)) throw error;
    return undefined;
  });
  return now && now.row.rolledBack === undefined ? now.state.permissions : withoutGrants(state.permissions);
}
