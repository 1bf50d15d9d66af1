import { homedir } from 'node:os';
import { CofferError } from '../../../errors.ts';
import type { Chat } from '../../../terminal/chat.ts';
import type { Terminal } from '../../../terminal/output/terminal.ts';
import type { CommandSpec, Shell } from '../../command.ts';
import { openSessions } from '../../shell.ts';
import { aboutOf, type Exportable, FORMATS, type Format, formatOf, renderExport } from './export-text.ts';

/** `coffer export` and `/export`. */
export const exportCommand: CommandSpec<[which: string], ExportOptions> = {
  name: 'export',
  description: 'export a session unencrypted',
  arguments: [{ syntax: '<which>', description: 'a list number, id, name, or last' }],
  options: [
    {
      flags: '--format <format>',
      description: 'output format (default: from the file name, else markdown)',
      choices: FORMATS,
    },
    { flags: '-o, --output <file>', description: 'write to a file only you can read, instead of stdout' },
    { flags: '--redact', description: 'leave out what looks like a key or a token' },
    { flags: '--force', description: 'replace an existing file' },
  ],
  examples: ['coffer export last --output conversation.md', 'coffer export 2 --format jsonl --redact > shared.jsonl'],
  run,
  slash: {
    usage: '[format] [file]',
    about: 'export this conversation unencrypted as markdown, json or jsonl; --redact leaves out keys',
    run: runSlash,
  },
};

/** Options of an export. */
export interface ExportOptions {
  /** Default: from the file name, else Markdown. */
  readonly format?: Format | undefined;
  /** The file. Default: stdout; so is `-`. */
  readonly output?: string | undefined;
  /** Removes what looks like a key or a token. */
  readonly redact?: boolean | undefined;
  /** Replaces an existing file without asking. */
  readonly force?: boolean | undefined;
}

/**
 * Exports a session unencrypted, to stdout or to a file that only this user can read, and warns
 * about it. Throws `SESSION_NOT_FOUND`, `SESSION_AMBIGUOUS`, `UNAUTHENTIC`, `NEWER_VERSION`,
 * `KEY_*`, `FAILED` if the file can't be created, or exists and there is no terminal to ask on, and
 * `CANCELLED` if the user declines.
 */
async function run(shell: Shell, [which]: [string], options: ExportOptions): Promise<void> {
  const { terminal } = shell;
  const { sessions, input } = await openSessions(shell);
  try {
    const { row, events, state } = await sessions.read(await sessions.find(which));
    const place = { terminal, ask: (question: string) => input.ask(question), vault: sessions.directory };
    await writeExport({ about: aboutOf(state, row), events }, options, place);
    if (row.torn !== undefined) terminal.tell(row.torn);
    if (row.rolledBack !== undefined) terminal.tell(`warning: ${row.rolledBack}`);
  } finally {
    input.close();
  }
}

/**
 * Exports the current conversation, saved or not. Throws `INCOGNITO` if it must leave no trace, and
 * as {@link run}.
 */
async function runSlash(chat: Chat, argument: string): Promise<void> {
  const { terminal, input, session, sessions } = chat;
  if (chat.incognito) {
    throw new CofferError('INCOGNITO', 'an incognito conversation is not written anywhere', {
      advice: 'start one without --incognito',
    });
  }
  const { state, events, id } = session;
  const about = aboutOf(state, id === undefined ? {} : { id });
  const place = { terminal, ask: (question: string) => input.ask(question), vault: sessions.directory };
  await writeExport({ about, events }, readOptions(argument), place);
}

/** Parses formats and options, which come first; the rest is the file name, spaces included. */
function readOptions(argument: string): ExportOptions {
  const options: { -readonly [K in keyof ExportOptions]: ExportOptions[K] } = {};
  let rest = argument;
  for (;;) {
    const [all = '', word = ''] = /^(\S+)\s*/.exec(rest) ?? [];
    const format = FORMATS.find((each) => each === word && options.format === undefined);
    if (format !== undefined) options.format = format;
    else if (word === '--redact') options.redact = true;
    else if (word === '--force') options.force = true;
    else break;
    rest = rest.slice(all.length);
  }
  if (rest !== '') options.output = rest.replace(/^~(?=\/)/, homedir());
  return options;
}

/** The destination of an export. */
interface ExportPlace {
  readonly terminal: Terminal;
  ask(question: string): Promise<string | undefined>;
  readonly vault: string;
}

async function writeExport(exported: Exportable, options: ExportOptions, place: ExportPlace): Promise<void> {
  const { terminal, ask, vault } = place;
  const output = options.output === '-' ? undefined : options.output;
  const { value, told } = options.redact === true ? await redacted(exported) : { value: exported };
  const text = renderExport(value, options.format ?? formatOf(output));
  if (output === undefined) {
    await terminal.pour(text);
    terminal.tell('warning: this export is not encrypted');
  } else {
    const { writePlain } = await import('./plain-file.ts');
    const isYes = async (question: string): Promise<boolean> => /^y(es)?$/i.test((await ask(question))?.trim() ?? '');
    const mayReplace = terminal.interactive ? isYes : undefined;
    const path = await writePlain({ path: output, mayReplace, force: options.force, vault }, text);
    terminal.tell(`warning: ${path} is not encrypted`);
  }
  if (told !== undefined) terminal.tell(told);
}

async function redacted(exported: Exportable): Promise<{ value: Exportable; told: string }> {
  const { describeFound, redactSecrets } = await import('../../../session/change/secrets.ts');
  const { value, found } = redactSecrets(exported);
  return { value, told: `redacted: ${describeFound(found)}; anything that doesn't look like a secret is still there` };
}
