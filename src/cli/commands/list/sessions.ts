import { resolve } from 'node:path';
import type { CofferError } from '../../../errors.ts';
import { type Filter, filterRows, parseCount, parseSinceHours, parseStatuses } from '../../../session/list/filter.ts';
import type { Row } from '../../../session/list/row.ts';
import { type Surroundings, surroundingsOf } from '../../../session/project/project.ts';
import type { wantedText } from '../../../session/search/search.ts';
import type { Sessions } from '../../../session/sessions.ts';
import type { Chat } from '../../../terminal/chat.ts';
import { escapeJson, shellWord } from '../../../terminal/output/escape.ts';
import {
  ago,
  type Cut,
  countTasks,
  describeSeen,
  numbered,
  showRows,
  tellCut,
  tellTroubles,
  USUAL_LIMIT,
} from '../../../terminal/output/rows.ts';
import type { Terminal } from '../../../terminal/output/terminal.ts';
import { awaitGit, gitLimit } from '../../../terminal/waiting.ts';
import type { CommandSpec, Shell, SlashCommand } from '../../command.ts';
import { openSessions } from '../../shell.ts';

/** `coffer sessions` and `/sessions`. */
export const sessionsCommand: CommandSpec<[], ListOptions> = {
  name: 'sessions',
  description: 'list saved sessions',
  options: [
    { flags: '--limit <n>', description: 'how many to list (default: 20; with --json: all)' },
    {
      flags: '--status <status>',
      description: 'running, completed, cancelled, failed, interrupted; separate several with commas',
    },
    { flags: '--since-hours <hours>', description: 'active within the last N hours' },
    {
      flags: '--search <text>',
      description: 'only sessions with this text in their messages; shows the matching lines',
    },
    { flags: '--here', description: 'only sessions of this directory' },
    { flags: '--all', description: 'include archived sessions and lift the limit' },
    { flags: '--json', description: 'print a JSON array' },
    { flags: '--accept-removed', description: 'stop reporting files that something else removed' },
  ],
  examples: ['coffer sessions --here --since-hours 24', 'coffer sessions --search "token check" --status failed'],
  // The program has --here too, and accepts it anywhere.
  run: (shell, _, options) => listSessions(shell, { ...options, here: options.here ?? shell.options.here }),
  slash: {
    usage: '[text]',
    about: 'list saved sessions, or those with a text in their names or tags; --all: archived ones too',
    run: listInChat,
  },
};

/** `/history` */
export const historyCommand: SlashCommand = {
  name: '/history',
  usage: '[text]',
  about: 'same as /sessions',
  run: listInChat,
};

/** Options of a list, as typed. */
export interface ListOptions {
  readonly json?: boolean | undefined;
  /** Stops reporting files that something else removed. */
  readonly acceptRemoved?: boolean | undefined;
  readonly limit?: string | undefined;
  readonly status?: string | undefined;
  readonly sinceHours?: string | undefined;
  /** Only sessions with this text in them. */
  readonly search?: string | undefined;
  /** Only sessions of this directory. */
  readonly here?: boolean | undefined;
  /** Includes archived sessions and lifts the limit. */
  readonly all?: boolean | undefined;
}

/**
 * Lists the sessions and snapshots that match the options, as rows or as a JSON array. Returns why
 * vault.json is not trusted, if it isn't, after printing it. Throws `USAGE` if an option makes no
 * sense, and `KEY_*` if there is something to list and no key.
 */
export async function listSessions(shell: Shell, options: ListOptions): Promise<CofferError | undefined> {
  const { terminal } = shell;
  const limit = limitOf(options);
  const wanted = await wantedIn(options);
  const filter = await filterOf(shell, options);
  const { sessions, input } = await openSessions(shell);
  try {
    const all = await sessions.list();
    const { seen } = sessions.upkeep;
    const { rows, archived } = filterRows(all, filter);
    const cut: Cut = { limit, archived, of: all.length, all: '--all' };
    const broken = unreadBut(rows, all);
    if (wanted !== undefined) {
      const { showFound } = await import('./search.ts');
      const { search: text = '', json } = options;
      await showFound(terminal, sessions, [...rows, ...broken], { wanted, text, cut, json });
    } else {
      if (options.json === true) await writeJson(terminal, rows, cut);
      else showRows(terminal, rows, 'coffer resume', undefined, cut);
      tellTroubles(terminal, broken);
    }
    for (const line of describeSeen(seen)) terminal.tell(line);
    await tellConflicts(terminal, sessions, all);
    if (options.acceptRemoved === true && seen !== undefined) await acceptRemoved(terminal, sessions, seen.removed);
    return sessions.keys.record.distrust;
  } finally {
    input.close();
  }
}

/**
 * Lists saved sessions, or those with a text in their names, titles or tags. `--all` includes
 * archived ones, and lifts the limit.
 */
