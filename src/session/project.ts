import { readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { CofferError } from '../errors.ts';
import { branchOf } from './branch.ts';
import type { Project } from './event.ts';
import type { Row } from './row.ts';

/** Where a conversation is: the directory, what git says of it, and what it is known by wherever it lies. */
export interface Surroundings {
  readonly directory: string;
  readonly branch: string | undefined;
  /** The linked work tree it is in; undefined in a repository's first one. */
  readonly worktree: string | undefined;
  readonly project: Project | undefined;
}

/** How long git may take, in milliseconds, and what ends it before. */
export interface GitOptions {
  readonly limit?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Looks at a directory and asks git which project it is; without git, or without a commit, a project is just its path. Waits for git for at
 * most `limit` milliseconds, by default until it answers: its first commit is far away in a long history, and a busy machine is slow. No
 * hook, alias or monitor of that repository runs. Throws `FAILED` at the limit: another project's sessions must not be taken for this one's.
 * `signal` ends git; the project is not known then.
 */
export async function surroundingsOf(directory: string, options: GitOptions = {}): Promise<Surroundings> {
  const top = topOf(directory);
  if (top === undefined) return withoutGit(directory);
  const [first, remote] = await Promise.all([
    git(top, ['rev-list', '--max-parents=0', 'HEAD'], options),
    git(top, ['config', '--get', 'remote.origin.url'], options),
  ]);
  const path = relative(top, resolve(directory)).split(sep).join('/');
  const project = { first: first?.split('\n').at(-1), remote: remote && withoutUser(remote), path };
  return { ...withoutGit(directory), project: project.first === undefined ? undefined : project };
}

/** Looks at a directory as {@link surroundingsOf} does, but without waiting for git: the project is not known. */
export function withoutGit(directory: string): Surroundings {
  const top = topOf(directory);
  const worktree = top !== undefined && isLinked(top) ? top : undefined;
  return { directory, branch: branchOf(directory), worktree, project: undefined };
}

/**
 * Tells whether a session is of these surroundings: of their directory, or of a directory that is gone and was the same
 * project, so that it must have been moved. Two clones that both are there stay two projects.
 */
export function isOf(row: Pick<Row, 'directory' | 'project'>, here: Surroundings): boolean {
  if (row.directory === here.directory) return true;
  const [theirs, ours] = [row.project, here.project];
  if (theirs?.first === undefined || ours?.first !== theirs.first || ours.path !== theirs.path) return false;
  const sameRemote = theirs.remote === undefined || ours.remote === undefined || theirs.remote === ours.remote;
  return sameRemote && statSync(row.directory, { throwIfNoEntry: false }) === undefined;
}

/** The directory with `.git` in it, at or above a directory. */
function topOf(directory: string): string | undefined {
  for (let at = resolve(directory); ; at = dirname(at)) {
    if (statSync(join(at, '.git'), { throwIfNoEntry: false })) return at;
    if (dirname(at) === at) return undefined;
  }
}

/** A linked work tree has a file `.git` that points into the repository's list of them; a submodule's points elsewhere. */
function isLinked(top: string): boolean {
  if (!statSync(join(top, '.git')).isFile()) return false;
  return /[\\/]worktrees[\\/][^\\/]+\s*$/.test(readFileSync(join(top, '.git'), 'utf8'));
}

async function git(directory: string, args: readonly string[], options: GitOptions): Promise<string | undefined> {
  const { limit = Number.POSITIVE_INFINITY, signal } = options;
  const { PATH, HOME } = process.env;
  const [{ execFile }, { promisify }] = await Promise.all([import('node:child_process'), import('node:util')]);
  try {
    const { stdout } = await promisify(execFile)('git', ['-c', 'core.fsmonitor=false', ...args], {
      cwd: directory,
      timeout: limit === Number.POSITIVE_INFINITY ? 0 : limit,
      killSignal: 'SIGKILL',
      signal,
      env: { PATH, HOME, LC_ALL: 'C', GIT_OPTIONAL_LOCKS: '0', GIT_TERMINAL_PROMPT: '0' },
    });
    return stdout.trim() || undefined;
  } catch (cause) {
    const { killed, code } = cause as { killed?: boolean; code?: unknown };
    // No git, no commit yet, or no remote: the project is known by its path then.
    if (killed !== true || code !== null) return undefined;
    const message = `git has not answered in ${directory} within ${Math.round(limit / 1000)} s, so its project is not known`;
    throw new CofferError('FAILED', message, {
      advice: 'try again, or resume a session by its id (-a <id>)',
      cause,
    });
  }
}

/** An address may carry a user and a token. */
function withoutUser(remote: string): string {
  const url = URL.parse(remote);
  if (url === null) return remote;
  url.username = '';
  url.password = '';
  return url.href;
}
