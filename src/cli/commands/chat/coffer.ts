import type { Command } from '../../command.ts';

/** The program without a command: a chat. */
export const cofferCommand: Command<[]> = {
  name: 'coffer',
  description: 'an encrypted local vault for AI chat sessions; without a command, a chat',
  options: [
    { flags: '--data-dir <dir>', description: 'where the vault is' },
    { flags: '--model <provider/model>', description: 'who answers' },
    { flags: '--path <dir>', description: 'the directory the conversation is about' },
    { flags: '-c, --continue', description: 'go on with the newest session of this directory' },
    { flags: '-r, --resume [which]', description: 'go on with a session, with the last one unless told which' },
    { flags: '-a, --attach <which>', description: 'the same, by a number of -l or the beginning of an id' },
    { flags: '--here', description: 'continue the session in this directory, wherever it was' },
    { flags: '--no-resume', description: 'begin a new conversation, whatever the setting autoResume says' },
    { flags: '-l, --list', description: 'list the sessions of this directory' },
    { flags: '-p, --prompt <text>', description: 'one turn, printed, then the end; - reads it from standard input' },
    {
      flags: '--system <text>',
      description: 'what the model is told before the conversation; @FILE reads it from a file',
    },
    { flags: '--agents', description: 'use the AGENTS.md of the directory without asking' },
    { flags: '--no-agents', description: 'leave the AGENTS.md of the directory out' },
    { flags: '--incognito', description: 'keep nothing of this chat' },
    { flags: '--yes', description: 'a conversation may be sent to another machine without asking' },
    { flags: '--version', description: 'show the version' },
  ],
  examples: ['coffer', 'coffer -c', 'coffer -p "what is in this folder?" --model ollama/qwen3'],
  async run(shell) {
    if (shell.options.list === true) {
      const { listHere } = await import('../list/sessions.ts');
      return listHere(shell);
    }
    const { chat, requestOf } = await import('./chat.ts');
    return chat(shell, requestOf(shell.options));
  },
};
