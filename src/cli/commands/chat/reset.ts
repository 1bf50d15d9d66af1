import type { Chat } from '../../../terminal/chat.ts';
import type { SlashCommand } from '../../command.ts';

/** `/reset` */
export const resetCommand: SlashCommand = {
  name: '/reset',
  usage: '',
  about: 'end this conversation and begin another with the same model and permissions; this one stays resumable',
  run: (chat) => begin(chat, { keeps: true }),
};

/** `/new` */
export const newCommand: SlashCommand = {
  name: '/new',
  usage: '',
  about: 'like /reset, but without the permissions',
  run: (chat) => begin(chat, { keeps: false }),
};

async function begin(chat: Chat, options: { keeps: boolean }): Promise<void> {
  const { compactOnFinish } = await import('../session/compact.ts');
  await compactOnFinish(chat);
  const before = await chat.reset(options);
  chat.terminal.say(before === undefined ? 'new conversation' : `new conversation; /resume ${before} goes back`);
}
