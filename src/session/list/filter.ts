import { CofferError } from '../../errors.ts';
import { isOf, type Surroundings } from '../project/project.ts';
import { folded } from '../search/texts.ts';
import type { Row } from './row.ts';

/** Which rows of a list are asked for; what is not given does not matter. */
export interface Filter {
  readonly statuses?: ReadonlySet<Row['status']> | undefined;
  /** The conversation went on then or later: milliseconds since 1970. */
  readonly since?: number | undefined;
  /** Of this directory, or of this project where it was before. */
  readonly here?: Surroundings | undefined;
  /** A part of the name, the title, the id or a tag, in any case. */
  readonly text?: string | undefined;
  /** Archived ones too. */
  readonly archived?: boolean | undefined;
}

/** Every status that a row can have. */
const STATUSES: readonly Row['status'][] = ['running', 'completed', 'cancelled', 'failed', 'interrupted'];

/**
 * Gives the rows that fit, with the numbers they have, and how many more would if archived ones were asked for. Of a file that
 * can't be read nothing is known: it fits only where nothing but archived ones is left out.
 */
export function filterRows(rows: readonly Row[], filter: Filter): { rows: Row[]; archived: number } {
  const text = filter.text === undefined ? undefined : folded(filter.text);
  const wanted = { ...filter, text };
  const fitting = rows.filter((row) => fits(row, wanted));
  if (filter.archived === true) return { rows: fitting, archived: 0 };
  const shown = fitting.filter((row) => row.archived !== true);
  return { rows: shown, archived: fitting.length - shown.length };
}

/** The text of the filter is folded already. */
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

/** Reads statuses with commas between them; a session that was interrupted has failed. Throws `USAGE`. */
export function parseStatuses(text: string): ReadonlySet<Row['status']> {
  const wanted = new Set<Row['status']>();
  for (const word of text.split(',').map((part) => part.trim())) {
    const status = STATUSES.find((known) => known === word);
    if (status === undefined) {
      const what = word === '' ? 'nothing' : JSON.stringify(word);
      throw new CofferError(
        'USAGE',
        `--status takes ${STATUSES.join(', ')}, or several with commas between, not ${what}`,
      );
    }
    wanted.add(status);
  }
  if (wanted.has('failed')) wanted.add('interrupted');
  return wanted;
}

/** Reads a number of hours and gives when they began. Throws `USAGE`. */
export function parseSinceHours(text: string, now: number = Date.now()): number {
  const hours = /^(\d+\.?\d*|\.\d+)$/.test(text.trim()) ? Number(text) : Number.NaN;
  if (hours > 0 && Number.isFinite(hours)) return now - hours * 3_600_000;
  throw new CofferError('USAGE', `--since-hours takes a number above 0, as 24 or 0.5, not ${JSON.stringify(text)}`);
}

/** Reads a whole number from 1 on; `option` is what it was given to. Throws `USAGE`. */
export function parseCount(option: string, text: string): number {
  const count = /^\d+$/.test(text.trim()) ? Number(text) : 0;
  if (count > 0 && Number.isSafeInteger(count)) return count;
  throw new CofferError('USAGE', `${option} takes a whole number of at least 1, not ${JSON.stringify(text)}`);
}
