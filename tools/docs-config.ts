import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Key, keyNames, keyOf, priceParts, providerParts, variableOf } from '../src/settings/keys.ts';

/** Where {@link configMarkdown} belongs. */
export const configPath: string = join(import.meta.dirname, '../docs/config.md');

/** docs/config.md as the settings have it. */
export function configMarkdown(): string {
  const rows = keyNames.map((name) => {
    const key = keyOf(name);
    const ways = [variableOf(name), key.flag].filter((way) => way !== undefined).map(code);
    return [code(name), defaultOf(key), may(key.may), ways.join(', '), key.project ?? 'no', key.about];
  });
  const parts = Object.entries(providerParts).map(([name, { may: words, about }]) => [code(name), may(words), about]);
  const prices = Object.entries(priceParts).map(([name, { may: words, about }]) => [
    code(`prices.<model>.${name}`),
    may(words),
    about,
  ]);
  return `${opening}
${table(['key', 'default', 'may be', 'environment, flag', 'project may set', 'about'], rows)}
${providers}
${table(['key', 'may be', 'about'], [...parts, ...prices])}
${closing}`;
}

const opening = `# Settings

<!-- written by tools/docs.ts from src/settings/keys.ts -->

All settings are optional. They are in \`settings.json\`, in the platform's place for settings (\`~/.config/coffer\` on Linux;
\`COFFER_CONFIG_DIR\` overrides it; \`coffer config path\` shows it). \`coffer config list\` shows every setting with its value and what says
it, \`coffer config set\` and \`unset\` change one, \`coffer config edit\` opens the file in your editor.

A flag goes before the environment, that before the project's file, that before the settings file, that before the default. In
the environment, booleans are \`true\`, \`false\`, \`1\` or \`0\`, and an empty variable counts as not set.
`;

const providers = `\`providers\` has an object for each provider by its name (letters, digits and \`.\` \`_\` \`-\`); those of the same name as a built-in one
override it key by key. All of their keys are optional, but one that is not built in needs a \`baseURL\`.
`;

const closing = `Rules (\`permissions\`) are \`read\`, \`write\`, \`command\` or \`network\`, alone or for one directory or command line: \`read:/usr/share/doc\`,
\`write:/tmp/out\`, \`command:npm test\`, \`network:npm install\`.

## A project's own file

\`.coffer.json\` in the directory a conversation is about may choose a model, send fewer messages to it and deny more to tools; it can
never raise or allow anything, and whatever else it sets is refused by name. It is a file of that directory: a symbolic link is
refused.

## What is refused

- A file that belongs to another user (except root), or that others can write: coffer says which \`chown\` or \`chmod\` to use.
- What is no JSON, with line and column; what is not UTF-8; what is longer than 1 MiB; what is no file.
- An unknown key, with the one that may be meant; a value that may not be, with what it may be. Every fault is a line of its own.
- An API key in place of the name of a variable: it is not repeated.

\`set\` and \`unset\` change nothing when they refuse. They write a new file and rename it (mode 0600, a link to a file elsewhere is
followed), keep the other keys and their order, and take turns with other processes through \`settings.lock\` beside it: two that
set something at once both get what they want. After \`edit\`, a file with faults goes back to what it was unless you edit it again.
`;

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, head.map(() => '---'), ...rows];
  return lines.map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`).join('');
}

function defaultOf(key: Key): string {
  return key.default === undefined ? '' : code(JSON.stringify(key.default));
}

/** Words in quotation marks are written as they are typed. */
function may(words: string): string {
  return words.replace(/"[^"]*"/g, code).replaceAll('provider/model', code('provider/model'));
}

function code(text: string): string {
  return `\`${text}\``;
}

if (import.meta.main) writeFileSync(configPath, configMarkdown());
