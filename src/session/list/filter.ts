import { CofferError } from '../../errors.ts';
import { isOf, type Surroundings } from '../project/project.ts';
import { folded } from '../search/texts.ts';
import type { Row } from './row.ts';

/** A filter for the list. Omitted fields match every row. */
export interface Filter {
  readonly statuses?: ReadonlySet<Row['status']> | undefined;
  /** Earliest time of the last activity, in milliseconds since 1970. */
  readonly since?: number | undefined;
  /** Directory of the session, or its project if the session's own directory is gone. */
  readonly here?: Surroundings | undefined;
  /** Substring of the name, title, id or a tag, ignoring case. */
  readonly text?: string | undefined;
  /** Includes archived rows. */
  readonly archived?: boolean | undefined;
}

/** All statuses of a row. */
const STATUSES: readonly Row['status'][] = ['running', 'completed', 'cancelled', 'failed', 'interrupted'];

/**
 * Returns the matching rows, with unchanged numbers, and the number of matching archived rows that
 * were left out. A file that can't be read matches only if no other filter is set, because nothing
 * is known of it.
 */
export function filterRows(rows: readonly Row[], filter: Filter): { rows: Row[]; archived: number } {
  const text = filter.text === undefined ? undefined : folded(filter.text);
  const wanted = { ...filter, text };
  const fitting = rows.filter((row) => fits(row, wanted));
  if (filter.archived === true) return { rows: fitting, archived: 0 };
  const shown = fitting.filter((row) => row.archived !== true);
  return { rows: shown, archived: fitting.length - shown.length };
}

/** Expects the text of the filter to be folded. */
function fits(row: Row, { statuses, since, here, text }: Filter): boolean {
  const isAsked = statuses !== undefined || since !== undefined || here !== undefined || text !== undefined;
  if (row.unreadable !== undefined) return !isAsked;
  if (statuses !== undefined && !statuses.has(row.status)) return false;
  if (since !== undefined && row.updated < since) return false;
  if (text !== undefined && !isNamed(row, text)) return false;
  return here === undefined || isOf(row, here);
}

function isNamed({ name, title, id, tags = [] }: Row, wanted: string): boolean {
  return [name, title, id, ...tags].some((words) => words !== undefined && folded(words).includes(wanted));
}

/** Parses a comma-separated list of statuses. `failed` includes `interrupted`. Throws `USAGE`. */
export function parseStatuses(text: string): ReadonlySet<Row['status']> {
  const wanted = new Set<Row['status']>();
  for (const word of text.split(',').map((part) => part.trim())) {
    const status = STATUSES.find((known) => known === word);
    if (status === undefined) {
      const what = word === '' ? 'nothing' : JSON.stringify(word);
      throw new CofferError(
        'USAGE',
        `--status takes ${STATUSES.join(', ')}, or several separated by commas, not ${what}`,
      );
    }
    wanted.add(status);
  }
  if (wanted.has('failed')) wanted.add('interrupted');
  return wanted;
}

/**
 * Parses a number of hours and returns the time that many hours before `now`, in milliseconds since
 * 1970. Throws `USAGE`.
 */
export function parseSinceHours(text: string, now: number = Date.now()): number {
  const hours = /^(\d+\.?\d*|\.\d+)$/.test(text.trim()) ? Number(text) : Number.NaN;
  if (hours > 0 && Number.isFinite(hours)) return now - hours * 3_600_000;
  throw new CofferError(
    'USAGE',
    `--since-hours takes a number above 0, such as 24 or 0.5, not ${JSON.stringify(text)}`,
  );
}

/** Parses a whole number of at least 1. The error names `option`. Throws `USAGE`. */
export function parseCount(option: string, text: string): number {
  const count = /^\d+$/.test(text.trim()) ? Number(text) : 0;
  if (count > 0 && Number.isSafeInteger(count)) return count;
  throw new CofferError('USAGE', `${option} takes a whole number of at least 1, not ${JSON.stringify(text)}`);
}
