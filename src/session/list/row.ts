import type { CofferError, Holder } from '../../errors.ts';
import type { Torn } from '../../vault/file/open.ts';
import { describeRollback } from '../../vault/marks/rollback.ts';
import type { FileState, Listed } from '../../vault/vault.ts';
import type { Status } from '../event/event.ts';
import { emptyState } from '../state.ts';
import { type Summary, summarize } from './summary.ts';

/** One row of the list: a session, a snapshot, or a file that can't be read. */
export interface Row extends Omit<Summary, 'status'> {
  /** `interrupted` if it was running and the process that held it is gone. */
  readonly status: Status | 'interrupted';
  /**
   * Position in the list, from 1: `_autosave` first, readable or not, then the newest first, then
   * other unreadable files.
   */
  readonly number: number;
  /** Name of its sealed file, 32 hex digits. */
  readonly fileId: string;
  /** `_autosave`, or else the id, or else the file id of an unreadable file. */
  readonly label: string;
  /** Whether `_autosave` points at it. */
  readonly autosave: boolean;
  /** The process that has it open for writing. */
  readonly held?: Holder | undefined;
  /** Why it can't be read; undefined if it can. */
  readonly unreadable?: CofferError | undefined;
  /** File state when it was listed; undefined if unreadable. */
  readonly state?: FileState | undefined;
  /** The step lost to a torn write, as a sentence, if any. The earlier steps are intact. */
  readonly torn?: string | undefined;
  /**
   * How it differs from what coffer last saw, as a sentence; undefined if it doesn't. It is resumed
   * only with `acceptOlder`.
   */
  readonly rolledBack?: string | undefined;
}

/**
 * Converts listed files to numbered rows in list order. `autosave` is the id of the file that
 * `_autosave` points at.
 */
export function toRows(listed: readonly Listed[], autosave: string | undefined): Row[] {
  const rows = listed.map((entry) => ({ changed: entry.changed, row: toRow(entry, entry.fileId === autosave) }));
  rows.sort((a, b) => byOrder(a.row, b.row) || b.changed - a.changed);
  return rows.map(({ row }, index) => {
    row.number = index + 1;
    return row;
  });
}

/** Describes the step lost to a torn write. */
export function describeTorn(torn: Torn): string {
  return `step ${torn.frame} of its file was cut off by a crash and is lost; all earlier steps are intact`;
}

/** A row whose number is not assigned yet. */
type Unnumbered = { -readonly [Field in keyof Row]: Row[Field] };

function toRow(listed: Listed, autosave: boolean): Unnumbered {
  const common = { number: 0, fileId: listed.fileId, autosave, held: listed.held };
  if ('error' in listed) return unreadableRow(common, listed.changed, listed.error);
  const { summary, torn } = listed.head;
  return {
    ...summary,
    ...common,
    state: listed.state,
    status: statusOf(summary, listed.held),
    label: autosave ? '_autosave' : summary.id,
    torn: torn && describeTorn(torn),
    rolledBack: listed.rollback && describeRollback(listed.rollback),
  };
}

/** Maps `running` to `completed` for a snapshot and to `interrupted` if no process holds it. */
function statusOf({ kind, status }: Summary, held: Holder | undefined): Row['status'] {
  if (status !== 'running' || held !== undefined) return status;
  return kind === 'snapshot' ? 'completed' : 'interrupted';
}

function unreadableRow(
  common: Pick<Row, 'number' | 'fileId' | 'autosave' | 'held'>,
  changed: number,
  unreadable: CofferError,
): Unnumbered {
  const { fileId } = common;
  const of = { kind: 'session', id: fileId, uuid: '', name: undefined } as const;
  const unknown = summarize({ ...emptyState, status: 'failed', updated: Math.trunc(changed) }, of);
  return { ...unknown, ...common, label: common.autosave ? '_autosave' : fileId, unreadable };
}

/** Orders rows. Ties, such as snapshots of the same moment, are ordered by file time. */
function byOrder(a: Row, b: Row): number {
  if (a.autosave !== b.autosave) return a.autosave ? -1 : 1;
  if (a.unreadable || b.unreadable) return Number(a.unreadable !== undefined) - Number(b.unreadable !== undefined);
  return b.updated - a.updated;
}
