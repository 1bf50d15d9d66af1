import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Key, keyNames, keyOf, priceParts, providerParts, variableOf } from '../src/settings/keys.ts';

/** The path of docs/config.md. */
export const configPath: string = join(import.meta.dirname, '../docs/config.md');

/** Returns docs/config.md, generated from the settings. */
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
${table(['key', 'default', 'value', 'environment, flag', 'project may set', 'description'], rows)}
${providers}
${table(['key', 'value', 'description'], [...parts, ...prices])}
${closing}`;
}

const opening = `# Settings

<!-- written by tools/docs.ts from src/settings/keys.ts -->

All settings are optional. They are in \`settings.json\`, in the platform's configuration directory (\`~/.config/coffer\` on Linux;
\`COFFER_CONFIG_DIR\` overrides it; \`coffer config path\` prints it). \`coffer config list\` shows every setting with its value and its
source, \`coffer config set\` and \`unset\` change one, \`coffer config edit\` opens the file in your editor.

Precedence: flag, environment, project file, settings file, default. In the environment, booleans are \`true\`, \`false\`, \`1\` or
\`0\`, and an empty variable counts as not set.
`;

const providers = `\`providers\` has one object per provider, by name (letters, digits and \`.\` \`_\` \`-\`). One with the name of a built-in
provider overrides it key by key. All keys are optional, but a provider that isn't built in needs a \`baseURL\`.
`;

const closing = `Rules (\`permissions\`) are \`read\`, \`write\`, \`command\` or \`network\`, alone or for one directory or command line: \`read:/usr/share/doc\`,
\`write:/tmp/out\`, \`command:npm test\`, \`network:npm install\`.

## A project's own file

\`.coffer.json\` in the directory of a conversation may choose a model, send fewer messages to it and deny more to tools. It can never
raise a limit or allow anything; any other key is refused by name. It must be a regular file: a symbolic link is refused.

## What is refused

- A file that belongs to another user (except root), or that others can write: coffer prints the \`chown\` or \`chmod\` to run.
- A file that isn't JSON (with line and column), isn't UTF-8, is longer than 1 MiB or isn't a regular file.
- An unknown key, with a suggestion if one is similar; an invalid value, with the valid ones. Every fault has its own line.
- An API key in place of the name of a variable: it is not repeated.

\`set\` and \`unset\` change nothing if they fail. They write a new file and rename it (mode 0600, a link is followed), keep the other
keys and their order, and lock \`settings.lock\` next to it, so that two processes can set something at the same time. After \`edit\`, a
file with faults is restored unless you edit it again.
`;

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, head.map(() => '---'), ...rows];
  return lines.map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`).join('');
}

function defaultOf(key: Key): string {
  return key.default === undefined ? '' : code(JSON.stringify(key.default));
}

/** Formats valid values: words in quotation marks are code. */
function may(words: string): string {
  return words.replace(/"[^"]*"/g, code).replaceAll('provider/model', code('provider/model'));
}

function code(text: string): string {
  return `\`${text}\``;
}

if (import.meta.main) writeFileSync(configPath, configMarkdown());
