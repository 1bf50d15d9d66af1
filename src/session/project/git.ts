import { lstatSync, realpathSync } from 'node:fs';
import { devNull } from 'node:os';
import { dirname, join } from 'node:path';
import { CofferError } from '../../errors.ts';
import { type GitDirectory, isReadable } from './git-directory.ts';

/** How long git may take, in milliseconds, and a signal that ends it earlier. */
export interface GitOptions {
  readonly limit?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Asks git about a repository that may come from a stranger, and returns what it prints. Nothing in the repository's configuration runs
 * code: git uses no network, starts no other program, and gets an environment of its own. Undefined if there is no git in a
 * system directory, if the repository's files could block it, or if it fails. Throws `FAILED` at the limit.
 */
export async function askGit(
  repository: GitDirectory,
  args: readonly string[],
  options: GitOptions,
): Promise<string | undefined> {
  const program = trustedGit();
  if (program === undefined || !isReadable(repository)) return undefined;
  const { limit = Number.POSITIVE_INFINITY, signal } = options;
  const [{ execFile }, { promisify }] = await Promise.all([import('node:child_process'), import('node:util')]);
  try {
    const { stdout } = await promisify(execFile)(program, [...SAFE, ...args], {
      cwd: repository.top,
      timeout: limit === Number.POSITIVE_INFINITY ? 0 : limit,
      killSignal: 'SIGKILL',
      signal,
      env: { ...ENVIRONMENT, GIT_CEILING_DIRECTORIES: dirname(repository.top) },
    });
    return stdout.trim() || undefined;
  } catch (cause) {
    const { killed, code } = cause as { killed?: boolean; code?: unknown };
    // No commit yet, no remote, or another user's repository: then the project is known by its path.
    if (killed !== true || code !== null) return undefined;
    const seconds = Math.round(limit / 1000);
    const what = `git has not answered in ${repository.top} within ${seconds} s, so its project is not known`;
    throw new CofferError('FAILED', what, { advice: 'try again, or resume a session by its id (-a <id>)', cause });
  }
}

/**
 * Returns the git in a system directory that only root can write to. PATH is not used: it often has directories that a project's
 * packages or a model's tools can write to, such as `node_modules/.bin`.
 */
export function trustedGit(folders: readonly string[] = SYSTEM): string | undefined {
  return folders.map((folder) => join(folder, NAME)).find(isRoots);
}

const WINDOWS = process.platform === 'win32';
const NAME = WINDOWS ? 'git.exe' : 'git';

const SYSTEM: readonly string[] = WINDOWS
  ? ['C:\\Program Files\\Git\\cmd']
  : ['/usr/bin', '/usr/local/bin', '/bin', '/run/current-system/sw/bin'];

/** Options on the command line override the repository's own. `rev-list` and `config` need none of these programs. */
const SAFE: readonly string[] = [
  'core.fsmonitor=false',
  `core.hooksPath=${devNull}`,
  'core.sshCommand=false',
  'core.gitProxy=false',
  'core.askPass=false',
  'core.alternateRefsCommand=false',
  'core.pager=cat',
  'credential.helper=',
  'gpg.program=false',
  'protocol.allow=never',
  'safe.bareRepository=explicit',
].flatMap((option) => ['-c', option]);

/** All of git's environment. A partial clone would fetch missing commits by running what its configuration says. */
const ENVIRONMENT: Readonly<Record<string, string>> = {
  ...(WINDOWS ? {} : { PATH: '/usr/bin:/bin' }),
  HOME: devNull,
  XDG_CONFIG_HOME: devNull,
  LC_ALL: 'C',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: devNull,
  GIT_CONFIG_SYSTEM: devNull,
  GIT_ATTR_NOSYSTEM: '1',
  GIT_NO_LAZY_FETCH: '1',
  GIT_ALLOW_PROTOCOL: '',
  GIT_OPTIONAL_LOCKS: '0',
  GIT_TERMINAL_PROMPT: '0',
  GIT_PAGER: 'cat',
};

/** Tells whether only root can change the program, or replace it or a directory above it. */
function isRoots(path: string): boolean {
  try {
    const real = realpathSync(path);
    if (!lstatSync(real).isFile()) return false;
    if (WINDOWS) return true; // there is no owner to see, and only administrators write below Program Files
    for (let at = real; ; at = dirname(at)) {
      const { uid, mode } = lstatSync(at);
      if (uid !== 0 || (mode & 0o022) !== 0) return false;
      if (at === dirname(at)) return true;
    }
  } catch {
    return false; // not in this directory, or not accessible
  }
}
