import type { Event } from '../../session/event.ts';
import { follow } from '../../session/follow.ts';
import type { Row } from '../../session/row.ts';
import type { Sessions } from '../../session/sessions.ts';
import { escapeJsonLine, escapeLine } from '../escape.ts';
import { logLine } from '../log-line.ts';
import { openSessions, type Shell } from '../shell.ts';
import type { Terminal } from '../terminal.ts';
import { cut } from '../width.ts';

/** How to show a record. */
export interface LogsOptions {
  /** Each event as it is recorded, as JSON in a line of its own. */
  readonly json?: boolean | undefined;
  /** Go on with what any process records from now on. */
  readonly follow?: boolean | undefined;
}

/**
 * Shows what a session has recorded, a line for each event. With `follow` it goes on until it is interrupted, the output is closed, or the
 * session is deleted. Throws `SESSION_NOT_FOUND`, `SESSION_AMBIGUOUS`, `UNAUTHENTIC`, `ROLLED_BACK`, `NEWER_VERSION`, `KEY_*`.
 */
export async function showLogs(shell: Shell, which: string, options: LogsOptions): Promise<void> {
  const { terminal } = shell;
  const { sessions, input } = await openSessions(shell);
  const show = options.json === true ? showJson : showLine;
  try {
    const row = await sessions.find(which);
    if (options.follow === true && row.kind === 'session') await showAsRecorded(terminal, sessions, row, show);
    else await showRecorded(terminal, sessions, row, show);
    if (options.follow === true && row.kind === 'snapshot')
      terminal.tell(`${row.id} is a snapshot: nothing will follow`);
  } finally {
    input.close();
  }
}

type Show = (terminal: Terminal, event: Event) => void;

async function showRecorded(terminal: Terminal, sessions: Sessions, row: Row, show: Show): Promise<void> {
  const { events, row: now } = await sessions.read(row);
  for (const event of events) show(terminal, event);
  if (now.torn !== undefined) terminal.tell(now.torn);
  if (now.rolledBack !== undefined) terminal.tell(`not as it was seen: ${now.rolledBack}`);
}

async function showAsRecorded(terminal: Terminal, sessions: Sessions, row: Row, show: Show): Promise<void> {
  const ended = new AbortController();
  terminal.onGone = () => ended.abort();
  for await (const event of follow(sessions, row, ended.signal)) show(terminal, event);
}

function showJson(terminal: Terminal, event: Event): void {
  terminal.write(`${escapeJsonLine(event)}\n`);
}

/** On a terminal an event is one line of it; elsewhere it is as long as it is. */
function showLine(terminal: Terminal, event: Event): void {
  const line = escapeLine(logLine(event));
  const { isTTY, columns } = terminal.streams.stdout;
  terminal.say(isTTY === true && columns > 0 ? cut(line, columns - 1) : line);
}
