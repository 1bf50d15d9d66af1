import type { CommandSpec } from '../../command.ts';

/** `coffer completion` */
export const completionCommand: CommandSpec<[shell: string]> = {
  name: 'completion',
  description: 'print a completion script for bash, zsh or fish',
  arguments: [{ syntax: '<shell>', description: 'bash, zsh or fish' }],
  examples: [
    'source <(coffer completion bash)     # in ~/.bashrc',
    'source <(coffer completion zsh)      # in ~/.zshrc',
    'coffer completion fish | source      # in ~/.config/fish/config.fish',
  ],
  async run(shell, [name]) {
    const { printCompletion } = await import('./words.ts');
    printCompletion(shell, name);
  },
};

/**
 * `coffer complete`, which that script runs with the words of a line, the last of which is to be
 * completed. Help doesn't show it.
 */
export const completeCommand: CommandSpec<[words: string[]]> = {
  name: 'complete',
  arguments: [{ syntax: '[words...]' }],
  async run(shell, [words]) {
    const { completeLine } = await import('./words.ts');
    await completeLine(shell, words);
  },
};
