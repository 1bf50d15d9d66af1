import { lstatSync, realpathSync } from 'node:fs';
import { devNull } from 'node:os';
import { dirname, join } from 'node:path';
import { CofferError } from '../../errors.ts';
import { type GitDirectory, isReadable } from './git-directory.ts';

/** Limits of a git call. */
export interface GitOptions {
  /** Timeout in milliseconds. Default: none. */
  readonly limit?: number | undefined;
  /** Kills git when it aborts. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs git in a repository that may come from a stranger, and returns its trimmed output. Nothing
 * in the repository's configuration can run code: git uses no network, starts no other program, and
 * gets its own environment. Returns undefined if no git is in a system directory, if the
 * repository's files could block it, or if it fails or prints nothing. Throws `FAILED` on timeout.
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
  const answering = promisify(execFile)(program, [...SAFE, ...args], {
    cwd: repository.top,
    timeout: limit === Number.POSITIVE_INFINITY ? 0 : limit,
    killSignal: 'SIGKILL',
    signal,
    env: { ...ENVIRONMENT, GIT_CEILING_DIRECTORIES: dirname(repository.top) },
  });
  // A git that waits for a pipe would otherwise outlive a process that doesn't wait for git.
  const kill = (): void => void answering.child.kill('SIGKILL');
  process.once('exit', kill);
  try {
    const { stdout } = await answering;
    return stdout.trim() || undefined;
  } catch (cause) {
    const { killed, code } = cause as { killed?: boolean; code?: unknown };
    // No commit yet, no remote, or another user's repository: the path identifies the project.
    if (killed !== true || code !== null) return undefined;
    const seconds = Math.round(limit / 1000);
    const what = `git did not answer in ${repository.top} within ${seconds} s, so its project is unknown`;
    throw new CofferError('FAILED', what, { advice: 'try again, or resume a session by its id (-a <id>)', cause });
  } finally {
    process.off('exit', kill);
  }
}

/**
 * Returns the path of git in a system directory that only root can write to; undefined if there is
 * none. PATH is ignored: it often has directories that a project's packages or a model's tools can
 * write to, such as `node_modules/.bin`.
 */
export function trustedGit(folders: readonly string[] = SYSTEM): string | undefined {
  return folders.map((folder) => join(folder, NAME)).find(isRoots);
}

const WINDOWS = process.platform === 'win32';
const NAME = WINDOWS ? 'git.exe' : 'git';

const SYSTEM: readonly string[] = WINDOWS
  ? ['C:\\Program Files\\Git\\cmd']
  : ['/usr/bin', '/usr/local/bin', '/bin', '/run/current-system/sw/bin'];

/**
 * Command-line options that override the repository's configuration. `rev-list` and `config` need
 * none of these programs.
 */
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

/**
 * The whole environment of git. Without `GIT_NO_LAZY_FETCH`, a partial clone would fetch missing
 * commits by running programs from its configuration.
 */
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

/** Tells whether only root can change or replace the program and the directories above it. */
function isRoots(path: string): boolean {
  try {
    const real = realpathSync(path);
    if (!lstatSync(real).isFile()) return false;
    if (WINDOWS) return true; // no owner to check; only administrators write to Program Files
    for (let at = real; ; at = dirname(at)) {
      const { uid, mode } = lstatSync(at);
      if (uid !== 0 || (mode & 0o022) !== 0) return false;
      if (at === dirname(at)) return true;
    }
  } catch {
    return false; // not in this directory, or not accessible
  }
}
