import type { Command } from 'commander';
import { exits } from '../src/cli/main.ts';
import { examplesOf } from '../src/cli/program/describe.ts';
import { allGroups } from '../src/cli/program/groups.ts';
import { describeProgram } from '../src/cli/program.ts';
import { commands as slashCommands } from '../src/cli/slash/commands.ts';
import { Terminal } from '../src/terminal/terminal.ts';

/** One command as its help has it. */
export interface CommandDoc {
  /** `coffer key list`. */
  readonly name: string;
  readonly usage: string;
  readonly about: string;
  /** Arguments that need words, and options, each with its words. */
  readonly arguments: readonly (readonly [string, string])[];
  readonly options: readonly (readonly [string, string])[];
  readonly examples: readonly string[];
}

const groups = await allGroups();

/** Every command in the order of the help, the program itself first. */
export function commandDocs(): CommandDoc[] {
  const leave = (): void => undefined;
  const program = describeProgram({ terminal: new Terminal(), env: {}, leave, exitOf: () => 1 }, leave, groups);
  return [docOf(program, program.name()), ...docsBelow(program, program.name())];
}

/** The slash commands, with what `/help` says of them. */
export function slashDocs(): (readonly [string, string])[] {
  const rows = [...slashCommands].map(([name, { usage, about }]) => [`${name} ${usage}`.trimEnd(), about] as const);
  return [...rows, ['/exit', 'saves and quits'], ['//text', 'says /text to the model']];
}

/** What the exit codes mean, and which errors end with each. */
export function exitDocs(): { exit: string; about: string; codes: string[] }[] {
  const used = [...new Set(Object.values(exits))].sort((a, b) => a - b);
  const rows = used.map((exit) => {
    const about = meanings[exit];
    if (about === undefined) throw new Error(`no words for exit code ${exit}: tools/docs-program.ts has them`);
    const codes = Object.entries(exits).filter(([, code]) => code === exit);
    return { exit: String(exit), about, codes: codes.map(([code]) => code) };
  });
  const signals = { exit: '129, 130, 143', about: 'ended by a signal, after a final save', codes: [] };
  return [{ exit: '0', about: 'all is well', codes: [] }, ...rows, signals];
}

const meanings: Readonly<Record<number, string>> = {
  1: 'it failed, for the reason that is told',
  2: 'the command line, a setting or a name is wrong; nothing was done',
  10: 'there is no such session, or several',
  11: 'another process has it',
  12: "the vault's key can't be had",
  13: 'a file is damaged, was changed, or is older than the one seen last',
  14: 'a newer version of coffer wrote it',
  15: 'not saved, or not known to be',
};

/** Variables that are no setting; those that are, are in docs/config.md. */
export const variables: readonly (readonly [string, string])[] = [
  ['COFFER_DATA_DIR', 'where the vault is'],
  ['COFFER_CONFIG_DIR', 'where settings.json is'],
  [
    'COFFER_KEYCHAIN',
    'where the key is kept: auto, keytar, secret-service, security, dpapi, passphrase, fd, or memory, which keeps a chat in memory alone',
  ],
  ['COFFER_KEY_FD', 'the number of an inherited descriptor with the key: 32 bytes, raw, in hex or in base64'],
  ['CREDENTIALS_DIRECTORY', 'a directory whose file coffer-key is the key, as systemd passes credentials'],
  ['COFFER_PASSPHRASE_FILE', 'a file with the passphrase; one line end at its end is no part of it'],
  ['COFFER_DEBUG', 'with any value, an error shows where it comes from'],
  ['NO_COLOR', 'with any value, nothing is styled; nor is it with TERM=dumb'],
  ['VISUAL, EDITOR', 'what coffer config edit opens'],
];

function docsBelow(parent: Command, path: string): CommandDoc[] {
  const visible = parent.createHelp().visibleCommands(parent);
  return visible.flatMap((command) => {
    const name = `${path} ${command.name()}`;
    return [docOf(command, name), ...docsBelow(command, name)];
  });
}

function docOf(command: Command, name: string): CommandDoc {
  const help = command.createHelp();
  return {
    name,
    usage: `${name} ${command.usage()}`.trimEnd(),
    about: command.description(),
    arguments: help
      .visibleArguments(command)
      .map((argument) => [help.argumentTerm(argument), help.argumentDescription(argument)]),
    options: help
      .visibleOptions(command)
      .filter(({ long }) => long !== '--help')
      .map((option) => [help.optionTerm(option), help.optionDescription(option)]),
    examples: examplesOf(command),
  };
}
