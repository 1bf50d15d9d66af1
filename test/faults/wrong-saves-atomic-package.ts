import writeFileAtomic from 'write-file-atomic';
import type { Stamp } from '../../src/files/replace.ts';
import { told } from './wrong-saves-told.ts';

/* Leaves it to write-file-atomic, which takes what a write that was cut short has written for all of it. */

export * from '../../src/files/replace.ts';

/** Takes the place of coffer's own. */
export function replaceFile(path: string, parts: readonly Uint8Array[]): Promise<Stamp> {
  return told(path, () => writeFileAtomic(path, Buffer.concat(parts), { mode: 0o600 }));
}
