import { statSync } from 'node:fs';
import { relative, resolve, sep } from 'node:path';
import type { Project } from '../event/event.ts';
import type { Row } from '../list/row.ts';
import { askGit, type GitOptions } from './git.ts';
import { branchOf, type GitDirectory, gitDirectoryOf } from './git-directory.ts';

/** The directory of a conversation, its git branch and work tree, and the project it belongs to. */
export interface Surroundings {
  readonly directory: string;
  readonly branch: string | undefined;
  /** Top of the linked work tree; undefined in the main work tree. */
  readonly worktree: string | undefined;
  /** Undefined if git doesn't know the project: the directory then identifies it. */
  readonly project: Project | undefined;
}

/**
 * Describes a directory, asking git for its project; without git or a commit, only the path
 * identifies a project. Runs no program that the repository names. Waits for git until it answers,
 * or for at most `limit` milliseconds: finding the first commit of a long history on a busy machine
 * takes long. Throws `FAILED` on timeout, so that another project's sessions aren't mistaken for
 * this one's. If `signal` aborts, the project is undefined.
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

/** Like {@link surroundingsOf}, but doesn't run git: the project is undefined. */
export function withoutGit(directory: string): Surroundings {
  return place(directory, gitDirectoryOf(directory));
}

/**
 * Tells whether a session belongs to this directory: it has the same directory, or its directory no
 * longer exists and had the same project, so it must have been moved. Two clones that both exist
 * remain two projects.
 */
export function isOf(row: Pick<Row, 'directory' | 'project'>, here: Surroundings): boolean {
  if (row.directory === here.directory) return true;
  const [theirs, ours] = [row.project, here.project];
  if (theirs?.first === undefined || ours?.first !== theirs.first || ours.path !== theirs.path) return false;
  const sameRemote = theirs.remote === undefined || ours.remote === undefined || theirs.remote === ours.remote;
  return sameRemote && isGone(row.directory);
}

/** Treats an inaccessible directory as present: an imported file may name any path. */
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

/** Removes the user and token that a URL may carry. */
function withoutUser(remote: string): string {
  const url = URL.parse(remote);
  if (url === null) return remote;
  url.username = '';
  url.password = '';
  return url.href;
}
