import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CommandDoc, commandDocs, exitDocs, slashDocs, variables } from './docs-program.ts';

/** docs/coffer.1 as the program has it: roff, for man. */
export function manPage(): string {
  const [program, ...commands] = commandDocs();
  if (program === undefined) throw new Error('there is no program');
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
    text(
      'begins a chat whose steps are sealed into a vault on this machine, with a key in the keychain of the system.',
    ),
    text('<which> means a session or snapshot: a number of the list, an id, a name, last, or the beginning of an id.'),
    text('stdout carries what was asked for, stderr what is said about it.'),
    '.SH OPTIONS',
    ...program.options.flatMap(item),
    '.SH COMMANDS',
    ...commands.flatMap(commandPart),
    '.SH SLASH COMMANDS',
    text('A line of a chat that begins with / is a command.'),
    ...slashDocs().flatMap(item),
    '.SH ENVIRONMENT',
    text('Settings have variables too: docs/config.md names them.'),
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
  ['~/.local/share/coffer', 'the vault, where COFFER_DATA_DIR and --data-dir name no other'],
  ['~/.config/coffer/settings.json', 'the settings, where COFFER_CONFIG_DIR names no other directory'],
  ['.coffer.json', 'what the project in this directory may set'],
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

/** One argument of a macro. */
function quoted(words: string): string {
  return `"${text(words).replaceAll('"', '""')}"`;
}

/** Text as roff: what it would take for a command, an escape or a dash of its own is written out; what is no ASCII by its number. */
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
