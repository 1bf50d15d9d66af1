import { execFileSync } from 'node:child_process';
import { chmodSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** Compiles src and native-fallback into a fresh dist, with types, and leaves the program executable there. */
const root = join(import.meta.dirname, '..');
const program = join(root, 'dist/src/cli/main.js');

rmSync(join(root, 'dist'), { recursive: true, force: true });
execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json'], {
  cwd: root,
  stdio: 'inherit',
});
if (!readFileSync(program, 'utf8').startsWith('#!/usr/bin/env node\n')) {
  throw new Error(`${program} does not begin with a line that names node, so no shell could start it`);
}
chmodSync(program, 0o755);
