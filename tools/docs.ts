/*
 * Writes the generated documents: docs/cli.md and docs/coffer.1 from the program's help,
 * docs/config.md from its settings, docs/models.md from the providers it is tested with, and the
 * documents of the last bench run. With --check it writes nothing, and fails naming the documents
 * that are out of date.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { benchDocuments } from './docs-bench.ts';
import { cliMarkdown } from './docs-cli.ts';
import { configMarkdown, configPath } from './docs-config.ts';
import { manPage } from './docs-man.ts';
import { modelsMarkdown, modelsPath } from './docs-models.ts';

const docs = join(import.meta.dirname, '../docs');

/** Returns the text of every generated document, by path. */
export function documents(): ReadonlyMap<string, string> {
  return new Map([
    [join(docs, 'cli.md'), cliMarkdown()],
    [join(docs, 'coffer.1'), manPage()],
    [configPath, configMarkdown()],
    [modelsPath, modelsMarkdown()],
    ...benchDocuments(),
  ]);
}

/** Returns the paths of the documents that are missing or out of date. */
export function drifted(): string[] {
  return [...documents()].filter(([path, text]) => read(path) !== text).map(([path]) => path);
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return undefined;
  }
}

if (import.meta.main) {
  if (process.argv.includes('--check')) {
    const paths = drifted();
    for (const path of paths) console.error(`${path} is out of date; run npm run docs`);
    if (paths.length > 0) process.exitCode = 1;
  } else for (const [path, text] of documents()) writeFileSync(path, text);
}
