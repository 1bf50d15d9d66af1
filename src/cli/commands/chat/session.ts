import { CofferError, isCofferError } from '../../../errors.ts';
import type { Row } from '../../../session/list/row.ts';
import type { Chat } from '../../../terminal/chat.ts';
import type { SlashCommand } from '../../command.ts';
import { chooseInChat } from '../list/choose.ts';

/** `/session` */
export const sessionCommand: SlashCommand = {
  name: '/session',
  usage: '[info|list]',
  about: 'show details of this session; list: choose another',
  async run(chat, argument) {
    if (argument === '' || argument === 'info') await showInfo(chat);
    else if (argument === 'list') await choose(chat);
    else throw new CofferError('USAGE', `/session takes info or list, not ${argument}`);
  },
};

/**
 * Shows the session as this chat knows it, which is the newest state; its row says where it is
 * stored.
 */
async function showInfo(chat: Chat): Promise<void> {
  const { session, sessions, terminal } = chat;
  const [{ infoOf }, { infoLines }] = await Promise.all([
    import('../../../session/list/info.ts'),
    import('../list/info.ts'),
  ]);
  const rows = await listed(chat);
  const row = rows.find(({ fileId }) => fileId === session.fileId);
  const { state, events } = session;
  for (const line of infoLines(infoOf(sessions, { row, state, events }, rows))) terminal.say(line);
}

/** Lists the sessions; without the list there is still much to show. */
async function listed(chat: Chat): Promise<readonly Row[]> {
  try {
    return await chat.sessions.list();
  } catch (error) {
    if (!isCofferError(error)) throw error;
    chat.terminal.tell(error.message);
    return [];
  }
}

async function choose(chat: Chat): Promise<void> {
  const row = await chooseInChat(chat);
  if (row !== undefined) await chat.resume(row.fileId);
}
