import { Command, CommanderError } from 'commander';
import { CofferError } from '../errors.ts';
import { describeContext } from './program/context.ts';
import { type Describe, example } from './program/describe.ts';
import { describeFinding } from './program/finding.ts';
import { describeHelp } from './program/help.ts';
import { describeKeeping } from './program/keeping.ts';
import { describeKey } from './program/key.ts';
import { describePrivacy } from './program/privacy.ts';
import { describeSeeing } from './program/seeing.ts';
import { describeSettings } from './program/settings.ts';
import { describeVault } from './program/vault.ts';
import type { Options, Shell } from './shell.ts';
import { nearest } from './slash/parse.ts';
import type { Terminal } from './terminal.ts';

/** The commands, in the order in which help shows them. */
const groups: readonly Describe[] = [
  describeFinding,
  describeKeeping,
  describeSeeing,
  describeContext,
  describePrivacy,
  describeSettings,
  describeVault,
  describeKey,
  describeHelp,
];

/** What is known before the command line is read. */
export type Surroundings = Omit<Shell, 'options'>;

/**
 * Runs the command that `args` asks for. Gives the error it ended with where that is told already. Throws `USAGE`, and
 * what the command throws.
 */
export async function run(args: readonly string[], surroundings: Surroundings): Promise<CofferError | undefined> {
  let told: CofferError | undefined;
  const program = describeProgram(surroundings, (error) => {
    told = error;
  });
  try {
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode !== 0) throw usageError(error, program);
  }
  return told;
}

/** The command line, as `--help` and the documents show it. `onTold` gets what a command ended with. */
export function describeProgram(surroundings: Surroundings, onTold: (error: CofferError | undefined) => void): Command {
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
    .option('--no-resume', 'begin a new conversation, whatever the setting autoResume says')
    .option('-l, --list', 'list the sessions of this directory')
    .option('-p, --prompt <text>', 'one turn, printed, then the end; - reads it from standard input')
    .option('--incognito', 'keep nothing of this chat')
    .option('--yes', 'a conversation may be sent to another machine without asking')
    .option('--version', 'show the version')
    .action(async () => {
      const { list } = program.opts<Options>();
      if (list === true) {
        const { listHere } = await import('./commands/sessions.ts');
        return listHere(shell());
      }
      const { chat, requestOf } = await import('./commands/chat.ts');
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

function usageError(error: CommanderError, program: Command): CofferError {
  const [first] = program.args;
  if (
    error.code === 'commander.excessArguments' &&
    first !== undefined &&
    program.commands.every((command) => command.name() !== first)
  ) {
    const near = nearest(
      first,
      program.commands.map((command) => command.name()),
    );
    const advice = near === undefined ? 'coffer --help lists them' : `did you mean ${near}?`;
    return new CofferError('USAGE', `unknown command ${first}; ${advice}`, { cause: error });
  }
  if (error.code === 'commander.help') {
    const names = program.commands.find((command) => command.name() === first)?.commands ?? [];
    const message = `${first} needs to know what: ${names.map((command) => command.name()).join(', ')}`;
    return new CofferError('USAGE', `${message}; coffer ${first} --help says more`, { cause: error });
  }
  const asked = commandOf(program);
  if (error.code === 'commander.unknownCommand') {
    const [, unknown = ''] = /'(.*)'/s.exec(error.message) ?? [];
    const near = nearest(
      unknown,
      asked.commands.map((command) => command.name()),
    );
    const advice = near === undefined ? `${pathOf(asked)} --help lists them` : `did you mean ${near}?`;
    return new CofferError('USAGE', `unknown command ${asked.name()} ${unknown}; ${advice}`, { cause: error });
  }
  const message = error.message
    .replace(/^error: /, '')
    .replace(
      /^option '.*(--[a-z-]+) .*' argument '(.*)' is invalid\. Allowed choices are (.*)\.$/s,
      '$1 takes $3, not "$2"',
    )
    // What stands there too much may be a secret.
    .replace(/( but got \d+): .*$/s, '$1')
    .replace(/^(unknown option '[^'=]*)=.*'/s, "$1'")
    .replace(/\.$/, '')
    .replace(/\. ([A-Z])/, (_, initial: string) => `; ${initial.toLowerCase()}`)
    .replace(/\n\(Did you mean (.*)\?\)$/, '; did you mean $1?');
  return new CofferError('USAGE', `${message}; ${pathOf(asked)} --help shows how`, { cause: error });
}

/** The command that the command line got as far as. */
function commandOf(command: Command): Command {
  const next = command.commands.find((each) => each.name() === command.args[0]);
  return next === undefined ? command : commandOf(next);
}

/** `coffer config get` */
function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}
