import { filterRows } from '../../session/filter.ts';
import type { Chat } from '../chat.ts';
import { showRows, USUAL_LIMIT } from '../rows.ts';

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
