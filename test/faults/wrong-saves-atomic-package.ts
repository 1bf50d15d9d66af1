import writeFileAtomic from 'write-file-atomic';
import type { Stamp } from '../../src/files/replace/replace.ts';
import { told } from './wrong-saves-told.ts';

/* Delegates to write-file-atomic, which takes a short write for a whole one. */

export * from '../../src/files/replace/replace.ts';

/** Replaces coffer's own. */
export function replaceFile(path: string, parts: readonly Uint8Array[]): Promise<Stamp> {
  return told(path, () => writeFileAtomic(path, Buffer.concat(parts), { mode: 0o600 }));
}
