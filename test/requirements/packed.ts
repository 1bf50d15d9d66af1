import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';

const repository = join(import.meta.dirname, '..', '..');

/** The files that npm needs to build and pack coffer. */
const sources = [
  'src',
  'native-fallback',
  'docs',
  'tools',
  'package.json',
  'tsconfig.json',
  'tsconfig.build.json',
  'tsconfig.program.json',
];

/**
 * Packs coffer as npm would publish it, from a copy of the repository, and installs the package in
 * `folder`, next to the packages it needs. Returns the path of the installed program.
 */
export function installPacked(folder: string): string {
  const copy = join(folder, 'copy');
  mkdirSync(copy);
  for (const name of sources) cpSync(join(repository, name), join(copy, name), { recursive: true });
  for (const name of ['README.md', 'SECURITY.md', 'CHANGELOG.md']) cpSync(join(repository, name), join(copy, name));
  symlinkSync(join(repository, 'node_modules'), join(copy, 'node_modules'));
  execFileSync(process.execPath, ['tools/build.ts'], { cwd: copy, stdio: 'pipe' });
  execFileSync('npm', ['pack', '--ignore-scripts', '--pack-destination', folder], { cwd: copy, stdio: 'pipe' });
  const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz'));
  if (tarball === undefined) throw new Error('npm pack wrote no package');
  const modules = join(folder, 'node_modules');
  mkdirSync(modules);
  execFileSync('tar', ['-xzf', join(folder, tarball), '-C', modules]);
  // A package resolves its dependencies next to itself, so it must not lie in the repository.
  for (const name of readdirSync(join(repository, 'node_modules'))) {
    if (name !== 'package' && !name.startsWith('.')) {
      symlinkSync(join(repository, 'node_modules', name), join(modules, name));
    }
  }
  return join(modules, 'package', 'dist', 'src', 'cli', 'main.js');
}
