import { randomBytes } from 'node:crypto';
import { closeSync, constants, fsyncSync, linkSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { CofferError } from '../errors.ts';
import { makeDirectory } from './paths.ts';
import { reasonOf } from './reason.ts';
import { syncDirectory } from './remove.ts';
import { writeAllSync } from './write.ts';

/** What the name of a note ends in, behind the name of the file that it is about. */
export const NOTE_SUFFIX = '.txt';

/**
 * Keeps a file under another name in `directory` (made 0700 if it is not there) with a note beside it, by a
 * hard link: the bytes stay as they are whatever replaces the original. Never overwrites what is kept already:
 * the name gets a random ending. Durable on return. Throws `NOT_SAVED`, and has kept nothing then.
 */
export function keepCopy(path: string, directory: string, name: string, note: string): string {
  const kept = join(directory, `${name}.${randomBytes(4).toString('hex')}`);
  try {
    makeDirectory(directory);
    linkSync(path, kept);
    try {
      writeNote(`${kept}${NOTE_SUFFIX}`, note);
      syncDirectory(directory);
    } catch (error) {
      // Whoever asked will ask again, on a full disk at every step: each try would leave one more copy.
      for (const half of [kept, `${kept}${NOTE_SUFFIX}`]) rmSync(half, { force: true });
      throw error;
    }
  } catch (cause) {
    throw new CofferError('NOT_SAVED', `cannot keep a copy of ${path} in ${directory}`, {
      reason: reasonOf(cause),
      cause,
    });
  }
  return kept;
}

function writeNote(path: string, note: string): void {
  const descriptor = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
  try {
    writeAllSync(descriptor, [Buffer.from(note)], 0);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
