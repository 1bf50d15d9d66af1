import type { Row } from '../../session/row.ts';
import type { Sessions } from '../../session/sessions.ts';
import { escapeJson } from '../escape.ts';
import { describeSeen, showRows } from '../rows.ts';
import { openSessions, type Shell } from '../shell.ts';
import type { Terminal } from '../terminal.ts';

/** How to list. */
export interface ListOptions {
  readonly json?: boolean | undefined;
  /** Files that something else removed are reported for the last time. */
  readonly acceptRemoved?: boolean | undefined;
}

/** Lists sessions and snapshots, as rows or as a JSON array. Throws `KEY_*` where there is something to list and no key. */
export async function listSessions(shell: Shell, options: ListOptions): Promise<void> {
  const { terminal } = shell;
  const { sessions, input } = await openSessions(shell);
  try {
    const rows = await sessions.list();
    const { seen } = sessions;
    if (options.json !== true) showRows(terminal, rows, 'coffer resume', seen);
    else {
      terminal.write(`${escapeJson(rows.map(toJson))}\n`);
      for (const line of describeSeen(seen)) terminal.tell(line);
    }
    if (options.acceptRemoved === true && seen !== undefined) await acceptRemoved(terminal, sessions, seen.removed);
  } finally {
    input.close();
  }
}

async function acceptRemoved(terminal: Terminal, sessions: Sessions, removed: readonly string[]): Promise<void> {
  if (removed.length > 0) await sessions.forget(removed);
  if (sessions.unmarked !== undefined) throw sessions.unmarked;
  terminal.tell(removed.length === 0 ? 'no file is missing' : `taken note of: ${removed.length} gone`);
}

function toJson(row: Row): object {
  const { number, label, autosave, kind, id, uuid, fileId, name, title, directory, branch, model, messages } = row;
  const { inputTokens, outputTokens, cost, status, parent, held, torn, rolledBack, unreadable } = row;
  return {
    ...{ number, label, autosave, kind, id, uuid, fileId, name, title },
    begun: row.begun === 0 ? null : new Date(row.begun).toISOString(),
    updated: new Date(row.updated).toISOString(),
    ...{ directory, branch, model, messages, inputTokens, outputTokens, cost, status, parent, held, torn, rolledBack },
    unreadable: unreadable && { code: unreadable.code, message: unreadable.message },
  };
}
