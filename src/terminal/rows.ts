import { homedir } from 'node:os';
import { sep } from 'node:path';
import type { Row } from '../session/list/row.ts';
import type { SeenReport } from '../session/shapes.ts';
import type { Terminal } from './terminal.ts';

/** How much of a list is shown. */
export interface Cut {
  /** At most so many rows; all of them unless given. */
  readonly limit?: number | undefined;
  /** How many archived ones were left out. */
  readonly archived: number;
  /** How many rows there are at all. */
  readonly of: number;
  /** What shows all of it from here. */
  readonly all: string;
}

/** How many rows are shown to somebody who did not say. */
export const USUAL_LIMIT = 20;

/**
 * Shows the list: exactly the labels, with details behind them on a terminal, and tells what is wrong with it, `seen` included, and
 * how much `cut` leaves out. `resume` is how one is restored from here.
 */
export function showRows(terminal: Terminal, rows: readonly Row[], resume: string, seen?: SeenReport, cut?: Cut): void {
  const shown = rows.slice(0, cut?.limit);
  if (rows.length > 0) sayRows(terminal, rows.length, shown, resume);
  else terminal.say((cut?.of ?? 0) > 0 ? 'no saved session fits' : 'no saved sessions yet');
  if (cut !== undefined) tellCut(terminal, rows.length - shown.length, cut);
  tellTroubles(terminal, rows);
  for (const line of describeSeen(seen)) terminal.tell(line);
}

/** Tells how many rows are not shown. */
export function tellCut(terminal: Terminal, more: number, { archived, all }: Cut): void {
  if (more > 0) terminal.tell(`… ${more} more; ${all} lists them`);
  if (archived > 0) terminal.tell(`${archived} archived not shown; ${all} lists ${archived === 1 ? 'it' : 'them'} too`);
}

/** Tells which rows can't be opened, lost a step, or are not as they were seen. */
export function tellTroubles(terminal: Terminal, rows: readonly Row[]): void {
  for (const row of rows) {
    if (row.unreadable !== undefined) terminal.tell(`${row.number} can't be opened: ${row.unreadable.message}`);
    else if (row.torn !== undefined) terminal.tell(`${row.number}: ${row.torn}`);
    if (row.rolledBack !== undefined) terminal.tell(`${row.number}: ${row.rolledBack}`);
  }
}

/** Tells how many files can't be opened that were changed after `last`: what they hold may be newer than what is gone on with. */
export function tellPassedOver(terminal: Terminal, rows: readonly Row[], last: Row | undefined): void {
  const { updated } = last ?? { updated: 0 };
  const count = rows.filter((row) => row.unreadable !== undefined && row.updated > updated).length;
  if (count === 0) return;
  terminal.tell(`${count === 1 ? '1 newer file' : `${count} newer files`} can't be opened; coffer doctor says why`);
}

/** What is wrong with the marks against rollback, what it means and what to do: a line for each. */
export function describeSeen(seen: SeenReport | undefined): string[] {
  if (seen === undefined) return [];
  const removed = seen.removed.map(
    (fileId) =>
      `${fileId} was removed by something other than coffer; restore it, or coffer sessions --accept-removed takes note of it`,
  );
  const until = "until then an older copy of a session put back can't be noticed";
  if (seen.state === 'missing') return [`seen is missing; the next chat or snapshot writes it anew, ${until}`];
  if (seen.error === undefined) return removed;
  const { code, message } = seen.error;
  if (code === 'UNAUTHENTIC') return [`${message}; the next save keeps it in quarantine and begins another, ${until}`];
  return [`${message}; it is left as it is, ${until.replace('until then', 'and as long as it is')}`];
}

function sayRows(terminal: Terminal, count: number, rows: readonly Row[], resume: string): void {
  terminal.say(`saved sessions (${count}):`);
  for (const row of rows) sayRow(terminal, row);
  terminal.say(`use ${resume} <id or number> to restore`);
}

/** Shows one row: exactly its label, with details behind it on a terminal. */
export function sayRow(terminal: Terminal, row: Row): void {
  terminal.say(`${numbered(row)} ${row.label}`, details(row));
}

/** `  3)`: what stands before a row. */
export function numbered({ number }: Pick<Row, 'number'>): string {
  return `${String(number).padStart(3)})`;
}

/** `3 tasks`, `1 task`. */
export function countTasks(count: number): string {
  return count === 1 ? '1 task' : `${count} tasks`;
}

/** What a person knows a session by: its name, else its title, else its label. */
export function nameRow(row: Row): string {
  return row.name ?? row.title ?? row.label;
}

/** What else there is to say about a session, most telling first: `12 messages, 3 minutes ago, demo/echo, completed, ~/project`. */
export function describeRow(row: Row): string {
  if (row.unreadable !== undefined) return "can't be opened";
  const marks = [row.pinned && 'pinned', row.archived && 'archived', row.rolledBack && 'not as it was seen'];
  return [
    ...[countMessages(row.messages), ago(row.updated), row.model, statusOf(row)],
    ...marks.filter((mark) => typeof mark === 'string'),
    ...[atHome(row.directory), ...(row.tags ?? []).map((tag) => `#${tag}`)],
  ].join(', ');
}

function statusOf(row: Row): string {
  if (row.held !== undefined) return row.held.pid === process.pid ? 'this one' : 'in use';
  return row.kind === 'snapshot' ? 'snapshot' : row.status;
}

function atHome(directory: string): string {
  const home = homedir();
  return directory === home || directory.startsWith(home + sep) ? `~${directory.slice(home.length)}` : directory;
}

/** `12 messages`, `1 message`. */
export function countMessages(count: number): string {
  return count === 1 ? '1 message' : `${count} messages`;
}

/** How long ago a time (milliseconds since 1970) was: `3 minutes ago`. */
export function ago(time: number, now: number = Date.now()): string {
  const seconds = Math.max(0, Math.floor((now - time) / 1000));
  for (const [unit, length] of units) {
    const count = Math.floor(seconds / length);
    if (count > 0) return `${count} ${unit}${count === 1 ? '' : 's'} ago`;
  }
  return 'just now';
}

/** `12:31`, local time. */
export function clock(time: Date): string {
  return `${two(time.getHours())}:${two(time.getMinutes())}`;
}

const units: readonly (readonly [string, number])[] = [
  ['year', 31_557_600],
  ['month', 2_629_800],
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
];

function details(row: Row): string {
  if (row.unreadable !== undefined) return "can't be opened";
  const words = [row.name, row.title].filter((text) => text !== undefined && !row.label.endsWith(text));
  return [countMessages(row.messages), row.model, ago(row.updated), ...marks(row), ...words].join(', ');
}

/** What is out of the ordinary with a row. */
function marks({ held, status, rolledBack, pinned, archived, tags = [] }: Row): string[] {
  const all: string[] = [];
  if (held !== undefined) all.push(whoHolds(held.pid));
  else if (status === 'interrupted' || status === 'failed') all.push(status);
  if (rolledBack !== undefined) all.push('not as it was seen');
  if (pinned === true) all.push('pinned');
  if (archived === true) all.push('archived');
  return [...all, ...tags.map((tag) => `#${tag}`)];
}

/** Nothing is known of a holder with the number 0. */
function whoHolds(pid: number): string {
  if (pid === process.pid) return 'this one';
  return pid === 0 ? 'in use' : `in use by process ${pid}`;
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}
