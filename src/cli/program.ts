import { Command, CommanderError } from 'commander';
import type { CofferError } from '../errors.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { type Describe, example } from './program/describe.ts';
import { allGroups, likelyGroups } from './program/groups.ts';
import type { Options, Shell } from './shell.ts';

/** What is known before the command line is read. */
export type Surroundings = Omit<Shell, 'options'>;

/**
 * Runs the command that `args` asks for. Gives the error it ended with where that is told already. Throws `USAGE`, and
 * what the command throws.
 */
export async function run(args: readonly string[], surroundings: Surroundings): Promise<CofferError | undefined> {
  let told: CofferError | undefined;
  const onTold = (error: CofferError | undefined): void => {
    told = error;
  };
  const likely = await likelyGroups(args);
  if (likely !== undefined && (await parse(args, describeProgram(surroundings, onTold, likely))) === undefined)
    return told;
  const whole = describeProgram(surroundings, onTold, await allGroups());
  const error = await parse(args, whole);
  if (error === undefined) return told;
  const { usageError } = await import('./program/usage.ts');
  throw usageError(error, whole);
}

/** Runs what the arguments ask for; gives why they can't be understood, and nothing ran then. */
async function parse(args: readonly string[], program: Command): Promise<CommanderError | undefined> {
  try {
    await program.parseAsync(args, { from: 'user' });
    return undefined;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? undefined : error;
  }
}

/** The command line with the commands of these groups; with all of them it is as `--help` and the documents show it. `onTold` gets what a command ended with. */
export function describeProgram(
  surroundings: Surroundings,
  onTold: (error: CofferError | undefined) => void,
  groups: readonly Describe[],
): Command {
  const program = new Command('coffer');
  const shell = (): Shell => ({ ...surroundings, options: program.opts<Options>() });
  settle(program, surroundings.terminal);
  program
    .description('an encrypted local vault for AI chat sessions; without a command, a chat')
    .option('--data-dir <dir>', 'where the vault is')
    .option('--model <provider/model>', 'who answers')
    .option('--path <dir>', 'the directory the conversation is about')
    .option('-c, --continue', 'go on with the newest session of this directory')
    .option('-r, --resume [which]', 'go on with a session, with the last one unless told which')
    .option('-a, --attach <which>', 'the same, by a number of -l or the beginning of an id')
    .option('--here', 'continue the session in this directory, wherever it was')
    .option('--no-resume', 'begin a new conversation, whatever the setting autoResume says')
    .option('-l, --list', 'list the sessions of this directory')
    .option('-p, --prompt <text>', 'one turn, printed, then the end; - reads it from standard input')
    .option('--system <text>', 'what the model is told before the conversation; @FILE reads it from a file')
    .option('--agents', 'use the AGENTS.md of the directory without asking')
    .option('--no-agents', 'leave the AGENTS.md of the directory out')
    .option('--incognito', 'keep nothing of this chat')
    .option('--yes', 'a conversation may be sent to another machine without asking')
    .option('--version', 'show the version')
    .action(async () => {
      const { list } = program.opts<Options>();
      if (list === true) {
        const { listHere } = await import('./commands/list/sessions.ts');
        return onTold(await listHere(shell()));
      }
      const { chat, requestOf } = await import('./commands/chat/chat.ts');
      onTold(await chat(shell(), requestOf(program.opts())));
    });
  example(program, 'coffer', 'coffer -c', 'coffer -p "what is in this folder?" --model ollama/qwen3');
  for (const describe of groups) describe(program, { shell, onTold });
  for (const command of program.commands.flatMap((each) => [each, ...each.commands]))
    settle(command, surroundings.terminal);
  return program;
}

/** Commander ends no process and writes to no stream here; its titles follow the manners of the terminal. */
function settle(command: Command, terminal: Terminal): void {
  const ignore = (): void => undefined;
  command
    .exitOverride()
    .configureOutput({ writeOut: (text) => terminal.write(text), writeErr: ignore, outputError: ignore })
    .configureHelp({ styleTitle: (title) => title.toLowerCase() })
    .helpOption('-h, --help', 'show this')
    .helpCommand(false);
}
