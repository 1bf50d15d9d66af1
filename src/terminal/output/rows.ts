import { homedir } from 'node:os';
import { sep } from 'node:path';
import type { Row } from '../../session/list/row.ts';
import type { SeenReport } from '../../session/shapes.ts';
import type { Terminal } from './terminal.ts';

/** The part of a list that is shown. */
export interface Cut {
  /** Maximum rows to show. Default: all. */
  readonly limit?: number | undefined;
  /** The number of archived sessions left out. */
  readonly archived: number;
  /** The total number of rows. */
  readonly of: number;
  /** The command or option that shows the whole list. */
  readonly all: string;
}

/** Maximum rows shown by default. */
export const USUAL_LIMIT = 20;

/**
 * Shows a list of sessions: exactly their labels, followed by details on a terminal. Then reports
 * on stderr how much `cut` leaves out, and what is wrong with the rows and with `seen`. `resume` is
 * the command that resumes a session.
 */
export function showRows(terminal: Terminal, rows: readonly Row[], resume: string, seen?: SeenReport, cut?: Cut): void {
  const shown = rows.slice(0, cut?.limit);
  if (rows.length > 0) sayRows(terminal, rows.length, shown, resume);
  else terminal.say((cut?.of ?? 0) > 0 ? 'no saved session matches' : 'no saved sessions yet');
  if (cut !== undefined) tellCut(terminal, rows.length - shown.length, cut);
  tellTroubles(terminal, rows);
  for (const line of describeSeen(seen)) terminal.tell(line);
}

/** Reports how many rows are not shown. */
export function tellCut(terminal: Terminal, more: number, { archived, all }: Cut): void {
  if (more > 0) terminal.tell(`… ${more} more; list them with ${all}`);
  if (archived > 0)
    terminal.tell(`${archived} archived not shown; include ${archived === 1 ? 'it' : 'them'} with ${all}`);
}

/** Reports the rows that can't be opened, lost a step, or are not as they were last seen. */
export function tellTroubles(terminal: Terminal, rows: readonly Row[]): void {
  for (const row of rows) {
    if (row.unreadable !== undefined) terminal.tell(`${row.number} can't be opened: ${row.unreadable.message}`);
    else if (row.torn !== undefined) terminal.tell(`${row.number}: ${row.torn}`);
    if (row.rolledBack !== undefined) terminal.tell(`${row.number}: ${row.rolledBack}`);
  }
}

/**
 * Reports how many files changed after `last` can't be opened: they may be newer than the session
 * that is resumed.
 */
export function tellPassedOver(terminal: Terminal, rows: readonly Row[], last: Row | undefined): void {
  const { updated } = last ?? { updated: 0 };
  const count = rows.filter((row) => row.unreadable !== undefined && row.updated > updated).length;
  if (count === 0) return;
  terminal.tell(
    `${count === 1 ? '1 newer file' : `${count} newer files`} can't be opened; run coffer doctor to see why`,
  );
}

/** Describes what is wrong with the rollback marks and what to do, one line per problem. */
export function describeSeen(seen: SeenReport | undefined): string[] {
  if (seen === undefined) return [];
  const removed = seen.removed.map(
    (fileId) =>
      `${fileId} was removed by something other than coffer; restore it, or accept that with coffer sessions --accept-removed`,
  );
  const unnoticed = 'coffer does not notice if a session is replaced by an older copy';
  if (seen.state === 'missing')
    return [`seen is missing; the next chat or snapshot recreates it, until then ${unnoticed}`];
  if (seen.error === undefined) return removed;
  const { code, message } = seen.error;
  if (code === 'UNAUTHENTIC')
    return [`${message}; the next save moves it to quarantine and creates a new one, until then ${unnoticed}`];
  return [`${message}; it is left unchanged, and until it can be read ${unnoticed}`];
}

function sayRows(terminal: Terminal, count: number, rows: readonly Row[], resume: string): void {
  terminal.say(`saved sessions (${count}):`);
  for (const row of rows) sayRow(terminal, row);
  terminal.say(`use ${resume} <id or number> to restore`);
}

/** Shows one row: exactly its label, followed by details on a terminal. */
export function sayRow(terminal: Terminal, row: Row): void {
  terminal.say(`${numbered(row)} ${row.label}`, details(row));
}

/** Returns the number in front of a row: `  3)`. */
export function numbered({ number }: Pick<Row, 'number'>): string {
  return `${String(number).padStart(3)})`;
}

/** Formats a number of tasks: `3 tasks`, `1 task`. */
export function countTasks(count: number): string {
  return count === 1 ? '1 task' : `${count} tasks`;
}

/** Returns the name that a user knows a session by: its name, else its title, else its label. */
export function nameRow(row: Row): string {
  return row.name ?? row.title ?? row.label;
}

/**
 * Describes a session, most important facts first: `12 messages, 3 minutes ago, demo/echo,
 * completed, ~/project`.
 */
export function describeRow(row: Row): string {
  if (row.unreadable !== undefined) return "can't be opened";
  const marks = [row.pinned && 'pinned', row.archived && 'archived', row.rolledBack && 'not as last seen'];
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

/** Formats a number of messages: `12 messages`, `1 message`. */
export function countMessages(count: number): string {
  return count === 1 ? '1 message' : `${count} messages`;
}

/** Formats how long ago a time (in milliseconds since 1970) was: `3 minutes ago`. */
export function ago(time: number, now: number = Date.now()): string {
  const seconds = Math.max(0, Math.floor((now - time) / 1000));
  for (const [unit, length] of units) {
    const count = Math.floor(seconds / length);
    if (count > 0) return `${count} ${unit}${count === 1 ? '' : 's'} ago`;
  }
  return 'just now';
}

/** Formats a local time: `12:31`. */
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

/** Returns whatever is unusual about a row. */
function marks({ held, status, rolledBack, pinned, archived, tags = [] }: Row): string[] {
  const all: string[] = [];
  if (held !== undefined) all.push(whoHolds(held.pid));
  else if (status === 'interrupted' || status === 'failed') all.push(status);
  if (rolledBack !== undefined) all.push('not as last seen');
  if (pinned === true) all.push('pinned');
  if (archived === true) all.push('archived');
  return [...all, ...tags.map((tag) => `#${tag}`)];
}

/** Describes the process that holds a session. A `pid` of 0 means unknown. */
function whoHolds(pid: number): string {
  if (pid === process.pid) return 'this one';
  return pid === 0 ? 'in use' : `in use by process ${pid}`;
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}
