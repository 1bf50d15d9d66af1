import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
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
 * Builds the program as it is shipped, from the current sources, for everything this process
 * starts. The folder is in the repository, so that the program finds its packages. Returns a
 * function that removes it.
 */
export function buildProgram(): () => void {
  const folder = mkdtempSync(join(repository, '.program-'));
  chmodSync(folder, 0o755); // tests run it as another user, too
  const build = join(repository, 'tools/program.ts');
  execFileSync(process.execPath, ['--disable-warning=ExperimentalWarning', build, folder], { stdio: 'inherit' });
  process.env[BUILT] = folder;
  return () => rmSync(folder, { recursive: true });
}

/** The global setup of vitest. */
export default buildProgram;
