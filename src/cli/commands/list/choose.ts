import { filterRows } from '../../../session/list/filter.ts';
import type { Row } from '../../../session/list/row.ts';
import type { Chat } from '../../../terminal/chat.ts';
import { listInChat } from './sessions.ts';

/**
 * Lets the user choose a session. Lists them without a terminal, or if there is nothing to choose
 * from.
 */
export async function chooseInChat(chat: Chat): Promise<Row | undefined> {
  const rows = chat.terminal.interactive ? await chat.sessions.list() : [];
  const { rows: offered } = filterRows(rows, {});
  if (offered.length === 0) {
    await listInChat(chat, '');
    return undefined;
  }
  chat.shown = rows;
  const { pickSession } = await import('../../../terminal/input/picker.ts');
  return pickSession(chat.terminal, chat.input, offered);
}
