import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundle } from './bundle.ts';

/**
 * Builds dist from scratch: the library as modules with their types, and the program as the few
 * files it starts from. Neither loads the other's files, and dist has no file that neither loads.
 */
const root = join(import.meta.dirname, '..');
const program = join(root, 'dist/src/cli/main.js');
const compiled = mkdtempSync(join(tmpdir(), 'coffer-build-'));

rmSync(join(root, 'dist'), { recursive: true, force: true });
try {
  compile('tsconfig.build.json');
  compile('tsconfig.program.json', '--outDir', compiled);
  await bundle(compiled, join(program, '..'));
} finally {
  rmSync(compiled, { recursive: true, force: true });
}
if (!readFileSync(program, 'utf8').startsWith('#!/usr/bin/env node\n')) {
  throw new Error(`${program} doesn't begin with a #! line that names node, so a shell can't start it`);
}
chmodSync(program, 0o755);

function compile(project: string, ...options: readonly string[]): void {
  const compiler = join(root, 'node_modules/typescript/bin/tsc');
  execFileSync(process.execPath, [compiler, '-p', project, ...options], { cwd: root, stdio: 'inherit' });
}
