import type { Event } from '../../../session/event/event.ts';
import { follow } from '../../../session/follow.ts';
import type { Row } from '../../../session/list/row.ts';
import type { Sessions } from '../../../session/sessions.ts';
import { escapeJsonLine, escapeLine } from '../../../terminal/output/escape.ts';
import type { Terminal } from '../../../terminal/output/terminal.ts';
import { cut } from '../../../terminal/output/width.ts';
import type { CommandSpec, Shell } from '../../command.ts';
import { openSessions } from '../../shell.ts';
import { logLine } from './log-line.ts';

/** `coffer logs` */
export const logsCommand: CommandSpec<[which: string], LogsOptions> = {
  name: 'logs',
  description: 'show the events of a session, one per line',
  arguments: [{ syntax: '<which>', description: 'a list number, id, name, or last' }],
  options: [
    { flags: '--json', description: 'print each event as a line of JSON' },
    { flags: '-f, --follow', description: 'keep printing new events, recorded by any process' },
  ],
  examples: ['coffer logs 1 --follow', 'coffer logs fixing-auth-bug --json'],
  run,
};

/** Options of `coffer logs`. */
export interface LogsOptions {
  /** Prints each event as a line of JSON, as recorded. */
  readonly json?: boolean | undefined;
  /** Keeps printing new events, recorded by any process. */
  readonly follow?: boolean | undefined;
}

/**
 * Prints the events of a session, one per line. With `follow`, continues until it is interrupted,
 * the output is closed, or the session is deleted. Throws `SESSION_NOT_FOUND`, `SESSION_AMBIGUOUS`,
 * `UNAUTHENTIC`, `ROLLED_BACK`, `NEWER_VERSION`, `KEY_*`.
 */
async function run(shell: Shell, [which]: [string], options: LogsOptions): Promise<void> {
  const { terminal } = shell;
  const { sessions, input } = await openSessions(shell);
  const write = options.json === true ? writeJson : writeLine;
  try {
    const row = await sessions.find(which);
    if (options.follow === true && row.kind === 'session') await showAsRecorded(terminal, sessions, row, write);
    else await showRecorded(terminal, sessions, row, write);
    if (options.follow === true && row.kind === 'snapshot') terminal.tell(`${row.id} is a snapshot and never changes`);
  } finally {
    input.close();
  }
}

/** Formats an event as a line, including the line end. */
type Write = (terminal: Terminal, event: Event) => string;

/** Events written at once: writing a single line takes longer than formatting it. */
const BATCH = 200;

async function showRecorded(terminal: Terminal, sessions: Sessions, row: Row, write: Write): Promise<void> {
  const { events, row: now } = await sessions.read(row);
  await terminal.pour(linesOf(terminal, events, write));
  if (now.torn !== undefined) terminal.tell(now.torn);
  if (now.rolledBack !== undefined) terminal.tell(`warning: ${now.rolledBack}`);
}

function* linesOf(terminal: Terminal, events: readonly Event[], write: Write): Generator<string, void> {
  for (let at = 0; at < events.length; at += BATCH) {
    yield events
      .slice(at, at + BATCH)
      .map((event) => write(terminal, event))
      .join('');
  }
}

async function showAsRecorded(terminal: Terminal, sessions: Sessions, row: Row, write: Write): Promise<void> {
  const ended = new AbortController();
  terminal.onGone = () => ended.abort();
  for await (const event of follow(sessions, row, ended.signal)) terminal.write(write(terminal, event));
}

function writeJson(_: Terminal, event: Event): string {
  return `${escapeJsonLine(event)}\n`;
}

/** Formats an event, cut to one line of a terminal; elsewhere in full. */
function writeLine(terminal: Terminal, event: Event): string {
  const line = escapeLine(logLine(event));
  const { isTTY, columns } = terminal.streams.stdout;
  return `${isTTY === true && columns > 0 ? cut(line, columns - 1) : line}\n`;
}
