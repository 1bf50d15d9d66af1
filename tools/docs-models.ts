import { join } from 'node:path';
import type { Dialect } from '../test/providers/dialect.ts';
import { dialects } from '../test/providers/dialects.ts';
import { pictures, steps } from '../test/providers/steps.ts';

/** The path of docs/models.md. */
export const modelsPath: string = join(import.meta.dirname, '../docs/models.md');

/** Returns docs/models.md, generated from the scripted servers of test/providers. */
export function modelsMarkdown(): string {
  const overview = dialects.map(({ title, protocol, reasoning, ids }) => [title, protocols[protocol], reasoning, ids]);
  return `${opening}
${table(['provider', 'protocol', 'reasoning arrives as', 'call ids'], overview)}
Each conversation goes through: ${[...steps, ...pictures].map(([name]) => name).join(', ')}.
${dialects.map(section).join('')}`;
}

const protocols: Readonly<Record<Dialect['protocol'], string>> = {
  openai: 'Chat Completions',
  anthropic: 'Messages',
  ollama: '`/api/chat`',
};

const opening = `# Models and providers

<!-- written by tools/docs.ts from test/providers -->

A conversation can be continued with any model of any provider. The recorded events never change; each request is rendered for the
model that it goes to. The servers below are scripted and refuse what the real ones refuse, as far as their documentation or public
reports say. \`test/providers\` takes a conversation from each of them to every other and back, ${dialects.length} × ${dialects.length}
pairs, and none of the requests may be refused.
`;

function section({ title, rules }: Dialect): string {
  const rows = rules.map(({ refused, coffer, source }) => [refused, coffer, `[source](${source})`]);
  return `
## ${title}

${table(['refuses', 'coffer', 'source'], rows)}`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, head.map(() => '---'), ...rows];
  return lines.map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`).join('');
}
