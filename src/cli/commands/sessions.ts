import type { Row } from '../../session/row.ts';
import { escapeJson } from '../escape.ts';
import { showRows } from '../rows.ts';
import { openSessions, type Shell } from '../shell.ts';

/** Lists sessions and snapshots, as rows or as a JSON array. Throws `KEY_*` where there is something to list and no key. */
export async function listSessions(shell: Shell, options: { json?: boolean | undefined }): Promise<void> {
  const { sessions, input } = await openSessions(shell);
  try {
    const rows = await sessions.list();
    if (options.json === true) shell.terminal.write(`${escapeJson(rows.map(toJson))}\n`);
    else showRows(shell.terminal, rows, 'coffer resume');
  } finally {
    input.close();
  }
}

function toJson(row: Row): object {
  const { number, label, autosave, kind, id, uuid, fileId, name, title, directory, branch, model, messages } = row;
  const { inputTokens, outputTokens, cost, status, parent, held, torn, unreadable } = row;
  return {
    ...{ number, label, autosave, kind, id, uuid, fileId, name, title },
    begun: row.begun === 0 ? null : new Date(row.begun).toISOString(),
    updated: new Date(row.updated).toISOString(),
    ...{ directory, branch, model, messages, inputTokens, outputTokens, cost, status, parent, held, torn },
    unreadable: unreadable && { code: unreadable.code, message: unreadable.message },
  };
}
