import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

/** The path of a file that breaks one rule, its text, and a part of the linter's message. */
type Case = readonly [file: string, text: string, message: string];

const layers: readonly Case[] = [
  ['src/errors.ts', "export { x } from './files/x.ts';", 'errors imports nothing'],
  ['src/index.ts', "export { x } from './cli/x.ts';", 'the library exports no terminal'],
  ['src/cli/a.ts', "export { x } from '../keyring/x.ts';", 'cli knows argv, commands and exit codes'],
  ['src/cli/commands/b.ts', "export { x } from '../../envelope/x.ts';", 'cli knows argv, commands and exit codes'],
  [
    'src/cli/commands/list/b.ts',
    "export { x } from '../../../envelope/x.ts';",
    'cli knows argv, commands and exit codes',
  ],
  [
    'src/terminal/a.ts',
    "export { x } from '../cli/x.ts';",
    'terminal imports live, settings, chat, session and errors',
  ],
  ['src/settings/a.ts', "export { x } from '../session/x.ts';", 'settings imports errors, files'],
  ['src/session/list/a.ts', "export { x } from '../../files/x.ts';", 'session imports vault and errors'],
  ['src/vault/keys/slots/a.ts', "export { x } from '../../../session/x.ts';", 'vault imports envelope, keyring'],
  ['src/chat/a.ts', "export { x } from '../vault/x.ts';", 'chat imports session and errors'],
  ['src/chat/tools/a.ts', "export { x } from '../../cli/x.ts';", 'chat imports session and errors'],
  ['src/session/a.ts', "export { x } from '../files/x.ts';", 'session imports vault and errors'],
  ['src/vault/a.ts', "export { x } from '../session/x.ts';", 'vault imports envelope, keyring, files and errors'],
  ['src/vault/late.ts', "export const a = await import('../chat/x.ts');", 'vault imports envelope, keyring'],
  ['src/keyring/a.ts', "export { x } from '../vault/x.ts';", 'keyring imports errors, and envelope/key.ts as a type'],
  ['src/keyring/b.ts', "export { x } from '../../native-fallback/x.ts';", 'through fallback.ts only'],
  ['src/keyring/fallback.ts', "export { x } from '../envelope/seal.ts';", 'keyring imports errors'],
  ['src/keyring/c.ts', "import { x } from '../envelope/key.ts';\nexport const a = x;", 'as a type only (import type)'],
  ['src/envelope/a.ts', "export { x } from '../files/x.ts';", 'envelope imports errors alone'],
  ['src/envelope/b.ts', "import { open } from 'node:fs/promises';\nexport const a = open;", 'envelope does no I/O'],
  ['src/files/a.ts', "export type { X } from '../envelope/x.ts';", 'files imports errors alone'],
  ['native-fallback/a.ts', "export { x } from '../src/errors.ts';", 'native-fallback imports nothing from src'],
];

const habits: readonly Case[] = [
  [
    'src/vault/gcm.ts',
    "import { createCipheriv } from 'node:crypto';\nexport const a = createCipheriv;",
    'a cipher is used',
  ],
  [
    'native-fallback/gcm.ts',
    "import { createCipheriv } from 'node:crypto';\nexport const a = createCipheriv;",
    'a cipher is used',
  ],
  ['src/vault/web.ts', "export const a = crypto.subtle.encrypt('AES-GCM');", 'a cipher is used'],
  ['src/terminal/repl.ts', 'process.exit(1);', 'process.exit is called in src/cli/main.ts only'],
  ['src/vault/exit.ts', 'process.exit();', 'process.exit is called in src/cli/main.ts only'],
  ['src/terminal/output/rows.ts', "console.log('x');", 'console'],
  ['src/files/quiet.ts', 'try {\n  JSON.parse("x");\n} catch {\n}', 'empty block'],
  ['src/files/old.ts', "import { open } from 'fs';\nexport const a = open;", 'node:'],
  ['src/files/round.ts', "import { b } from './trip.ts';\nexport const a = () => b;", 'cycle'],
  ['src/files/trip.ts', "import { a } from './round.ts';\nexport const b = () => a;", 'cycle'],
  ['src/vault/lost.ts', 'async function save(): Promise<void> {}\nexport const a = () => {\n  save();\n};', 'floating'],
  ['src/vault/if.ts', 'async function has(): Promise<void> {}\nexport const a = () => (has() ? 1 : 2);', 'Promise'],
  ['src/files/dev.ts', "import fc from 'fast-check';\nexport const a = fc;", 'fast-check'],
  ['src/files/long.ts', `${'export {};\n'.repeat(301)}`, '300'],
  ['test/only.test.ts', "import { it } from 'vitest';\nit.only('x', () => 1);", 'focus'],
  ['test/skip.test.ts', "import { it } from 'vitest';\nit.skip('x', () => 1);", 'disable'],
];

