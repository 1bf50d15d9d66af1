import { dirname, join } from 'node:path';
import { isCofferError } from '../../errors.ts';
import { keepCopy, NOTE_SUFFIX } from '../../files/keep.ts';
import { namesIn, openReader } from '../../files/reader.ts';
import { isSystemError } from '../../files/reason.ts';
import type { Torn } from './open.ts';

/** Bytes read of a note; coffer's own are shorter. */
const NOTE_LIMIT = 2048;

/** A file in quarantine. */
export interface QuarantinedFile {
  readonly name: string;
  /** Why it is there, in words; undefined if it has no note. */
  readonly note: string | undefined;
}

/**
 * Lists the files in a quarantine folder with their notes. Throws `FAILED` if the folder can't be
 * read.
 */
export function keptIn(directory: string): QuarantinedFile[] {
  return keptNames(directory)
    .sort()
    .map((name) => ({ name, note: readNote(join(directory, `${name}${NOTE_SUFFIX}`)) }));
}

/** Returns the names of the files in a quarantine folder, without their notes. Throws `FAILED`. */
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
    return undefined; // a crash may have come between file and note; anything else isn't a note
  }
}

/**
 * Copies a file with a torn last step into quarantine, with a note, before its good part replaces
 * it. Durable when it returns. Throws `NOT_SAVED`.
 */
export function quarantineTorn(path: string, fileId: string, torn: Torn): void {
  const note =
    `frame ${torn.frame} of ${fileId}, from byte ${torn.offset} on, was being written when the machine or the ` +
    'process stopped; the frames before it went on as that session, and this is the file as it was found\n';
  keepCopy(path, join(dirname(dirname(path)), 'quarantine'), `${fileId}.torn`, note);
}
