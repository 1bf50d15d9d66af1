import type { CofferError } from '../errors.ts';
import type { Surroundings } from './program.ts';
import type { Options, Shell } from './shell.ts';

/**
 * Runs the command that `args` asks for. Gives the error it ended with where that is told already. Throws `USAGE`, and what the command throws.
 *
 * What is asked for most takes no parser: commander, a tenth of such a start, is not loaded then. That either way comes to the same is tested.
 */
export async function run(args: readonly string[], surroundings: Surroundings): Promise<CofferError | undefined> {
  const asked = plainly(args);
  if (asked === undefined) {
    const program = await import('./program.ts');
    return program.run(args, surroundings);
  }
  return commands[asked.command]({ ...surroundings, options: asked.options });
}

/** Understands a chat or a list of sessions, with no options but those below before them; undefined where there is more to it. */
export function plainly(args: readonly string[]): { command: keyof typeof commands; options: Options } | undefined {
  const options: Record<string, string> = {};
  let at = 0;
  for (; at < args.length; at += 2) {
    const name = WITH_VALUE.get(args[at] ?? '');
    const value = args[at + 1] ?? '';
    if (name === undefined) break;
    if (value === '' || value.startsWith('-')) return undefined;
    options[name] = value;
  }
  if (at === args.length) return { command: 'chat', options };
  return at === args.length - 1 && args[at] === 'sessions' ? { command: 'sessions', options } : undefined;
}

const WITH_VALUE: ReadonlyMap<string, keyof Options> = new Map([
  ['--model', 'model'],
  ['--path', 'path'],
  ['--data-dir', 'dataDir'],
]);

const commands = {
  chat: async (shell: Shell): Promise<CofferError | undefined> => {
    const { chat, requestOf } = await import('./commands/chat/chat.ts');
    return chat(shell, requestOf(shell.options));
  },
  sessions: async (shell: Shell): Promise<CofferError | undefined> => {
    const { listSessions } = await import('./commands/list/sessions.ts');
    return listSessions(shell, {});
  },
} as const;
