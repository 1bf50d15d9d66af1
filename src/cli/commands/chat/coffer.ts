import type { CommandSpec } from '../../command.ts';

/** The program without a command: a chat. */
export const cofferCommand: CommandSpec<[]> = {
  name: 'coffer',
  description: 'an encrypted local vault for AI chat sessions; starts a chat if no command is given',
  options: [
    { flags: '--data-dir <dir>', description: 'vault directory' },
    { flags: '--model <provider/model>', description: 'model to use' },
    { flags: '--path <dir>', description: 'working directory of the conversation' },
    { flags: '-c, --continue', description: 'resume the newest session of this directory' },
    { flags: '-r, --resume [which]', description: 'resume a session (default: the last)' },
    { flags: '-a, --attach <which>', description: 'resume a session by its number in -l or the start of its id' },
    { flags: '--here', description: 'continue the session in this directory, wherever it began' },
    { flags: '--no-resume', description: 'begin a new conversation, even if the setting autoResume is on' },
    { flags: '-l, --list', description: 'list the sessions of this directory' },
    { flags: '-p, --prompt <text>', description: 'print one reply and exit; - reads the prompt from standard input' },
    {
      flags: '--system <text>',
      description: 'system prompt; @FILE reads it from a file',
    },
    { flags: '--agents', description: 'use the AGENTS.md of the directory without asking' },
    { flags: '--no-agents', description: 'ignore the AGENTS.md of the directory' },
    { flags: '--incognito', description: 'save nothing of this chat' },
    { flags: '--yes', description: 'allow sending a conversation to another machine without asking' },
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
