import { randomBytes } from 'node:crypto';
import { closeSync, constants, fsyncSync, linkSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { CofferError } from '../errors.ts';
import { writeAllSync } from './descriptor/write.ts';
import { makeDirectory } from './paths.ts';
import { reasonOf } from './reason.ts';
import { syncDirectory } from './remove.ts';

/** The suffix that a note's file name adds to the name of its file. */
export const NOTE_SUFFIX = '.txt';

/**
 * Keeps a file under another name in `directory` (created with mode 0700 if missing) and writes a
 * note about it. The copy is a hard link, so the bytes stay as they are when the original is
 * replaced. The name gets a random suffix, so that an earlier copy is never overwritten. Returns
 * the path of the copy. Durable on return. Throws `NOT_SAVED`; then nothing is kept.
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
      // The caller will retry, on a full disk at every step: each attempt would leave one more
      // copy.
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
