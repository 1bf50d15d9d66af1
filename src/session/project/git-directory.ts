import { closeSync, constants, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

/** The git repository that contains a directory, found by reading files only. */
export interface GitDirectory {
  /** The directory that contains `.git`. */
  readonly top: string;
  /** The directory that `.git` is or points to; it contains HEAD. */
  readonly path: string;
  /** The ref that HEAD names, such as `refs/heads/main`; undefined if HEAD is a commit. */
  readonly ref: string | undefined;
  /** Whether `top` is a linked work tree. */
  readonly isLinked: boolean;
}

/** Maximum size of a `.git`, `HEAD` or `commondir` file, in bytes. */
const LONGEST = 4096;

/** Maximum size of a file that git may read whole, in bytes. `packed-refs` has 60 per branch. */
const LARGEST = 64 * 1024 * 1024;

/**
 * Finds the repository at or above a directory. Ignores a `.git` or HEAD that is a pipe, a device
 * or unusually long: the directory may come from a stranger, and reading it must not block.
 */
export function gitDirectoryOf(directory: string): GitDirectory | undefined {
  for (let top = resolve(directory); ; top = dirname(top)) {
    const target = targetOf(top);
    const head = target && readSmall(join(target.path, 'HEAD'));
    if (target !== undefined && head !== undefined) return { top, ref: /^ref: (.+)$/m.exec(head)?.[1], ...target };
    if (dirname(top) === top) return undefined;
  }
}

/**
 * Tells whether the files that git opens first in a repository are regular and of a sensible size.
 * A pipe or device there would block git or never end.
 */
export function isReadable({ path, ref = 'HEAD' }: GitDirectory): boolean {
  const common = resolve(path, readSmall(join(path, 'commondir'))?.trim() ?? '.');
  const own = ['HEAD', 'config', 'config.worktree', 'commondir', 'gitdir', ref];
  const shared = ['config', 'packed-refs', 'shallow', 'info/grafts', 'objects/info/alternates', ref];
  return [...own.map((name) => join(path, name)), ...shared.map((name) => join(common, name))].every(isPlain);
}

/** Returns the branch that is checked out, if any. */
export function branchOf(repository: GitDirectory | undefined): string | undefined {
  return /^refs\/heads\/(.+)$/.exec(repository?.ref ?? '')?.[1];
}

/** Resolves `.git`: a directory, or in a linked work tree or submodule a file with its path. */
function targetOf(top: string): Pick<GitDirectory, 'path' | 'isLinked'> | undefined {
  const path = join(top, '.git');
  if (statOf(path)?.isDirectory()) return { path, isLinked: false };
  const target = /^gitdir: (.+)$/m.exec(readSmall(path) ?? '')?.[1];
  // A UNC path would be looked up over the network.
  if (target === undefined || /^[\\/]{2}/.test(target)) return undefined;
  return { path: resolve(top, target), isLinked: /[\\/]worktrees[\\/][^\\/]+\s*$/.test(target) };
}

/**
 * Reads a small regular file; undefined for anything else. The type is checked before opening too,
 * because opening a device can act on it.
 */
function readSmall(path: string): string | undefined {
  if (!statOf(path)?.isFile()) return undefined;
  const { O_RDONLY, O_NONBLOCK = 0, O_NOCTTY = 0 } = constants;
  let file: number | undefined;
  try {
    file = openSync(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    const found = fstatSync(file);
    if (!found.isFile() || found.size > LONGEST) return undefined;
    const bytes = Buffer.alloc(LONGEST);
    return bytes.toString('utf8', 0, readSync(file, bytes, 0, LONGEST, 0));
  } catch {
    return undefined; // unreadable: treated as a directory without git
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

function isPlain(path: string): boolean {
  const found = statOf(path);
  return found === undefined || found.isDirectory() || (found.isFile() && found.size <= LARGEST);
}

function statOf(path: string): ReturnType<typeof statSync> {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined; // below a file, a loop of links, or not accessible
  }
}
