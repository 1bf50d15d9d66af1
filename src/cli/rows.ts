import type { Row } from '../session/row.ts';
import type { Terminal } from './terminal.ts';

/** Shows the list: exactly the labels, with details behind them on a terminal. `resume` is how one is restored from here. */
export function showRows(terminal: Terminal, rows: readonly Row[], resume: string): void {
  if (rows.length === 0) {
    terminal.say('no saved sessions yet');
    return;
  }
  terminal.say(`saved sessions (${rows.length}):`);
  for (const row of rows) terminal.say(`${String(row.number).padStart(3)}) ${row.label}`, details(row));
  terminal.say(`use ${resume} <id or number> to restore`);
  for (const row of rows) {
    if (row.unreadable !== undefined) terminal.tell(`${row.number} can't be opened: ${row.unreadable.message}`);
    else if (row.torn !== undefined) terminal.tell(`${row.number}: ${row.torn}`);
  }
}

/** The session to go on with: the newest that no process holds. Snapshots are asked for by name. */
export function lastSession(rows: readonly Row[]): Row | undefined {
  const free = rows.filter((row) => row.kind === 'session' && row.held === undefined && row.unreadable === undefined);
  return free.sort((a, b) => b.updated - a.updated)[0];
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
  const words = [row.name, row.title].filter((text) => text !== undefined && !row.label.endsWith(text));
  return [countMessages(row.messages), row.model, ago(row.updated), ...held, ...words].join(', ');
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}
