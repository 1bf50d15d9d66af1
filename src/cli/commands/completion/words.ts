import { RootCommand, script } from '@bomb.sh/tab';
import { CofferError, isCofferError } from '../../../errors.ts';
import type { Summary } from '../../../session/list/summary.ts';
import { escapeLine } from '../../../terminal/output/escape.ts';
import { countMessages } from '../../../terminal/output/rows.ts';
import {
  type CommandOption,
  type CommandSpec,
  commandNames,
  helpOption,
  loadCommands,
  type Shell,
} from '../../command.ts';
import { bashScript } from './bash.ts';

/** The supported shells. */
const SHELLS = ['bash', 'zsh', 'fish'] as const;

/** Time limit for reading the vault, in milliseconds: the shell waits. */
const WITHIN = 700;

/** The maximum length of a description, in characters. */
const WIDTH = 80;

/**
 * The directive that tab prints after its words: no file names. The other lets the shell complete
 * file names if there are no words.
 */
const WORDS_ONLY = ':4';
const OR_FILES = ':0';

/**
 * Prints the script that lets a shell complete command lines of coffer. Throws `USAGE` for another
 * shell.
 */
export function printCompletion({ terminal }: Shell, shell: string): void {
  const known = SHELLS.find((each) => each === shell);
  if (known === undefined) {
    throw new CofferError('USAGE', `there is no completion for ${shell}, only for ${SHELLS.join(', ')}`);
  }
  terminal.write(known === 'bash' ? bashScript : quote(printed(() => script(known, 'coffer', 'coffer'))));
}

/** Quotes a word that the zsh script passes to eval, so that nothing in it is run. */
function quote(text: string): string {
  return text.replaceAll('{BASH_REMATCH}', '{(q)BASH_REMATCH}');
}

/**
 * Prints the possible completions of the last word of a command line, each with a tab and a
 * description, then a directive for the shell. Asks the user nothing and leaves no trace; problems
 * only mean fewer words.
 */
export async function completeLine(shell: Shell, words: readonly string[]): Promise<void> {
  const { program, commands } = shell.commandLine;
  const whole = { ...(await program()), subcommands: await loadCommands(commands, commandNames(commands)) };
  const wanted = { sessions: false, models: false, keys: false, files: false };
  const ask = (offered: Offered): string => {
    const root = new RootCommand();
    describe(root, whole, wanted, offered);
    return printed(() => root.parse([...words]));
  };
  let text = ask({ sessions: [], models: [], keys: [] });
  const { sessions, models, keys, files } = wanted;
  if (sessions || models || keys) {
    text = ask({
      sessions: sessions ? await sessionWords(shell, words) : [],
      models: models ? await modelWords(shell) : [],
      keys: keys ? (await import('../../../settings/keys.ts')).keyNames : [],
    });
  }
  shell.terminal.write(files ? text.replace(new RegExp(`${WORDS_ONLY}\\n$`), `${OR_FILES}\n`) : text);
}

/** The kinds of words that need a look-up. */
type Wanted = Record<'sessions' | 'models' | 'keys' | 'files', boolean>;

/** The words that were looked up. */
interface Offered {
  readonly sessions: readonly (readonly [string, string])[];
  readonly models: readonly string[];
  readonly keys: readonly string[];
}

/** Passes words to tab. */
type Give = (complete: (value: string, description: string) => void) => void;

/** Describes the commands, their options and the possible values of each to tab. */
function describe(root: RootCommand, program: CommandSpec, wanted: Wanted, offered: Offered): void {
  const say = (words: readonly string[]): Give => {
    return (complete) => {
      for (const word of words) complete(word, '');
    };
  };
  const givers: Readonly<Record<keyof Wanted, Give>> = {
    sessions(complete) {
      wanted.sessions = true;
      for (const [word, about] of offered.sessions) complete(word, about);
    },
    models(complete) {
      wanted.models = true;
      say(offered.models)(complete);
    },
    keys(complete) {
      wanted.keys = true;
      say(offered.keys)(complete);
    },
    files() {
      wanted.files = true;
    },
  };
  const give = (name: string, choices: readonly string[] | undefined): Give => {
    if (choices !== undefined) return say(choices);
    const kind = kinds[name];
    if (kind === undefined) return () => undefined;
    return typeof kind === 'string' ? givers[kind] : say(kind);
  };
  const add = (target: RootCommand | ReturnType<RootCommand['command']>, command: CommandSpec): void => {
    for (const option of [...(command.options ?? []), helpOption]) {
      const { short, long, takesValue } = partsOf(option);
      if (takesValue) target.option(long, option.description, give(long, option.choices), short);
      else target.option(long, option.description, short);
    }
    for (const { syntax } of command.arguments ?? []) {
      const [, name = '', dots] = /([\w-]+)(\.\.\.)?/.exec(syntax) ?? [];
      target.argument(name, give(name, undefined), dots !== undefined);
    }
  };
  const addAll = (parent: CommandSpec, path: string): void => {
    for (const command of parent.subcommands ?? []) {
      if (command.description === undefined) continue;
      const full = `${path}${command.name}`;
      add(root.command(full, command.description), command);
      addAll(command, `${full} `);
    }
  };
  add(root, program);
  addAll(program, '');
}

