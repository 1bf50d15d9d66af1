import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type CommandSpec, commandNames, loadCommands, type SlashCommand } from '../../src/cli/command.ts';
import { commandLine } from '../../src/cli/commands.ts';
import { wholeProgram } from '../../src/cli/program.ts';
import { loadSlashCommands, runSlash } from '../../src/cli/slash.ts';
import type { Chat } from '../../src/terminal/chat.ts';
import { Terminal } from '../../src/terminal/output/terminal.ts';
import { loadsOf } from '../support/loads.ts';
import { temporaryFolder } from '../support/vault.ts';

const root = join(import.meta.dirname, '../..');
const { commands } = commandLine;
const program = await commandLine.program();
const loaded = await loadCommands(commands, commandNames(commands));
const slashCommands = await loadSlashCommands(commands);

describe('the table of commands', () => {
  it('names each command as the command itself does', async () => {
    for (const [name, load] of Object.entries(commands)) {
      const command = await load();
      expect([command.name, `/${command.name}`]).toContain(name);
    }
  });

  it('has every command that a file exports, once', async () => {
    const exported = await exportedCommands();
    const below = loaded.flatMap(({ subcommands = [] }) => subcommands);
    const tabled = await Promise.all(Object.values(commands).map((load) => load()));
    expect(exported.length).toBeGreaterThan(40);
    const reached = new Set([program, ...tabled, ...below]);
    expect(exported.filter((command) => !reached.has(command)).map(({ name }) => name)).toEqual([]);
    expect(loaded.map(({ name }) => name)).toEqual(commandNames(commands));
    expect(duplicates(loaded)).toEqual([]);
  });

  it('places a command twice only to show its slash form elsewhere in /help', () => {
    const placed = Object.keys(commands).filter((name) => Object.hasOwn(commands, `/${name}`));
    expect(placed).toEqual(['save']);
  });

  it('loads no file of a command', () => {
    const folder = '/src/cli/commands/';
    const url = join(root, 'src/cli/commands.ts');
    const { loaded: urls } = loadsOf(url, [], { cwd: root, env: { PATH: process.env['PATH'] } });
    expect(urls.some((each) => each.endsWith('/src/cli/commands.ts'))).toBe(true);
    expect(urls.filter((each) => each.includes(folder))).toEqual([]);
  });
});

describe('a command', () => {
  it.each(everyCommand().map((command) => [command.name, command] as const))('%s is complete', (_, command) => {
    const { name, description, arguments: given = [], options = [], examples = [], subcommands = [], run } = command;
    expect(name).toMatch(/^[a-z-]+$/);
    expect(given.filter(({ syntax }) => !/^(<[a-z]+(\.\.\.)?>|\[[a-z]+(\.\.\.)?\])$/.test(syntax))).toEqual([]);
    expect(options.filter(({ flags }) => !/^(-\w, )?--[a-z-]+( (<[a-z/]+>|\[[a-z]+\]))?$/.test(flags))).toEqual([]);
    expect(options.filter((option) => option.description === '')).toEqual([]);
    expect(run === undefined).toBe(subcommands.length > 0);
    expect(duplicates(subcommands)).toEqual([]);
    if (name === 'complete') return; // for the script alone
    expect(description).toMatch(/^\S.*[^.]$/);
    expect(examples.filter((line) => /\bcoffer\b/.test(line))).not.toEqual([]);
  });

  it('is shown in help with its subcommands, and with nothing that commander adds', async () => {
    const described = await wholeProgram(commandLine, new Terminal());
    const shown = [described, ...described.commands].map((each) => each.createHelp().visibleCommands(each));
    const wanted = [{ subcommands: loaded }, ...loaded].map(({ subcommands = [] }) => subcommands);
    const names = wanted.map((all) => all.flatMap(({ name }) => (name === 'complete' ? [] : [name])));
    expect(shown.map((all) => all.map((command) => command.name()))).toEqual(names);
  });

  it('is loaded without the others', () => {
    expect(filesOf(['config', 'path'])).toEqual(['chat/coffer.ts', 'settings/config.ts', 'settings/config-values.ts']);
    expect(filesOf(['-lx', '--help'])).toContain('settings/config.ts');
  });

  it('loads nothing of the vault, of models or of a live session, and no package', () => {
    const { loaded: urls } = loadsOf(join(root, 'test/cli/load-commands.ts'), [], {
      cwd: root,
      env: { PATH: process.env['PATH'] },
    });
    expect(urls.some((url) => url.endsWith('/session/prune.ts'))).toBe(true);
    const heavy = /\/node_modules\/|\/src\/(envelope|keyring|live|settings|vault)\/|\/src\/chat\/(?!permissions\.ts)/;
    expect(urls.filter((url) => heavy.test(url) && !url.endsWith('/src/chat/models/nearest.ts'))).toEqual([]);
  });
});

describe('a slash command', () => {
  it('is loaded without the others', async () => {
    const said: string[] = [];
    const other = (): never => {
      throw new Error('loaded');
    };
    const echo: SlashCommand = {
      name: '/echo',
      usage: '',
      about: '',
      run: async (_, argument) => void said.push(argument),
    };
    const chat = {} as Chat;
    await runSlash(chat, { command: '/echo', argument: 'x' }, { other, '/echo': async () => echo });
    expect(said).toEqual(['x']);
  });

  it('has a name of its own', () => {
    expect(duplicates(slashCommands)).toEqual([]);
    expect(slashCommands.length).toBeGreaterThan(20);
  });

  it.each(slashCommands.map((command) => [command.name, command] as const))(
    '%s is complete',
    (name, { about, usage }) => {
      expect(name).toMatch(/^\/[a-z]+$/);
      expect(about).toMatch(/^\S.*[^.]$/);
      expect(usage).toBe(usage.trim());
    },
  );
});

function everyCommand(): CommandSpec[] {
  const all = [program, ...loaded];
  return [...all, ...all.flatMap(({ subcommands = [] }) => subcommands)];
}

/** The files of commands that a command line loads. */
function filesOf(args: readonly string[]): string[] {
  const env = { PATH: process.env['PATH'], HOME: temporaryFolder() };
  const { loaded: urls } = loadsOf(join(root, 'src/cli/main.ts'), args, { cwd: root, env });
  return urls.flatMap((url) => /\/src\/cli\/commands\/(.*)$/.exec(url)?.[1] ?? []);
}

function duplicates(all: readonly { readonly name: string }[]): string[] {
  const names = all.map(({ name }) => name);
  return names.filter((name, at) => names.indexOf(name) !== at);
}

/** What the files below commands export as a command. */
async function exportedCommands(): Promise<(CommandSpec | SlashCommand)[]> {
  const files = globSync('src/cli/commands/*/*.ts', { cwd: root });
  const declared = files.filter((file) => /^export const \w+Command\b/m.test(readFileSync(join(root, file), 'utf8')));
  const modules = await Promise.all(declared.map((file) => import(join(root, file)) as Promise<object>));
  return modules.flatMap((module) => Object.values(module).filter(isCommand));
}

function isCommand(value: unknown): value is CommandSpec | SlashCommand {
  return typeof value === 'object' && value !== null && 'name' in value && ('description' in value || 'run' in value);
}