export async function listInChat(chat: Chat, argument: string): Promise<void> {
  const words = argument.split(/\s+/).filter((word) => word !== '');
  const all = words.includes('--all');
  const text = words.filter((word) => word !== '--all').join(' ');
  chat.shown = await chat.sessions.list();
  const { rows, archived } = filterRows(chat.shown, { archived: all, text: text === '' ? undefined : text });
  const cut = { limit: all ? undefined : USUAL_LIMIT, archived, of: chat.shown.length, all: '/sessions --all' };
  showRows(chat.terminal, rows, '/resume', chat.sessions.upkeep.seen, cut);
}

/**
 * Lists the sessions of this directory with their names, task counts and times, under the usual
 * numbers. Returns and throws as {@link listSessions}.
 */
export async function listHere(shell: Shell): Promise<CofferError | undefined> {
  const { terminal } = shell;
  const here = await lookHere(shell);
  const { directory } = here;
  const { sessions, input } = await openSessions(shell);
  try {
    const all = await sessions.list();
    const { rows, archived } = filterRows(all, { here });
    if (rows.length === 0) terminal.say(`no saved sessions of ${directory} yet`);
    else terminal.say(`sessions of ${directory} (${rows.length}):`);
    for (const row of rows) terminal.say(`${numbered(row)} ${hereLine(row)}`);
    if (rows.length > 0) terminal.say('use coffer -a <number or id> to resume one');
    tellCut(terminal, 0, { archived, of: all.length, all: 'coffer sessions --here --all' });
    tellTroubles(terminal, [...rows, ...unreadBut(rows, all)]);
    for (const line of describeSeen(sessions.upkeep.seen)) terminal.tell(line);
    await tellConflicts(terminal, sessions, all);
    return sessions.keys.record.distrust;
  } finally {
    input.close();
  }
}

/**
 * Reports copies that a sync program left. The code that describes them is loaded only if there are
 * some.
 */
async function tellConflicts(terminal: Terminal, sessions: Sessions, rows: readonly Row[]): Promise<void> {
  const conflicts = await sessions.upkeep.conflicts(rows);
  if (conflicts.length === 0) return;
  const { describeConflict } = await import('../../../session/list/conflicts.ts');
  for (const conflict of conflicts) terminal.tell(describeConflict(conflict, shellWord(conflict.name)));
}

/** Waits for git, because the project of this directory decides what is listed. */
function lookHere({ terminal, options }: Shell): Promise<Surroundings> {
  return awaitGit(terminal, surroundingsOf(resolve(options.path ?? '.'), { limit: gitLimit(terminal) }));
}

/**
 * Returns the unreadable rows that a filter left out: whether they match is unknown, so they are
 * never omitted silently.
 */
function unreadBut(shown: readonly Row[], all: readonly Row[]): Row[] {
  const isShown = new Set(shown);
  return all.filter((row) => row.unreadable !== undefined && !isShown.has(row));
}

function hereLine(row: Row): string {
  const { name, title, id, kind, tasks, held, status } = row;
  const kinds = kind === 'snapshot' ? ['snapshot'] : [];
  const counted = tasks === undefined ? [] : [countTasks(tasks)];
  const marks = held !== undefined ? ['in use'] : status === 'interrupted' ? ['interrupted'] : [];
  return [name ?? title ?? id, ...kinds, ...counted, ago(row.updated), ...marks].join(', ');
}

/** Returns the limit. JSON has no default limit, because programs don't scroll. */
function limitOf({ limit, all, json }: ListOptions): number | undefined {
  if (limit !== undefined) return parseCount('--limit', limit);
  return all === true || json === true ? undefined : USUAL_LIMIT;
}

/** Returns the text to search for. Loads the search code only if there is one. */
async function wantedIn({ search }: ListOptions): Promise<ReturnType<typeof wantedText> | undefined> {
  if (search === undefined) return undefined;
  const { wantedText } = await import('../../../session/search/search.ts');
  return wantedText(search);
}

async function filterOf(shell: Shell, options: ListOptions): Promise<Filter> {
  const { status, sinceHours, here, all } = options;
  return {
    statuses: status === undefined ? undefined : parseStatuses(status),
    since: sinceHours === undefined ? undefined : parseSinceHours(sinceHours),
    here: here === true ? await lookHere(shell) : undefined,
    archived: all,
  };
}

async function writeJson(terminal: Terminal, rows: readonly Row[], cut: Cut): Promise<void> {
  const { toJson } = await import('./row-json.ts');
  const shown = rows.slice(0, cut.limit);
  terminal.write(`${escapeJson(shown.map(toJson))}\n`);
  tellCut(terminal, rows.length - shown.length, cut);
}

async function acceptRemoved(terminal: Terminal, sessions: Sessions, removed: readonly string[]): Promise<void> {
  if (removed.length > 0) await sessions.upkeep.forget(removed);
  if (sessions.upkeep.unmarked !== undefined) throw sessions.upkeep.unmarked;
  terminal.tell(removed.length === 0 ? 'no file is missing' : `noted: ${removed.length} removed`);
}
