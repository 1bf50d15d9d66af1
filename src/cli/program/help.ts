import { type Describe, example } from './describe.ts';

/** Completes command lines in a shell. */
export const describeHelp: Describe = (program, { shell }) => {
  const completion = program
    .command('completion')
    .description('print the script that completes command lines in bash, zsh or fish')
    .argument('<shell>', 'bash, zsh or fish')
    .action(async (name: string) => {
      const { printCompletion } = await import('../commands/completion/words.ts');
      printCompletion(shell(), name);
    });
  example(
    completion,
    'source <(coffer completion bash)     # in ~/.bashrc',
    'source <(coffer completion zsh)      # in ~/.zshrc',
    'coffer completion fish | source      # in ~/.config/fish/config.fish',
  );
  // What the script asks: the words of a line, the last of them to be completed.
  program
    .command('complete', { hidden: true })
    .argument('[words...]')
    .action(async (words: string[]) => {
      const { completeLine } = await import('../commands/completion/words.ts');
      await completeLine(shell(), program, words);
    });
};
