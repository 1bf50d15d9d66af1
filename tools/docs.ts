/*
 * Writes the documents that are made of the program itself: docs/cli.md and docs/coffer.1 of its help, docs/config.md of its
 * settings, docs/models.md of the providers it is tested with, and what is made of the bench's last run. With --check it writes nothing, and fails naming those that are no longer as the program has them.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { benchDocuments } from './docs-bench.ts';
import { cliMarkdown } from './docs-cli.ts';
import { configMarkdown, configPath } from './docs-config.ts';
import { manPage } from './docs-man.ts';
import { modelsMarkdown, modelsPath } from './docs-models.ts';

const docs = join(import.meta.dirname, '../docs');

/** Every such document, and what it must be. */
export function documents(): ReadonlyMap<string, string> {
  return new Map([
    [join(docs, 'cli.md'), cliMarkdown()],
    [join(docs, 'coffer.1'), manPage()],
    [configPath, configMarkdown()],
    [modelsPath, modelsMarkdown()],
    ...benchDocuments(),
  ]);
}

/** The documents that are not what they must be. */
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
    for (const path of paths) console.error(`${path} is not as the program has it; npm run docs writes it anew`);
    if (paths.length > 0) process.exitCode = 1;
  } else for (const [path, text] of documents()) writeFileSync(path, text);
}
