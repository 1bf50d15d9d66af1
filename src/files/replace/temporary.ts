import { randomBytes } from 'node:crypto';
import { readdirSync, unlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { CofferError } from '../../errors.ts';
import { isSystemError, reasonOf } from '../reason.ts';

/** Returns a new name, beside `path`, for the file that is to replace it. */
export function temporaryName(path: string): string {
  return join(dirname(path), `.${basename(path)}.${randomBytes(8).toString('hex')}.tmp`);
}

/**
 * Removes the temporary files of interrupted overwrites in `directory` whose names `isIdle`
 * accepts. Returns how many were removed, 0 if the directory doesn't exist. The caller must know
 * that no save of such a name is in progress. Throws `FAILED`.
 */
export function sweepTemps(directory: string, isIdle: (name: string) => boolean): number {
  try {
    const temps = readdirSync(directory).filter((entry) => {
      const name = replacedBy(entry);
      return name !== undefined && isIdle(name);
    });
    for (const temp of temps) unlinkSync(join(directory, temp));
    return temps.length;
  } catch (cause) {
    if (isSystemError(cause, 'ENOENT')) return 0; // the directory doesn't exist yet, or another process has swept it
    throw new CofferError('FAILED', `cannot clear unfinished saves from ${directory}`, {
      reason: reasonOf(cause),
      cause,
    });
  }
}

/** Returns the name of the file that a temporary file was to replace. */
function replacedBy(entry: string): string | undefined {
  return /^\.(.+)\.[0-9a-f]{16}\.tmp$/.exec(entry)?.[1];
}
