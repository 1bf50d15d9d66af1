import { globSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { describe, expect, it } from 'vitest';

/*
 * The linter rejects an import by its spelling (see .biome.json). This test checks what the linter
 * can't see, by the target of an import: a detour (`../envelope/../session/…`), a folder that isn't
 * a layer, and keyring reaching envelope/key.ts as more than a type through a re-export or an
 * import().
 */
const allowed: Record<string, readonly string[]> = {
  index: ['chat', 'session', 'vault', 'keyring', 'envelope', 'files', 'errors'],
  cli: ['terminal', 'live', 'settings', 'chat', 'session', 'vault', 'files', 'errors', 'package.json'],
  terminal: ['live', 'settings', 'chat', 'session', 'errors'],
  live: ['settings', 'chat', 'session', 'errors'],
  settings: ['chat', 'files', 'errors'],
  chat: ['session', 'errors'],
  session: ['vault', 'errors'],
  vault: ['envelope', 'keyring', 'files', 'errors'],
  keyring: ['native-fallback', 'envelope', 'errors'],
  envelope: ['errors'],
  files: ['errors'],
  errors: [],
  'native-fallback': [],
};

describe('the layers', () => {
  it('import downwards only', () => {
    const root = join(import.meta.dirname, '../..');
    const files = globSync(['src/**/*.ts', 'native-fallback/**/*.ts'], { cwd: root });
    expect(files).toContain(join('src', 'errors.ts'));
    expect(files.flatMap((file) => faults(file.replaceAll('\\', '/'), readFileSync(join(root, file), 'utf8')))).toEqual(
      [],
    );
  });
});

describe('the check of the layers', () => {
  it.each([
    ['an import upwards', 'src/vault/a.ts', "import { x } from '../session/b.ts';", 'vault → session'],
    [
      'an import over several lines',
      'src/vault/a.ts',
      "import {\n  x,\n  y,\n} from '../session/b.ts';",
      'vault → session',
    ],
    ['a type', 'src/files/a.ts', "import type { X } from '../envelope/key.ts';", 'files → envelope'],
    ['a re-export', 'src/files/a.ts', "export * from '../envelope/key.ts';", 'files → envelope'],
    ['an import for its effect', 'src/chat/a.ts', "import '../vault/vault.ts';", 'chat → vault'],
    ['an import()', 'src/chat/tools/a.ts', "await import('../../vault/vault.ts');", 'chat → vault'],
    ['an import() of a type', 'src/chat/a.ts', "type V = import('../vault/vault.ts').Vault;", 'chat → vault'],
    ['a file started by its URL', 'src/chat/a.ts', "new URL('../vault/vault.ts', x);", 'chat → vault'],
    ['a detour', 'src/vault/a.ts', "import '../envelope/../session/b.ts';", 'vault → session'],
    ['a detour through the entry point', 'src/vault/a.ts', "import '../index.ts';", 'vault → index'],
    ['a folder that is not a layer', 'src/misc/a.ts', "import '../errors.ts';", 'misc is not a layer'],
    ['a target that is not a layer', 'src/cli/a.ts', "import '../misc/b.ts';", 'cli → misc'],
    ['the fallback in a second file', 'src/keyring/a.ts', "import '../../native-fallback/b.ts';", 'fallback.ts alone'],
    [
      'another file of envelope',
      'src/keyring/a.ts',
      "import type { X } from '../envelope/seal.ts';",
      'key.ts as a type',
    ],
    ['the key as a value', 'src/keyring/a.ts', "import { VaultKey } from '../envelope/key.ts';", 'key.ts as a type'],
    ['the key passed on', 'src/keyring/a.ts', "export { VaultKey } from '../envelope/key.ts';", 'key.ts as a type'],
    ['the key by import()', 'src/keyring/a.ts', "await import('../envelope/key.ts');", 'key.ts as a type'],
    ['the sources from outside', 'native-fallback/a.ts', "import '../src/errors.ts';", 'native-fallback → errors'],
  ])('sees %s', (_, file, text, fault) => {
    expect(faults(file, text).join()).toContain(fault);
  });

  it.each([
    ['src/keyring/a.ts', "import type { VaultKey } from '../envelope/key.ts';\nexport type { B } from './b.ts';"],
    ['src/keyring/fallback.ts', "import { x } from '../../native-fallback/secret-service.ts';"],
    ['src/cli/commands/a.ts', "import { x } from '../../vault/inspect.ts';\nimport { y } from '../terminal.ts';"],
    ['src/vault/a.ts', "import { readFile } from 'node:fs/promises';\nimport { z } from 'zod';"],
  ])('accepts the allowed imports of %s', (file, text) => {
    expect(faults(file, text)).toEqual([]);
  });
});

/** Describes each import of a file that the table above doesn't allow. */
function faults(file: string, text: string): string[] {
  const from = layerOf(file);
  const may = allowed[from];
  if (may === undefined) return [`${file}: ${from} is not a layer`];
  return importsOf(text).flatMap(({ path, isType }) => {
    const target = posix.join(posix.dirname(file), path);
    const to = layerOf(target);
    if (to === from) return [];
    if (!may.includes(to)) return [`${file}: ${from} → ${to}`];
    if (to === 'native-fallback' && file !== 'src/keyring/fallback.ts')
      return [`${file}: ${to} may be imported by fallback.ts alone`];
    if (from === 'keyring' && to === 'envelope' && !(isType && target === 'src/envelope/key.ts')) {
      return [`${file}: keyring may import key.ts as a type only`];
    }
    return [];
  });
}

/**
 * Returns the first folder below src, or the file if it is directly in src; outside of src, the
 * first folder.
 */
function layerOf(path: string): string {
  const inside = path.startsWith('src/') ? path.slice('src/'.length) : path;
  const first = inside.split('/')[0] ?? '';
  return first.replace(/\.ts$/, '');
}

/**
 * Returns every relative path that a file imports, re-exports or builds a URL from, and whether
 * only as a type.
 */
function importsOf(text: string): { path: string; isType: boolean }[] {
  const pattern =
    /\b(?<word>import|export)(?<type>\s+type\b)?[^'";]*?\sfrom\s*['"](?<from>\.[^'"]*)['"]|\bimport\s*\(?\s*['"](?<bare>\.[^'"]*)['"]|\bnew URL\(\s*['"](?<url>\.[^'"]*)['"]/g;
  return [...text.matchAll(pattern)].map(({ groups = {} }) => ({
    path: groups['from'] ?? groups['bare'] ?? groups['url'] ?? '',
    isType: groups['type'] !== undefined,
  }));
}
