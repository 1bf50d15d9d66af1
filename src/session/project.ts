import { readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { branchOf } from './branch.ts';
import type { Project } from './event.ts';
import type { Row } from './row.ts';

/** How long git may take: in a very long history its first commit is far away, and a chat does not wait for it. */
const DEADLINE_MS = 1000;

/** Where a conversation is: the directory, what git says of it, and what it is known by wherever it lies. */
export interface Surroundings {
  readonly directory: string;
  readonly branch: string | undefined;
  /** The linked work tree it is in; undefined in a repository's first one. */
  readonly worktree: string | undefined;
  readonly project: Project | undefined;
}

/**
 * Looks at a directory. Where there is no git, or it does not answer in time, a project is just its path. No hook, alias or
 * monitor of that repository runs.
 */
export async function surroundingsOf(directory: string): Promise<Surroundings> {
  const top = topOf(directory);
  const branch = branchOf(directory);
  if (top === undefined) return { directory, branch, worktree: undefined, project: undefined };
  const [first, remote] = await Promise.all([
    git(top, ['rev-list', '--max-parents=0', 'HEAD']),
    git(top, ['config', '--get', 'remote.origin.url']),
  ]);
  const worktree = isLinked(top) ? top : undefined;
  const path = relative(top, resolve(directory)).split(sep).join('/');
  const project = { first: first?.split('\n').at(-1), remote: remote && withoutUser(remote), path };
  return { directory, branch, worktree, project: project.first === undefined ? undefined : project };
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

async function git(directory: string, args: readonly string[]): Promise<string | undefined> {
  const { PATH, HOME } = process.env;
  try {
    const [{ execFile }, { promisify }] = await Promise.all([import('node:child_process'), import('node:util')]);
    const { stdout } = await promisify(execFile)('git', ['-c', 'core.fsmonitor=false', ...args], {
      cwd: directory,
      timeout: DEADLINE_MS,
      env: { PATH, HOME, LC_ALL: 'C', GIT_OPTIONAL_LOCKS: '0', GIT_TERMINAL_PROMPT: '0' },
    });
    return stdout.trim() || undefined;
  } catch {
    return undefined; // no git, no commit yet, no remote, or too slow: it is known by its path then
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
