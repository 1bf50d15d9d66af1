import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CommandDoc, commandDocs, exitDocs, slashDocs, variables } from './docs-program.ts';

/** Returns docs/coffer.1, generated from the program's help, as roff for man. */
export function manPage(): string {
  const [program, ...commands] = commandDocs();
  if (program === undefined) throw new Error('no commands to document');
  const manifest = readFileSync(join(import.meta.dirname, '../package.json'), 'utf8');
  const { version, description } = JSON.parse(manifest) as { version: string; description: string };
  const parts = [
    `.\\" written by tools/docs.ts from the program's own help`,
    `.TH COFFER 1 "" "coffer ${version}" "User Commands"`,
    '.SH NAME',
    `coffer \\- ${text(description)}`,
    '.SH SYNOPSIS',
    ...synopsis(program.usage),
    '.SH DESCRIPTION',
    'Without a command,',
    '.B coffer',
    text("starts a chat. Every step is sealed into a vault on this machine, with a key in the system's keychain."),
    text('<which> is a session or snapshot: its number in the list, its id or the beginning of it, its name, or last.'),
    text('Results go to stdout, messages to stderr.'),
    '.SH OPTIONS',
    ...program.options.flatMap(item),
    '.SH COMMANDS',
    ...commands.flatMap(commandPart),
    '.SH SLASH COMMANDS',
    text('In a chat, a line that begins with / is a command.'),
    ...slashDocs().flatMap(item),
    '.SH ENVIRONMENT',
    text('Settings have variables, too: see docs/config.md.'),
    ...variables.flatMap(item),
    '.SH FILES',
    ...files.flatMap(item),
    '.SH EXIT STATUS',
    ...exitDocs().flatMap(({ exit, about, codes }) =>
      item([exit, codes.length === 0 ? about : `${about} (${codes.join(', ')})`]),
    ),
    '.SH EXAMPLES',
    '.EX',
    ...program.examples.map(text),
    '.EE',
    '.SH SEE ALSO',
    text('README.md, SECURITY.md and docs/ of the package'),
  ];
  return `${parts.join('\n')}\n`;
}

const files: readonly (readonly [string, string])[] = [
  ['~/.local/share/coffer', 'the vault; COFFER_DATA_DIR and --data-dir override it'],
  ['~/.config/coffer/settings.json', 'the settings; COFFER_CONFIG_DIR overrides the directory'],
  ['.coffer.json', 'the settings of the project in this directory'],
];

function synopsis(usage: string): string[] {
  const [program = '', ...rest] = usage.split(' ');
  return [`.B ${program}`, text(rest.join(' '))];
}

function commandPart({ usage, about, arguments: args, options, examples }: CommandDoc): string[] {
  const shown = examples.length === 0 ? [] : ['.PP', 'For example:', '.PP', '.EX', ...examples.map(text), '.EE'];
  return [`.SS ${quoted(usage)}`, `${text(about)}.`, ...[...args, ...options].flatMap(item), ...shown];
}

function item([term, words]: readonly [string, string]): string[] {
  return ['.TP', `.B ${quoted(term)}`, text(words)];
}

/** Quotes one argument of a macro. */
function quoted(words: string): string {
  return `"${text(words).replaceAll('"', '""')}"`;
}

/**
 * Escapes text for roff: backslashes, dashes and other characters that roff would interpret;
 * non-ASCII characters by code point.
 */
function text(words: string): string {
  const escaped = words
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('~', '\\(ti')
    .replaceAll('^', '\\(ha')
    .replaceAll('`', '\\(ga')
    .replaceAll("'", '\\(aq')
    .replaceAll(
      /[^\p{ASCII}]/gu,
      (letter) => `\\[u${(letter.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}]`,
    );
  return /^[.\\]/.test(escaped) ? `\\&${escaped}` : escaped;
}
