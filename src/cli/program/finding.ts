import type { Describe } from './describe.ts';
import { example } from './describe.ts';
import { describeListing } from './listing.ts';

/** Finds sessions and goes on with them. */
export const describeFinding: Describe = (program, given) => {
  const { shell, onTold } = given;
  describeListing(program, given);
  const resume = program
    .command('resume')
    .description('go on with a session: a number of the list, an id, a name, last')
    .argument('<which>')
    .option('--accept-older', 'go on from an older copy that was put back')
    .action(async (which: string, options: { acceptOlder?: boolean }) => {
      const { chat } = await import('../commands/chat/chat.ts');
      const { prompt } = shell().options;
      onTold(await chat(shell(), { which, prompt, acceptOlder: options.acceptOlder }));
    });
  example(resume, 'coffer resume 1', 'coffer resume fixing-auth-bug --model ollama/qwen3 --prompt "and now?"');
  const save = program
    .command('save')
    .description('take a snapshot of a session as it is saved now, named by time, and by a name')
    .argument('<which>')
    .argument('[name]')
    .action(async (which: string, name: string | undefined) => {
      const { save } = await import('../commands/session/save.ts');
      await save(shell(), which, name);
    });
  example(save, 'coffer save last before-the-rewrite');
  const models = program
    .command('models')
    .description('list the models that can be named; servers on this machine are asked, nobody else is')
    .option('--check <provider/model>', 'ask one of them three short things, and say what works')
    .option('--json', 'as a JSON array; with --check as an object')
    .action(async (options: { json?: boolean; check?: string }) => {
      const { check, ...rest } = options;
      const { checkNamed, listModels } = await import('../commands/settings/models.ts');
      await (check === undefined ? listModels(shell(), rest) : checkNamed(shell(), check, rest));
    });
  example(models, 'coffer models', 'coffer models --check ollama/qwen3');
};
