import type { CofferError } from '../errors.ts';
import type { Chat } from '../terminal/chat.ts';
import type { Terminal } from '../terminal/output/terminal.ts';

/**
 * A command: how it is typed, what help says of it, and what it does. Loading one must not load
 * what its run needs.
 */
export interface CommandSpec<Arguments extends readonly unknown[] = readonly unknown[], Options = unknown> {
  readonly name: string;
  /** One line of help. Omitted by a command that help doesn't show. */
  readonly description?: string;
  readonly arguments?: readonly CommandArgument[];
  /** Options that follow the command; {@link ProgramOptions} may appear anywhere. */
  readonly options?: readonly CommandOption[];
  /** Example command lines. */
  readonly examples?: readonly string[];
  readonly subcommands?: readonly CommandSpec[];
  /**
   * Runs the command with its arguments in order, those with `...` as arrays. Returns the error it
   * failed with, if that was already printed. Omitted if only its subcommands do something.
   */
  run?(shell: Shell, given: Arguments, options: Options): Promise<CofferError | undefined> | Promise<void>;
  /** Its form in a chat. */
  readonly slash?: SlashForm;
}

/** An argument of a command. */
export interface CommandArgument {
  /** `<which>`, `[name]` if it is optional, `<tags...>` for one or more. */
  readonly syntax: string;
  /** One line of help; if omitted, help doesn't list the argument. */
  readonly description?: string;
}

/** An option of a command. */
export interface CommandOption {
  /** `-o, --output <file>`, or without a value `--json`. */
  readonly flags: string;
  /** One line of help. */
  readonly description: string;
  /** The allowed values. */
  readonly choices?: readonly string[];
  /** Value if the option is omitted. */
  readonly default?: string;
}

/** A command in a chat, typed as `/` and its name. */
export interface SlashForm {
  /** Arguments after the name: `[name]`. */
  readonly usage: string;
  /** One line of `/help`. */
  readonly about: string;
  /**
   * Runs it with the rest of the line. Returns `exit` to end the chat. A CofferError it throws is
   * shown, and the chat continues.
   */
  run(chat: Chat, argument: string, commands: LazyCommands): Promise<'exit' | undefined> | Promise<void>;
}

/** A command that exists only in a chat. */
export interface SlashCommand extends SlashForm {
  /** `/reset` */
  readonly name: `/${string}`;
}

/**
 * Commands by name, each loaded when needed, in the order in which help shows them. A name that
 * begins with a slash is a {@link SlashCommand}, or the place in `/help` of a command that is
 * listed elsewhere on the command line.
 */
export type LazyCommands = Readonly<Record<string, () => Promise<CommandSpec | SlashCommand>>>;

/** Everything a user can run. */
export interface CommandLine {
  /** Loads what `coffer` does without a command, with {@link ProgramOptions}. */
  program(): Promise<CommandSpec>;
  readonly commands: LazyCommands;
}

/** Everything a command receives. */
export interface Shell {
  readonly terminal: Terminal;
  readonly env: NodeJS.ProcessEnv;
  readonly options: ProgramOptions;
  readonly commandLine: CommandLine;
  /** Ends the process immediately. Call it only after the final save. */
  leave(code: number): void;
  /** Returns the exit code of an error. */
  exitOf(error: unknown): number;
}

/** Options of the program itself, accepted by every command. */
export interface ProgramOptions {
  readonly dataDir?: string | undefined;
  readonly model?: string | undefined;
  readonly path?: string | undefined;
  /** Save nothing of this chat. */
  readonly incognito?: boolean | undefined;
  /** Resume the newest session of this directory. */
  readonly continue?: boolean | undefined;
  /** Session to resume: true for the last one, false for a new one regardless of the settings. */
  readonly resume?: string | boolean | undefined;
  readonly attach?: string | undefined;
  /** Continue the session in this directory instead of its own. */
  readonly here?: boolean | undefined;
  /** The system prompt, or `@` and the path of a file that contains it. */
  readonly system?: string | undefined;
  /** Whether to use the AGENTS.md of the directory; if omitted, the user is asked. */
  readonly agents?: boolean | undefined;
  readonly list?: boolean | undefined;
  /** Print one reply to this prompt and exit; `-` stands for standard input. */
  readonly prompt?: string | undefined;
  /** Whether a conversation may be sent to another machine without asking. */
  readonly yes?: boolean | undefined;
}

/** The help option, which every command has. */
export const helpOption: CommandOption = { flags: '-h, --help', description: 'show this help' };

/** Returns the names of the command-line commands in the order of help. */
export function commandNames(commands: LazyCommands): string[] {
  return Object.keys(commands).filter((name) => !name.startsWith('/'));
}

/** Loads the commands of these names. */
export async function loadCommands(commands: LazyCommands, names: readonly string[]): Promise<CommandSpec[]> {
  const loaded = await Promise.all(names.map((name) => commands[name]?.()));
  return loaded.flatMap((command) => (command === undefined || isSlashCommand(command) ? [] : [command]));
}

/** Whether a command exists only in a chat. */
export function isSlashCommand(command: CommandSpec | SlashCommand): command is SlashCommand {
  return 'usage' in command;
}
