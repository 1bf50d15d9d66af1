import type { CofferError } from '../errors.ts';
import type { Surroundings } from './program.ts';
import type { Shell } from './shell.ts';

/**
 * Runs the command that `args` asks for. Gives the error it ended with where that is told already. Throws `USAGE`, and what the command throws.
 *
 * What is asked for most is a word or nothing: there is nothing to parse then, and commander, which takes a tenth of such a start, is
 * not loaded. That either way comes to the same is tested.
 */
export async function run(args: readonly string[], surroundings: Surroundings): Promise<CofferError | undefined> {
  const runPlain = plain.get(JSON.stringify(args));
  if (runPlain !== undefined) return runPlain({ ...surroundings, options: {} });
  const program = await import('./program.ts');
  return program.run(args, surroundings);
}

/** What needs no parsing, by its arguments. */
const plain: ReadonlyMap<string, (shell: Shell) => Promise<CofferError | undefined>> = new Map([
  [
    '[]',
    async (shell) => {
      const { chat, requestOf } = await import('./commands/chat.ts');
      return chat(shell, requestOf({}));
    },
  ],
  [
    '["sessions"]',
    async (shell) => {
      const { listSessions } = await import('./commands/sessions.ts');
      await listSessions(shell, {});
      return undefined;
    },
  ],
]);
