import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const repository = join(import.meta.dirname, '../..');

/** The variable that tells the processes of one run which folder {@link buildProgram} wrote. */
const BUILT = 'COFFER_TEST_PROGRAM';

/**
 * The file that starts coffer: built from the sources at the start of the run, or the source itself
 * if nothing was built.
 */
export const PROGRAM: string = join(
  process.env[BUILT] ?? join(repository, 'src/cli'),
  process.env[BUILT] ? 'main.js' : 'main.ts',
);

/**
 * The compile cache of a user who has used the built program before; undefined if nothing was
 * built. Tests that start coffer with a copy of it save a seventh of a start.
 */
export const COMPILED: string | undefined = process.env[BUILT] && join(process.env[BUILT], 'home/.cache/coffer');

/**
 * Builds the program as it is shipped, from the current sources, for everything this process
 * starts. The folder is in the repository, so that the program finds its packages. Returns a
 * function that removes it.
 */
export function buildProgram(): () => void {
  const folder = mkdtempSync(join(repository, '.program-'));
  chmodSync(folder, 0o755); // tests run it as another user, too
  const build = join(repository, 'tools/program.ts');
  execFileSync(process.execPath, ['--disable-warning=ExperimentalWarning', build, folder], { stdio: 'inherit' });
  useOnce(folder);
  process.env[BUILT] = folder;
  return () => rmSync(folder, { recursive: true });
}

/** Runs the most frequent commands, so that Node caches their code. */
function useOnce(folder: string): void {
  const home = join(folder, 'home');
  mkdirSync(home, { mode: 0o700 });
  writeFileSync(join(home, 'coffer-key'), randomBytes(32), { mode: 0o600 });
  const env = {
    ...{ PATH: process.env['PATH'], HOME: home, COFFER_DATA_DIR: join(home, 'vault'), COFFER_CONFIG_DIR: home },
    ...{ COFFER_KEYCHAIN: 'fd', CREDENTIALS_DIRECTORY: home },
  };
  for (const command of ['--model demo/echo -p hello', 'sessions --here', 'export 1', 'status 1', 'sessions --json']) {
    execFileSync(process.execPath, [join(folder, 'main.js'), ...command.split(' ')], { env, cwd: home, stdio: 'pipe' });
  }
}

/** The global setup of vitest. */
export default buildProgram;
