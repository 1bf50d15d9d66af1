import { dirname, join } from 'node:path';
import { isCofferError } from '../../errors.ts';
import { keepCopy, NOTE_SUFFIX } from '../../files/keep.ts';
import { namesIn, openReader } from '../../files/reader.ts';
import { isSystemError } from '../../files/reason.ts';
import type { Torn } from './open.ts';

/** How much of a note is read, in bytes: ours are shorter. */
const NOTE_LIMIT = 2048;

/** A file in quarantine. */
export interface Kept {
  readonly name: string;
  /** Why it is there, in words; undefined where there is no note beside it. */
  readonly note: string | undefined;
}

/** Lists what is kept in a quarantine, each with its note. Throws `FAILED` where the directory can't be read. */
export function keptIn(directory: string): Kept[] {
  return keptNames(directory)
    .sort()
    .map((name) => ({ name, note: readNote(join(directory, `${name}${NOTE_SUFFIX}`)) }));
}

/** The names of the files in a quarantine, without their notes. Throws `FAILED`. */
export function keptNames(directory: string): string[] {
  return namesIn(directory).filter((name) => !name.endsWith(NOTE_SUFFIX));
}

function readNote(path: string): string | undefined {
  try {
    using reader = openReader(path);
    const text = reader.at(0, Math.min(reader.stamp.size, NOTE_LIMIT)).toString('utf8');
    return text.trim().replace(/\s*\n\s*/g, '; ');
  } catch (error) {
    if (!isCofferError(error) && !isSystemError(error)) throw error;
    return undefined; // a crash may have come between the file and its note, and what is no note is none
  }
}

/**
 * Keeps a file whose last step is torn, under another name and with a note, before the good part
 * replaces it. Durable when it returns. Throws `NOT_SAVED`.
 */
export function quarantineTorn(path: string, fileId: string, torn: Torn): void {
  const note =
    `frame ${torn.frame} of ${fileId}, from byte ${torn.offset} on, was being written when the machine or the ` +
    'process stopped; the frames before it went on as that session, and this is the file as it was found\n';
  keepCopy(path, join(dirname(dirname(path)), 'quarantine'), `${fileId}.torn`, note);
}
