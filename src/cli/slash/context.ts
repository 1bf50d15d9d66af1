import { CofferError } from '../../errors.ts';
import type { SlashCommands } from './slash.ts';

/** Changes what the conversation goes on from, and what tools may do. */
export const contextCommands: SlashCommands = {
  '/compact': {
    usage: '',
    about: 'puts a summary in place of older messages, for the model alone; the record keeps all',
    async run(chat, argument) {
      if (argument !== '') throw new CofferError('USAGE', '/compact takes nothing behind it');
      const { compactFromChat } = await import('../commands/session/compact.ts');
      await compactFromChat(chat);
    },
  },
  '/fork': {
    usage: '[n]',
    about: 'goes on in a copy of this conversation with its first n prompts, all of them unless told',
    async run(chat, argument) {
      const { forkFromChat } = await import('../commands/session/fork.ts');
      await forkFromChat(chat, argument);
    },
  },
  '/rewind': {
    usage: '[n]',
    about: 'goes back to after prompt n, takes the last one back unless told, lets you choose with ?',
    async run(chat, argument) {
      const { rewindFromChat } = await import('../commands/session/rewind.ts');
      await rewindFromChat(chat, argument);
    },
  },
  '/redact': {
    usage: '[text]',
    about: 'takes a text out of the record for good; alone it asks for it, hidden',
    async run(chat, argument) {
      const { redactFromChat } = await import('../commands/session/redact.ts');
      await redactFromChat(chat, argument);
    },
  },
  '/permissions': {
    usage: '',
    about: 'shows what tools may do here; allow <rule>, deny <rule>, revoke <rule or number> change it',
    async run(chat, argument) {
      const { permissionsFromChat } = await import('../commands/session/permissions.ts');
      await permissionsFromChat(chat, argument);
    },
  },
};
