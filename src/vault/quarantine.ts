import { dirname, join } from 'node:path';
import { keepCopy } from '../files/keep.ts';
import type { Torn } from './open.ts';

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
