import type { Row } from '../../../session/list/row.ts';
import { type Match, search } from '../../../session/search/search.ts';
import type { Sessions } from '../../../session/sessions.ts';
import { escapeJson, escapeLine } from '../../../terminal/output/escape.ts';
import { Progress } from '../../../terminal/output/progress.ts';
import { type Cut, sayRow, tellCut } from '../../../terminal/output/rows.ts';
import type { Terminal } from '../../../terminal/output/terminal.ts';
import { cut as cutTo, widthOf } from '../../../terminal/output/width.ts';
import { toJson } from './row-json.ts';

/** Number of matches shown per session. */
const SHOWN = 3;

/** Line width if the output isn't a terminal. */
const PIPE_WIDTH = 100;

/**
 * Maximum length of a matching line in JSON, in characters: a tool may have written megabytes
 * without a line feed.
 */
const JSON_WIDTH = 400;

/** Options of a search. */
export interface Search {
  /** As `wantedText` returned it. */
  readonly wanted: string;
  /** As it was typed. */
  readonly text: string;
  readonly cut: Cut;
  readonly json?: boolean | undefined;
}

/**
 * Prints the rows that contain a text as they are found, with the matching lines, and reports rows
 * that can't be read.
 */
export async function showFound(
  terminal: Terminal,
  sessions: Sessions,
  rows: readonly Row[],
  { wanted, text, cut, json }: Search,
): Promise<void> {
  const progress = new Progress(terminal, 'searching');
  const found: object[] = [];
  let count = 0;
  let looked = 0;
  let gone = false;
  const { onGone } = terminal;
  terminal.onGone = () => {
    gone = true;
  };
  try {
    progress.show(0, rows.length);
    const onLooked = (done: number): void => {
      looked = done;
      progress.show(done, rows.length);
    };
    for await (const one of search(sessions, rows, wanted, onLooked)) {
      if (gone) break;
      progress.end();
      if ('error' in one) terminal.tell(`${one.row.number} can't be searched: ${one.error.message}`);
      else if (++count > (cut.limit ?? count)) break;
      else if (json === true) found.push({ ...toJson(one.row), matches: one.matches.map(matchJson) });
      else sayFound(terminal, one.row, one.matches);
      progress.show(looked, rows.length);
    }
  } finally {
    progress.end();
    terminal.onGone = onGone;
  }
  if (json === true) terminal.write(`${escapeJson(found)}\n`);
  else terminal.say(count === 0 ? `nothing found for ${text}` : 'use coffer resume <id or number> to restore');
  if (cut.limit !== undefined && count > cut.limit) {
    terminal.tell(`stopped after ${cut.limit}, ${looked - 1} of ${rows.length} searched; ${cut.all} searches the rest`);
  }
  tellCut(terminal, 0, cut);
  if (!gone) await settle(terminal, sessions);
}

/**
 * Indexes for the next search, after the results were printed. Takes as long as it needs if the
 * user can see the progress. The reader of a pipe waits for its end, so then it does only a part.
 * It can be interrupted at any time: everything except the last part is kept.
 */
async function settle(terminal: Terminal, sessions: Sessions): Promise<void> {
  const isWatched = terminal.interactive && terminal.streams.stdout.isTTY && !terminal.dumb;
  if (!isWatched) return sessions.upkeep.settle();
  const progress = new Progress(terminal, 'indexing for the next search (ctrl+c stops it):');
  try {
    await sessions.upkeep.settle((done, total) => progress.show(done, total));
  } finally {
    progress.end();
  }
}

function sayFound(terminal: Terminal, row: Row, matches: readonly Match[]): void {
  sayRow(terminal, row);
  const width = (terminal.streams.stdout.columns ?? PIPE_WIDTH) - 1;
  for (const match of matches.slice(0, SHOWN)) {
    const before = `     ${match.event === null ? '' : `#${match.event} `}${match.role}: `;
    terminal.say(before + around(match, Math.max(20, width - before.length)));
  }
  if (matches.length > SHOWN) terminal.say(`     … ${matches.length - SHOWN} more`);
}

function matchJson(match: Match): object {
  return { event: match.event, role: match.role, text: window(match, JSON_WIDTH) };
}

/**
 * Returns the match with as much of its line as fits into `columns`, control characters escaped.
 */
function around(match: Match, columns: number): string {
  const shown = plain(match, columns);
  // Wide characters take two columns, and escaped ones more than their character did.
  return widthOf(shown) <= columns ? shown : cutTo(plain(match, Math.floor(columns / 2)), columns);
}

function plain(match: Match, length: number): string {
  return escapeLine(window(match, length).replaceAll('\t', ' '));
}

/** Cuts a line around the match: a third of the room before it, the rest after it. */
function window({ line, at, length }: Match, width: number): string {
  const trimmed = line.trimEnd();
  if (trimmed.length <= width) return trimmed.trimStart();
  const room = Math.max(0, width - 2 - Math.min(length, width - 2));
  const start = Math.max(0, Math.min(at - Math.floor(room / 3), trimmed.length - (width - 2)));
  const end = Math.min(trimmed.length, start + width - 2);
  const text = trimmed.slice(start, end).toWellFormed();
  return `${start > 0 ? '…' : ''}${text}${end < trimmed.length ? '…' : ''}`;
}
