import type { CommandSpec } from '../../command.ts';
import { chooseInChat } from '../list/choose.ts';

/** `coffer resume` and `/resume`. */
export const resumeCommand: CommandSpec<[which: string], { acceptOlder?: boolean }> = {
  name: 'resume',
  description: 'resume a session: a list number, id, name, or last',
  arguments: [{ syntax: '<which>' }],
  options: [{ flags: '--accept-older', description: 'resume from an older copy that was put back' }],
  examples: ['coffer resume 1', 'coffer resume fixing-auth-bug --model ollama/qwen3 --prompt "and now?"'],
  async run(shell, [which], { acceptOlder }) {
    const { chat } = await import('./chat.ts');
    return chat(shell, { which, prompt: shell.options.prompt, acceptOlder });
  },
  slash: {
    usage: '[which]',
    about: 'resume a session: a list number, id, name, or last; if omitted, choose one from the list (ctrl+x l)',
    async run(chat, argument) {
      const which = argument === '' ? (await chooseInChat(chat))?.fileId : argument;
      if (which !== undefined) await chat.resume(which);
    },
  },
};