/** Reads `-o, --output <file>`. */
function partsOf({ flags }: CommandOption): { short: string | undefined; long: string; takesValue: boolean } {
  const [, short, long = '', value] = /^(?:-(\w), )?--([\w-]+)( .*)?$/.exec(flags) ?? [];
  return { short, long, takesValue: value !== undefined };
}

/** The values of options and arguments, by name. */
const kinds: Readonly<Record<string, keyof Wanted | readonly string[]>> = {
  which: 'sessions',
  resume: 'sessions',
  attach: 'sessions',
  model: 'models',
  key: 'keys',
  file: 'files',
  output: 'files',
  'data-dir': 'files',
  path: 'files',
  shell: SHELLS,
  status: ['running', 'completed', 'cancelled', 'failed', 'interrupted'],
};

/** Words without special meaning in any shell. */
const PLAIN = /^[\p{L}\p{M}\p{N}_.@+,/][\p{L}\p{M}\p{N}_.@+,/-]*$/u;

/**
 * Returns the ids of the sessions, or their UUIDs if an id needs quoting in a shell, and their
 * names.
 */
async function sessionWords(shell: Shell, words: readonly string[]): Promise<[string, string][]> {
  const { glanceSessions } = await import('../../../session/list/glance.ts');
  const directory = await vaultOf(shell, words);
  const found = await glanceSessions({ env: shell.env, directory, within: WITHIN });
  const rows = found.map((row): [string, string] => [PLAIN.test(row.id) ? row.id : row.uuid, aboutRow(row)]);
  const names = found.flatMap((row): [string, string][] =>
    row.name !== undefined && PLAIN.test(row.name) ? [[row.name, aboutRow(row)]] : [],
  );
  return [['last', 'the newest session not in use'], ...rows, ...names];
}

function aboutRow({ name, title, messages, model }: Summary): string {
  const words = escapeLine([name, title, countMessages(messages), model].filter(Boolean).join(', '));
  return [...words].slice(0, WIDTH).join('');
}

/** Returns the vault that the line refers to: its own option takes precedence over the settings. */
async function vaultOf({ env }: Shell, words: readonly string[]): Promise<string | undefined> {
  const [, given] = /(?:^|\n)--data-dir[=\n]([^\n]+)\n/.exec(words.join('\n')) ?? [];
  return given ?? (await settingsOf(env))?.directory;
}

async function modelWords({ env }: Shell): Promise<string[]> {
  const { builtinProviders } = await import('../../../chat/models/models.ts');
  const settings = await settingsOf(env);
  const providers = new Set([...Object.keys(builtinProviders), ...Object.keys(settings?.providers ?? {})]);
  const chosen = settings?.model === undefined ? [] : [settings.model];
  const all = [...chosen, 'demo/echo', 'demo/eliza', ...[...providers].sort().map((provider) => `${provider}/`)];
  return all.filter((word) => PLAIN.test(word));
}

/** Reads the settings. Ignores faults: the completed command reports them. */
async function settingsOf(
  env: NodeJS.ProcessEnv,
): Promise<import('../../../settings/settings.ts').Settings | undefined> {
  const { loadSettings, settingsPath } = await import('../../../settings/settings.ts');
  try {
    return await loadSettings(settingsPath(env), { env });
  } catch (error) {
    if (!isCofferError(error)) throw error;
    return undefined;
  }
}

/** Captures what tab prints to the console, so that only the terminal writes. */
function printed(work: () => void): string {
  const output = globalThis.console;
  const { log } = output;
  let text = '';
  output.log = (line: string): void => {
    text += `${line}\n`;
  };
  try {
    work();
  } finally {
    output.log = log;
  }
  return text;
}
