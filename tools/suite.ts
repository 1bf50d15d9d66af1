/*
 * Installs the packages of a suite, a folder with its own package.json, package-lock.json and .npmrc,
 * unless the locked packages are installed already. `npm ci` in the root doesn't install them; the
 * suite's npm scripts run this first: `node tools/suite.ts bench && …`.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

/**
 * A copy of the lock that node_modules was installed from. `npm ci` begins by deleting node_modules,
 * so an interrupted install leaves no copy behind.
 */
const INSTALLED = 'node_modules/.suite-lock.json';

/** Runs `npm ci --ignore-scripts` in the folder unless node_modules matches the lock. Throws if npm fails. */
export function installSuite(folder: string): void {
  const lock = join(folder, 'package-lock.json');
  const installed = join(folder, INSTALLED);
  const wanted = readFileSync(lock, 'utf8');
  if (wanted === read(installed)) return;
  const npm = process.env['npm_execpath'];
  if (npm === undefined) throw new Error('run this from an npm script, which sets npm_execpath to the path of npm');
  // The Node that runs npm: an old npm may not work on the newer Node of node_modules.
  const node = process.env['npm_node_execpath'] ?? process.execPath;
  process.stderr.write(`installing the packages of ${folder}\n`);
  // Standard output belongs to the command that runs next, which may print JSON.
  const { error, status, signal } = spawnSync(node, [npm, 'ci', '--ignore-scripts'], {
    cwd: folder,
    stdio: ['ignore', 2, 2],
  });
  if (error !== undefined) throw new Error(`npm did not start in ${folder}`, { cause: error });
  if (status !== 0) throw new Error(`npm ci in ${folder} failed with ${status ?? signal}`);
  copyFileSync(lock, installed);
}

/** Returns undefined if the file can't be read. */
function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

function main(): void {
  const [folder, ...rest] = process.argv.slice(2);
  try {
    if (folder === undefined || rest.length > 0) throw new Error('usage: node tools/suite.ts FOLDER');
    installSuite(resolve(folder));
  } catch (error) {
    process.stderr.write(`suite: ${(error as Error).message}\n`);
    process.exitCode = 1;
  }
}

if (import.meta.main) main();
