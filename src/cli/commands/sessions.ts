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

function toJson({ begun, updated, unreadable, ...row }: Row): object {
  return {
    ...row,
    begun: begun === 0 ? null : new Date(begun).toISOString(),
    updated: new Date(updated).toISOString(),
    ...(unreadable && { unreadable: { code: unreadable.code, message: unreadable.message } }),
  };
}
