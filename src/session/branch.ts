import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

/** How much of a `.git` or `HEAD` file is of interest. */
const LIMIT = 4096;

/** The git branch checked out in a directory or above it; undefined where there is none, or none that can be read. */
export function branchOf(directory: string): string | undefined {
  for (let at = resolve(directory); ; at = dirname(at)) {
    const head = read(join(at, '.git', 'HEAD')) ?? readLinked(at);
    if (head !== undefined) return /^ref: refs\/heads\/(.+)$/m.exec(head)?.[1];
    if (dirname(at) === at) return undefined;
  }
}

/** In a worktree `.git` is a file that names the directory with its HEAD. */
function readLinked(directory: string): string | undefined {
  const target = /^gitdir: (.+)$/m.exec(read(join(directory, '.git')) ?? '')?.[1];
  return target === undefined ? undefined : read(join(resolve(directory, target), 'HEAD'));
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').slice(0, LIMIT);
  } catch {
    return undefined; // a branch is a convenience of the list: where git can't be read, there is none
  }
}
