import { Command as CommanderCommand, CommanderError, Option } from 'commander';
import type { CofferError } from '../errors.ts';
import type { Terminal } from '../terminal/output/terminal.ts';
import {
  type CommandLine,
  type CommandOption,
  type CommandSpec,
  commandNames,
  helpOption,
  type LazyCommands,
  loadCommands,
  type ProgramOptions,
  type Shell,
} from './command.ts';

/** Called once commander has parsed a command line. */
type OnRun = (command: CommandSpec, given: readonly unknown[], options: object) => Promise<void>;

/**
 * Runs the command that `args` asks for, loading the file of that command only. Returns the error
 * the command failed with, if it was already printed. Throws `USAGE`, and what the command throws.
 */
export async function run(args: readonly string[], parts: Omit<Shell, 'options'>): Promise<CofferError | undefined> {
  const { terminal, commandLine } = parts;
  const { commands } = commandLine;
  let printed: CofferError | undefined;
  const onRun: OnRun = async (command, given, options) => {
    const shell: Shell = { ...parts, options: program.opts<ProgramOptions>() };
    printed = (await command.run?.(shell, given, options)) ?? undefined;
  };
  const program = await describeProgram(commandLine, terminal, onRun);
  if (args.some((argument) => HELP.test(argument))) await describeAll(program, commands, onRun);
  else describeLate(program, commands, onRun);
  try {
    await program.parseAsync(args, { from: 'user' });
    return printed;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return undefined;
    const { usageError } = await import('./usage.ts');
    throw usageError(error, program);
  }
}

/**
 * Returns the whole command line as `--help` shows it, for reading only: its commands do nothing.
 */
export async function wholeProgram(commandLine: CommandLine, terminal: Terminal): Promise<CommanderCommand> {
  const onRun = async (): Promise<void> => undefined;
  const program = await describeProgram(commandLine, terminal, onRun);
  await describeAll(program, commandLine.commands, onRun);
  return program;
}

/** Arguments that may ask for help with the program, which lists every command. */
const HELP = /^(--help|-[a-z]*h[a-z]*)$/i;

/**
 * Describes the program without its commands, which inherit how it exits, writes and shows help.
 */
async function describeProgram(commandLine: CommandLine, terminal: Terminal, onRun: OnRun): Promise<CommanderCommand> {
  const ignore = (): void => undefined;
  const command = await commandLine.program();
  const program = new CommanderCommand(command.name)
    .exitOverride()
    .configureOutput({ writeOut: (text) => terminal.write(text), writeErr: ignore, outputError: ignore })
    .configureHelp({ styleTitle: (title) => title.toLowerCase() })
    .helpOption(helpOption.flags, helpOption.description);
  describe(program, command, onRun);
  return program;
}

async function describeAll(program: CommanderCommand, commands: LazyCommands, onRun: OnRun): Promise<void> {
  for (const command of await loadCommands(commands, commandNames(commands)))
    describe(program.command(command.name, { hidden: command.description === undefined }), command, onRun);
}

/** Registers the command names, and describes a command once commander has selected it. */
function describeLate(program: CommanderCommand, commands: LazyCommands, onRun: OnRun): void {
  for (const name of commandNames(commands)) program.command(name);
  program.hook('preSubcommand', async (_, named) => {
    for (const command of await loadCommands(commands, [named.name()])) describe(named, command, onRun);
  });
}

/** Describes a command and its subcommands to commander. */
function describe(target: CommanderCommand, command: CommandSpec, onRun: OnRun): void {
  const { description = '', examples = [] } = command;
  target.description(description).helpCommand(false);
  for (const argument of command.arguments ?? []) target.argument(argument.syntax, argument.description);
  for (const option of command.options ?? []) target.addOption(optionOf(option));
  if (examples.length > 0)
    target.addHelpText('after', `\nfor example:\n${examples.map((line) => `  ${line}`).join('\n')}`);
  if (command.run !== undefined) target.action(() => onRun(command, target.processedArgs, target.opts()));
  for (const below of command.subcommands ?? []) describe(target.command(below.name), below, onRun);
}

function optionOf({ flags, description, choices, default: value }: CommandOption): Option {
  const option = new Option(flags, description);
  if (choices !== undefined) option.choices(choices);
  if (value !== undefined) option.default(value);
  return option;
}
