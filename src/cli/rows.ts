import type { Row } from '../session/row.ts';
import type { SeenReport } from '../session/shapes.ts';
import type { Terminal } from './terminal.ts';

/**
 * Shows the list: exactly the labels, with details behind them on a terminal, and tells what is wrong with it, `seen` included.
 * `resume` is how one is restored from here.
 */
export function showRows(terminal: Terminal, rows: readonly Row[], resume: string, seen?: SeenReport): void {
  if (rows.length === 0) terminal.say('no saved sessions yet');
  else sayRows(terminal, rows, resume);
  for (const row of rows) {
    if (row.unreadable !== undefined) terminal.tell(`${row.number} can't be opened: ${row.unreadable.message}`);
    else if (row.torn !== undefined) terminal.tell(`${row.number}: ${row.torn}`);
    if (row.rolledBack !== undefined) terminal.tell(`${row.number}: ${row.rolledBack}`);
  }
  for (const line of describeSeen(seen)) terminal.tell(line);
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

function sayRows(terminal: Terminal, rows: readonly Row[], resume: string): void {
  terminal.say(`saved sessions (${rows.length}):`);
  for (const row of rows) terminal.say(`${String(row.number).padStart(3)}) ${row.label}`, details(row));
  terminal.say(`use ${resume} <id or number> to restore`);
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
  const held = row.held === undefined ? [] : [row.held.pid === process.pid ? 'this one' : 'in use'];
  if (row.rolledBack !== undefined) held.push('not as it was seen');
  const words = [row.name, row.title].filter((text) => text !== undefined && !row.label.endsWith(text));
  return [countMessages(row.messages), row.model, ago(row.updated), ...held, ...words].join(', ');
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}