const fine: readonly (readonly [file: string, text: string])[] = [
  ['src/cli/main.ts', "import { a } from '../chat/x.ts';\nprocess.exit(a);"],
  ['src/terminal/output/terminal.ts', "console.log('x');"],
  [
    'src/cli/commands/a.ts',
    "import { a } from '../terminal.ts';\nimport { b } from '../../vault/x.ts';\nexport const c = [a, b];",
  ],
  [
    'src/cli/commands/list/a.ts',
    "import { a } from '../../shell.ts';\nimport { b } from '../../../vault/x.ts';\nexport const c = [a, b];",
  ],
  ['src/chat/b.ts', "export { a } from '../session/x.ts';\nexport { b } from './c.ts';"],
  ['src/session/b.ts', "export { a } from '../vault/x.ts';\nexport { b } from '../errors.ts';"],
  [
    'src/vault/b.ts',
    "export { a } from '../envelope/x.ts';\nexport { b } from '../keyring/x.ts';\nexport { c } from '../files/x.ts';",
  ],
  ['src/keyring/d.ts', "export type { VaultKey } from '../envelope/key.ts';\nexport { a } from '../errors.ts';"],
  ['src/envelope/seal.ts', "import { createCipheriv } from 'node:crypto';\nexport const a = createCipheriv;"],
  [
    'native-fallback/secret-session.ts',
    "import { createCipheriv } from 'node:crypto';\nexport const a = createCipheriv;",
  ],
];

const root = join(import.meta.dirname, '../..');
const tree = mkdtempSync(join(tmpdir(), 'coffer-lint-'));
let said: readonly { file: string; message: string }[] = [];

beforeAll(async () => {
  for (const name of ['.biome.json', 'package.json', 'tools/lint'])
    cpSync(join(root, name), join(tree, name), { recursive: true });
  for (const [file, text] of [...layers, ...habits, ...fine]) write(join(tree, file), text);
  said = await lint(tree);
});

afterAll(() => {
  rmSync(tree, { recursive: true, force: true });
});

describe('the linter', () => {
  it.each([...layers, ...habits])('reports the fault in %s', (file, _, message) => {
    expect(messagesAbout(file).join('\n')).toContain(message);
  });

  it.each(fine)('accepts %s', (file) => {
    expect(messagesAbout(file)).toEqual([]);
  });
});

function messagesAbout(file: string): string[] {
  return said.filter((one) => one.file === file).map(({ message }) => message);
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${text}\n`);
}

interface Report {
  diagnostics: { message?: string; description?: string; location: { path: string | { file: string } } }[];
}

/**
 * Runs the linter over a tree as `npm run check` does over this one. It exits with an error, as it
 * finds faults.
 */
async function lint(cwd: string): Promise<{ file: string; message: string }[]> {
  const biome = join(root, 'node_modules/@biomejs/biome/bin/biome');
  const args = [biome, 'lint', '--reporter=json', '--max-diagnostics=none', '.'];
  const report = await new Promise<string>((resolve) => {
    execFile(process.execPath, args, { cwd, maxBuffer: 1 << 24 }, (_, stdout) => resolve(stdout));
  });
  return (JSON.parse(report) as Report).diagnostics.map(({ message, description, location }) => ({
    file: (typeof location.path === 'string' ? location.path : location.path.file).replaceAll('\\', '/'),
    message: message ?? description ?? '',
  }));
}
