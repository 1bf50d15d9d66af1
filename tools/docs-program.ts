import type { Command as CommanderCommand } from 'commander';
import { type CommandSpec, commandNames, loadCommands } from '../src/cli/command.ts';
import { literalSlash } from '../src/cli/commands/chat/help.ts';
import { commandLine } from '../src/cli/commands.ts';
import { exits } from '../src/cli/main.ts';
import { wholeProgram } from '../src/cli/program.ts';
import { loadSlashCommands } from '../src/cli/slash.ts';
import { Terminal } from '../src/terminal/output/terminal.ts';

/** One command, as its help describes it. */
export interface CommandDoc {
  /** `coffer key list`. */
  readonly name: string;
  readonly usage: string;
  readonly about: string;
  /** Arguments with a description, each with its description. */
  readonly arguments: readonly (readonly [string, string])[];
  readonly options: readonly (readonly [string, string])[];
  readonly examples: readonly string[];
}

const { commands } = commandLine;
const program = { ...(await commandLine.program()), subcommands: await loadCommands(commands, commandNames(commands)) };
const described = await wholeProgram(commandLine, new Terminal());
const slashCommands = await loadSlashCommands(commands);

/** Returns every command in the order of the help, the program itself first. */
export function commandDocs(): CommandDoc[] {
  return docsOf(program, described, program.name);
}

/** Returns the slash commands with their lines in `/help`. */
export function slashDocs(): (readonly [string, string])[] {
  const rows = slashCommands.map(({ name, usage, about }) => [`${name} ${usage}`.trimEnd(), about] as const);
  return [...rows, literalSlash];
}

/** Returns the exit codes, what each means, and the error codes that exit with it. */
export function exitDocs(): { exit: string; about: string; codes: string[] }[] {
  const used = [...new Set(Object.values(exits))].sort((a, b) => a - b);
  const rows = used.map((exit) => {
    const about = meanings[exit];
    if (about === undefined) throw new Error(`no words for exit code ${exit}: tools/docs-program.ts has them`);
    const codes = Object.entries(exits).filter(([, code]) => code === exit);
    return { exit: String(exit), about, codes: codes.map(([code]) => code) };
  });
  const signals = { exit: '129, 130, 143', about: 'ended by a signal, after a final save', codes: [] };
  return [{ exit: '0', about: 'success', codes: [] }, ...rows, signals];
}

const meanings: Readonly<Record<number, string>> = {
  1: 'failed, for the reason printed',
  2: 'the command line, a setting or a name is wrong; nothing was done',
  10: 'no such session, or more than one match',
  11: 'in use by another process',
  12: 'the vault key is unavailable',
  13: 'a file is damaged, was changed, or is older than the one seen last',
  14: 'a newer version of coffer wrote it',
  15: 'not saved, or not known to be',
};

/** Environment variables that aren't settings; docs/config.md has those that are. */
export const variables: readonly (readonly [string, string])[] = [
  ['COFFER_DATA_DIR', 'vault directory'],
  ['COFFER_CONFIG_DIR', 'directory of settings.json'],
  [
    'COFFER_KEYCHAIN',
    'where the key is kept: auto, keytar, secret-service, security, dpapi, passphrase, fd, or memory, which keeps a chat in memory only',
  ],
  ['COFFER_KEY_FD', 'the number of an inherited descriptor with the key: 32 bytes, raw, in hex or in base64'],
  ['CREDENTIALS_DIRECTORY', 'a directory whose file coffer-key is the key, as systemd passes credentials'],
  ['COFFER_PASSPHRASE_FILE', 'a file with the passphrase; one trailing line end is ignored'],
  ['COFFER_DEBUG', 'with any value, errors print a stack trace'],
  ['NO_COLOR', 'with any value, output is not styled; the same as TERM=dumb'],
  ['VISUAL, EDITOR', 'the editor that coffer config edit opens'],
];

/** Returns a command and its subcommands; commander formats the help. */
function docsOf(command: CommandSpec, described: CommanderCommand, name: string): CommandDoc[] {
  const help = described.createHelp();
  const below = (command.subcommands ?? []).filter(({ description }) => description !== undefined);
  const doc: CommandDoc = {
    name,
    usage: `${name} ${described.usage()}`.trimEnd(),
    about: described.description(),
    arguments: help
      .visibleArguments(described)
      .map((argument) => [help.argumentTerm(argument), help.argumentDescription(argument)]),
    options: help
      .visibleOptions(described)
      .filter(({ long }) => long !== '--help')
      .map((option) => [help.optionTerm(option), help.optionDescription(option)]),
    examples: command.examples ?? [],
  };
  const docs = below.map((each) => {
    const found = described.commands.find((other) => other.name() === each.name);
    if (found === undefined) throw new Error(`commander does not know ${name} ${each.name}`);
    return docsOf(each, found, `${name} ${each.name}`);
  });
  return [doc, ...docs.flat()];
}
