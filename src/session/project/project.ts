import { statSync } from 'node:fs';
import { relative, resolve, sep } from 'node:path';
import type { Project } from '../event/event.ts';
import type { Row } from '../list/row.ts';
import { askGit, type GitOptions } from './git.ts';
import { branchOf, type GitDirectory, gitDirectoryOf } from './git-directory.ts';

/** Where a conversation is: the directory, what git says of it, and what it is known by wherever it lies. */
export interface Surroundings {
  readonly directory: string;
  readonly branch: string | undefined;
  /** The linked work tree it is in; undefined in a repository's first one. */
  readonly worktree: string | undefined;
  readonly project: Project | undefined;
}

/**
 * Looks at a directory and asks git which project it is; without git, or without a commit, a project is just its path. Waits for git for at
 * most `limit` milliseconds, by default until it answers: its first commit is far away in a long history, and a busy machine is slow. No
 * program that the repository names is run. Throws `FAILED` at the limit: another project's sessions must not be taken for this one's.
 * `signal` ends git; the project is not known then.
 */
export async function surroundingsOf(directory: string, options: GitOptions = {}): Promise<Surroundings> {
  const repository = gitDirectoryOf(directory);
  if (repository === undefined) return place(directory, repository);
  const [first, remote] = await Promise.all([
    askGit(repository, ['rev-list', '--max-parents=0', 'HEAD'], options),
    askGit(repository, ['config', '--get', 'remote.origin.url'], options),
  ]);
  const path = relative(repository.top, resolve(directory)).split(sep).join('/');
  const project = { first: first?.split('\n').at(-1), remote: remote && withoutUser(remote), path };
  return { ...place(directory, repository), project: project.first === undefined ? undefined : project };
}

/** Looks at a directory as {@link surroundingsOf} does, but without waiting for git: the project is not known. */
export function withoutGit(directory: string): Surroundings {
  return place(directory, gitDirectoryOf(directory));
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
  return sameRemote && isGone(row.directory);
}

/** What can't be looked at counts as there; an imported file may say anything. */
function isGone(directory: string): boolean {
  try {
    return statSync(directory, { throwIfNoEntry: false }) === undefined;
  } catch {
    return false;
  }
}

function place(directory: string, repository: GitDirectory | undefined): Surroundings {
  return {
    directory,
    branch: branchOf(repository),
    worktree: repository?.isLinked ? repository.top : undefined,
    project: undefined,
  };
}

/** An address may carry a user and a token. */
function withoutUser(remote: string): string {
  const url = URL.parse(remote);
  if (url === null) return remote;
  url.username = '';
  url.password = '';
  return url.href;
}
