import { CofferError } from '../../errors.ts';
import type { SlashCommand, SlashCommands } from './slash.ts';

/** Names, marks and deletes sessions. */
export const keepingCommands: SlashCommands = {
  '/rename': {
    usage: '<name>',
    about: 'gives this conversation another name, of at most 100 characters',
    async run(chat, argument) {
      if (argument === '')
        throw new CofferError('NAME_INVALID', 'say the name: /rename <name>', { advice: 'nothing is changed' });
      const { markFromChat, markings } = await import('../commands/session/mark.ts');
      await markFromChat(chat, '', markings.rename(argument));
    },
  },
  '/pin': markWith('pin', 'keeps this conversation, or another one, from being pruned'),
  '/unpin': markWith('unpin', 'lets it be pruned again'),
  '/archive': markWith('archive', 'leaves this conversation, or another one, out of the list'),
  '/unarchive': markWith('unarchive', 'shows it in the list again'),
  '/tag': tagWith('tag', 'adds tags: lower-case letters, digits, - and _'),
  '/untag': tagWith('untag', 'takes tags away'),
  '/delete': {
    usage: '<which>',
    about: 'deletes another session or snapshot, after a question',
    async run(chat, argument) {
      const { deleteFromChat } = await import('../commands/session/delete.ts');
      await deleteFromChat(chat, argument);
    },
  },
};

function markWith(name: 'pin' | 'unpin' | 'archive' | 'unarchive', about: string): SlashCommand {
  return {
    usage: '[which]',
    about,
    async run(chat, argument) {
      const { markFromChat, markings } = await import('../commands/session/mark.ts');
      await markFromChat(chat, argument, markings[name]());
    },
  };
}

function tagWith(name: 'tag' | 'untag', about: string): SlashCommand {
  return {
    usage: '<tags…>',
    about,
    async run(chat, argument) {
      const { markFromChat, markings, wordsOf } = await import('../commands/session/mark.ts');
      await markFromChat(chat, '', markings[name](wordsOf(argument, `/${name} <tags…>`)));
    },
  };
}
