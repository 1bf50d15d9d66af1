import { filterRows } from '../../session/list/filter.ts';
import type { Row } from '../../session/list/row.ts';
import type { Chat } from '../../terminal/chat.ts';
import { showRows, USUAL_LIMIT } from '../../terminal/rows.ts';

/** Lists saved sessions: those with a text in their names, titles or tags, and with `--all` archived ones and however many there are. */
export async function listInChat(chat: Chat, argument: string): Promise<void> {
  const words = argument.split(/\s+/).filter((word) => word !== '');
  const all = words.includes('--all');
  const text = words.filter((word) => word !== '--all').join(' ');
  chat.shown = await chat.sessions.list();
  const { rows, archived } = filterRows(chat.shown, { archived: all, text: text === '' ? undefined : text });
  const cut = { limit: all ? undefined : USUAL_LIMIT, archived, of: chat.shown.length, all: '/sessions --all' };
  showRows(chat.terminal, rows, '/resume', chat.sessions.seen, cut);
}

/** Lets somebody choose a session, and lists them where nobody is there, or nothing to choose from. */
export async function chooseInChat(chat: Chat): Promise<Row | undefined> {
  const rows = chat.terminal.interactive ? await chat.sessions.list() : [];
  const { rows: offered } = filterRows(rows, {});
  if (offered.length === 0) {
    await listInChat(chat, '');
    return undefined;
  }
  chat.shown = rows;
  const { pickSession } = await import('../../terminal/picker.ts');
  return pickSession(chat.terminal, chat.input, offered);
}
