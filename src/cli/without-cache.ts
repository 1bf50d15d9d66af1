import { readdirSync, rmdirSync, statSync, unlinkSync } from 'node:fs';
import { flushCompileCache, getCompileCacheDir } from 'node:module';
import { join } from 'node:path';
import { CofferError } from '../errors.ts';

/**
 * Becomes the same program without NODE_COMPILE_CACHE, and returns only if it can't: the error to end with. Node can't switch the
 * cache off once it runs, and writes it at every end of a process but a SIGKILL from outside, `execve` included. So what this process
 * has loaded is written first and removed again; then `execve` has nothing left to write. It closes descriptors above 2. Must be
 * called before anything touches a standard stream.
 */
export function restartWithoutCache(): CofferError {
  const { NODE_COMPILE_CACHE: _, ...env } = process.env;
  try {
    // Windows has no execve: there a process can't become another.
    if (process.execve === undefined) return refusal();
    unwriteCache();
    return process.execve(process.execPath, [process.argv0, ...process.execArgv, ...process.argv.slice(1)], env);
  } catch (cause) {
    return refusal(cause);
  }
}

function refusal(cause?: unknown): CofferError {
  return new CofferError('USAGE', 'NODE_COMPILE_CACHE is set, so Node would leave traces of this command there', {
    advice: 'unset it',
    cause,
  });
}

/** Writes what the cache has in memory, removes it from the disk, and the directory that Node made if that is empty. */
function unwriteCache(): void {
  const directory = getCompileCacheDir();
  if (directory === undefined) return;
  const before = inodesIn(directory);
  flushCompileCache();
  for (const [name, inode] of inodesIn(directory)) {
    if (before.get(name) !== inode) unlinkSync(join(directory, name));
  }
  try {
    rmdirSync(directory);
  } catch {
    // Others have files in it, or have removed it just now.
  }
}

function inodesIn(directory: string): Map<string, number> {
  const inodes = new Map<string, number>();
  for (const name of readdirSync(directory)) {
    const found = statSync(join(directory, name), { throwIfNoEntry: false });
    if (found !== undefined) inodes.set(name, found.ino);
  }
  return inodes;
}
