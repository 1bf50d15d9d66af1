import type { Chat } from '../../terminal/chat.ts';
import { countMessages } from '../../terminal/rows.ts';
import { chooseInChat, listInChat } from './listing.ts';
import type { SlashCommand, SlashCommands } from './slash.ts';

const sessions: SlashCommand = {
  usage: '[text]',
  about: 'lists saved sessions, those with a text in their names or tags; --all: archived ones too',
  run: listInChat,
};

async function begin(chat: Chat, keeps: boolean): Promise<void> {
  const { compactOnFinish } = await import('../commands/session/compact.ts');
  await compactOnFinish(chat);
  const before = await chat.reset({ keeps });
  chat.terminal.say(before === undefined ? 'new conversation' : `new conversation; /resume ${before} goes back`);
}

/** Saves, finds and goes on. */
export const findingCommands: SlashCommands = {
  '/save': {
    usage: '[name]',
    about: 'takes a snapshot, named by time and name',
    async run(chat, argument) {
      const name = argument === '' ? undefined : argument;
      const { id, messages } = await chat.live.send({ type: 'Save', name });
      chat.terminal.say(`session saved: ${id} (${countMessages(messages)})`);
      chat.tellUnmarked();
    },
  },
  '/sessions': sessions,
  '/history': { ...sessions, about: 'the same as /sessions' },
  '/resume': {
    usage: '[which]',
    about:
      'goes on with a session: a number of the list, an id, a name, last; alone, one chosen from the list (ctrl+x l)',
    async run(chat, argument) {
      const which = argument === '' ? (await chooseInChat(chat))?.fileId : argument;
      if (which !== undefined) await chat.resume(which);
    },
  },
  '/reset': {
    usage: '',
    about: 'ends this conversation and begins another with the same model and permissions; this one stays resumable',
    run: (chat) => begin(chat, true),
  },
  '/new': {
    usage: '',
    about: 'the same without the permissions',
    run: (chat) => begin(chat, false),
  },
  '/model': {
    usage: '[name|list]',
    about: 'shows the model, lists those there are, or lets another one answer: provider/model',
    async run(chat, argument) {
      if (argument === 'list') {
        const { showModels } = await import('../commands/settings/models.ts');
        await showModels(chat.terminal, chat);
        return;
      }
      if (argument !== '') await chat.live.send({ type: 'ChooseModel', model: argument });
      chat.terminal.say(`model: ${chat.live.model?.name ?? 'none'}`);
    },
  },
};
