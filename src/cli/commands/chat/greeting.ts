import type { CofferError } from '../../../errors.ts';
import { lastSession } from '../../../session/list/select.ts';
import type { KeyState } from '../../../session/shapes.ts';
import type { Chat } from '../../../terminal/chat.ts';
import { ago, countMessages, describeSeen, tellPassedOver } from '../../../terminal/output/rows.ts';

/** Tells which model replies, where the key is, and which session could be resumed. */
export async function tellStart(
  chat: Chat,
  { refusal, resumes }: { refusal: CofferError | undefined; resumes: boolean },
): Promise<void> {
  const { terminal, sessions, env } = chat;
  const who = chat.live.model?.name ?? 'no model';
  if (chat.incognito) {
    terminal.tell(`${who}, incognito: nothing of this chat is kept`);
    return;
  }
  const { networkWarning } = await import('../../../vault/network-warning.ts');
  const warning = chat.inMemory ? undefined : networkWarning(sessions.directory);
  if (warning !== undefined) terminal.tell(warning);
  terminal.tell(`${who}, ${whereKeyIs(sessions.keys.status, refusal, env)}`);
  if (!resumes && refusal === undefined) await tellLast(chat);
}

function whereKeyIs(key: KeyState, refusal: CofferError | undefined, env: NodeJS.ProcessEnv): string {
  if (key.state === 'awaited') return 'nothing is saved until the keychain answers';
  if (key.state !== 'ready') {
    const asked = env['COFFER_KEYCHAIN'] === 'memory' ? 'COFFER_KEYCHAIN=memory' : undefined;
    return `kept in memory only: ${asked ?? (refusal === undefined ? 'no key yet' : refusal.reason)}`;
  }
  if (key.backend === 'passphrase') return 'key protected by a passphrase';
  if (key.backend === 'fd' || key.backend === 'memory') return `key from the ${key.provider}`;
  return `key in the keychain (${key.provider})`;
}

/**
 * Names the last session. Its list becomes the one shown, so that the number printed here stays
 * valid when another session begins.
 */
async function tellLast(chat: Chat): Promise<void> {
  const rows = await chat.sessions.list();
  for (const line of describeSeen(chat.sessions.upkeep.seen)) chat.terminal.tell(line);
  const last = lastSession(rows);
  tellPassedOver(chat.terminal, rows, last);
  if (last === undefined) return;
  chat.shown = rows;
  const what = `${last.label}, ${countMessages(last.messages)}, ${ago(last.updated)}`;
  const advice = last.rolledBack ?? `/resume ${last.number} continues it`;
  chat.terminal.tell(`last session: ${what}; ${advice}`);
}
