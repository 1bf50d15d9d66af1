import type { CofferError, Holder } from '../../errors.ts';
import type { Torn } from '../../vault/file/open.ts';
import { describeRollback } from '../../vault/marks/rollback.ts';
import type { FileState, Listed } from '../../vault/vault.ts';
import type { Status } from '../event/event.ts';
import { emptyState } from '../state.ts';
import { type Summary, summarize } from './summary.ts';

/** One line of the list: a session, a snapshot, or a file that can't be read (then `unreadable` says why). */
export interface Row extends Omit<Summary, 'status'> {
  /** `interrupted`: it was running, and the process that held it is gone. */
  readonly status: Status | 'interrupted';
  /** Its place in the order used everywhere: `_autosave` first, readable or not, then newest first; other unreadable ones last. */
  readonly number: number;
  readonly fileId: string;
  /** `_autosave`, or the id; of one that can't be read, the file id. */
  readonly label: string;
  readonly autosave: boolean;
  /** The process that has it open for writing. */
  readonly held?: Holder | undefined;
  readonly unreadable?: CofferError | undefined;
  /** The state of its file when it was listed; not of one that can't be read. */
  readonly state?: FileState | undefined;
  /** Its last step was torn by a crash; the steps before are good. */
  readonly torn?: string | undefined;
  /** It is not as coffer saw it last: what was seen and what is there. It is resumed only by who accepts that. */
  readonly rolledBack?: string | undefined;
}

/** Puts what the vault lists into rows, in the order used everywhere; `autosave` is the file that `_autosave` points at. */
export function toRows(listed: readonly Listed[], autosave: string | undefined): Row[] {
  const rows = listed.map((entry) => ({ changed: entry.changed, row: toRow(entry, entry.fileId === autosave) }));
  rows.sort((a, b) => byOrder(a.row, b.row) || b.changed - a.changed);
  return rows.map(({ row }, index) => {
    row.number = index + 1;
    return row;
  });
}

/** Puts what a crash cost into words. */
export function describeTorn(torn: Torn): string {
  return `step ${torn.frame} of its file was cut off by a crash and is lost; the steps before it are all there`;
}

/** A row that waits for its number. */
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

/** A snapshot does not run, and neither does a session that no process holds. */
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

/** Two snapshots of the same moment are told apart by when their files were written. */
function byOrder(a: Row, b: Row): number {
  if (a.autosave !== b.autosave) return a.autosave ? -1 : 1;
  if (a.unreadable || b.unreadable) return Number(a.unreadable !== undefined) - Number(b.unreadable !== undefined);
  return b.updated - a.updated;
}
