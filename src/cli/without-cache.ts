import { readdirSync, rmdirSync, statSync, unlinkSync } from 'node:fs';
import { flushCompileCache, getCompileCacheDir } from 'node:module';
import { join } from 'node:path';
import { CofferError } from '../errors.ts';

/**
 * Restarts the program without NODE_COMPILE_CACHE. Returns only if that fails, with the error to
 * exit with. Node can't switch the cache off once it runs, and writes it whenever a process ends,
 * `execve` included, except on SIGKILL. So the modules that this process loaded are written first
 * and then deleted, which leaves `execve` nothing to write. Closes descriptors above 2. Must be
 * called before anything touches a standard stream.
 */
export function restartWithoutCache(): CofferError {
  const { NODE_COMPILE_CACHE: _, ...env } = process.env;
  try {
    // Windows has no execve.
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

/**
 * Writes the cache to disk, then deletes those files, and the directory that Node created if it is
 * empty.
 */
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
    // Another process has files in it, or has just deleted it.
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
