import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ZodType, z } from 'zod';
import * as schemas from '../src/cli/schemas.ts';
import { type CommandDoc, commandDocs, exitDocs, slashDocs, variables } from './docs-program.ts';

/** Returns docs/cli.md, generated from the program. */
export function cliMarkdown(): string {
  const [program, ...commands] = commandDocs();
  if (program === undefined) throw new Error('there is no program');
  const parts = [
    opening,
    contents([program, ...commands]),
    section(program),
    ...commands.map(section),
    '## In a chat',
    'A line that begins with `/` is a command; `/help` lists them. A line that begins with `//` is sent to the model with one `/`.',
    table(
      ['command', 'what it does'],
      slashDocs().map(([usage, about]) => [code(usage), plain(about)]),
    ),
    '## Environment',
    'Settings have variables too: [config.md](config.md) names them.',
    table(
      ['variable', 'meaning'],
      variables.map(([name, about]) => [code(name), plain(about)]),
    ),
    '## Exit codes',
    'The code of an error is stable; its message may change. With `--json` an error is one line of JSON on stderr, with its `reason`, and `advice` and `holder` if there are any; other messages are printed before it, each as a line `{"note": "…"}`.',
    table(
      ['exit', 'means', 'codes'],
      exitDocs().map(({ exit, about, codes }) => [exit, plain(about), codes.map(code).join(' ')]),
    ),
    '## JSON',
    'The output of `--json`, as JSON Schema.',
    ...schemaSections(),
  ];
  return `${parts.join('\n\n')}\n`;
}

/** The maximum width of a line of JSON, in columns. */
const WIDTH = 110;

const opening = `# The command line

<!-- written by tools/docs.ts from the program's own help -->

\`<which>\` means a session or snapshot: a number of \`coffer sessions\`, an id, a name, \`last\`, or a unique prefix of an id or UUID.
stdout carries the result, stderr everything else. \`--help\` after any command shows what this page says.
\`man ./docs/coffer.1\` shows the same as a man page.`;

/** Returns links to the sections of all commands. */
function contents(commands: readonly CommandDoc[]): string {
  const links = commands.map(({ name }) => `[${name.replace(/^coffer /, '')}](#${name.replaceAll(' ', '-')})`);
  return `${links.join(' · ')} · [in a chat](#in-a-chat) · [environment](#environment) · [exit codes](#exit-codes) · [JSON](#json)`;
}

function section({ name, usage, about, arguments: args, options, examples }: CommandDoc): string {
  const rows = [...args, ...options].map(([term, words]) => [code(term), plain(words)]);
  const parts = [`## ${name}`, sentence(plain(about)), fenced('', [usage])];
  if (rows.length > 0) parts.push(table(['', ''], rows));
  if (examples.length > 0) parts.push('For example:', fenced('sh', examples));
  return parts.join('\n\n');
}

/** Returns a section for each schema, in source order, with its doc comment as text. */
function schemaSections(): string[] {
  const source = readFileSync(join(import.meta.dirname, '../src/cli/schemas.ts'), 'utf8');
  const found = source.matchAll(/\/\*\*\s+((?:(?!\*\/).)*?)\s*\*\/\nexport const (\w+)Schema\b/gs);
  const named = schemas as unknown as Record<string, ZodType | undefined>;
  return [...found].map(([, words = '', name = '']) => {
    const schema = named[`${name}Schema`];
    if (schema === undefined) throw new Error(`src/cli/schemas.ts exports no ${name}Schema`);
    const { $schema: _, ...shape } = z.toJSONSchema(schema, { unrepresentable: 'any', override: lighten });
    const text = words.replace(/^\* /, '').replaceAll(/\s*\n \* /g, ' ');
    return [`### ${spaced(name)}`, text, fenced('json', [compact(shape)])].join('\n\n');
  });
}

/** Removes patterns implied by a format, and the upper bound of every JavaScript integer. */
function lighten({ jsonSchema }: { jsonSchema: { format?: unknown; pattern?: unknown; maximum?: unknown } }): void {
  if (jsonSchema.format !== undefined) delete jsonSchema.pattern;
  if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
}

/** Formats JSON with each value on one line if it fits. */
function compact(value: unknown, indent = ''): string {
  const line = JSON.stringify(value).replaceAll(/("(?:[^"\\]|\\.)*")|([,:])/g, (_, text, mark) => text ?? `${mark} `);
  if (indent.length + line.length <= WIDTH || typeof value !== 'object' || value === null) return line;
  const inner = `${indent}  `;
  const isList = Array.isArray(value);
  const parts = Object.entries(value).map(([name, inside]) => {
    return `${inner}${isList ? '' : `${JSON.stringify(name)}: `}${compact(inside, inner)}`;
  });
  const [open, close] = isList ? ['[', ']'] : ['{', '}'];
  return `${open}\n${parts.join(',\n')}\n${indent}${close}`;
}

function spaced(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

function fenced(language: string, lines: readonly string[]): string {
  return ['```'.concat(language), ...lines, '```'].join('\n');
}

function code(text: string): string {
  return `\`${text.replaceAll('|', '\\|')}\``;
}

/** Escapes text for Markdown. */
function plain(text: string): string {
  return text.replaceAll(/[<>|*_\\]/g, '\\$&');
}

function sentence(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}.`;
}
