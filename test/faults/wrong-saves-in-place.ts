import { writeFileSync } from 'node:fs';
import type { Stamp } from '../../src/files/replace.ts';
import { told } from './wrong-saves-told.ts';

/* Overwrites the file where it is, as most programs do: between the truncation and the last write there is no session. */

export * from '../../src/files/replace.ts';

/** Takes the place of coffer's own. */
export function replaceFile(path: string, parts: readonly Uint8Array[]): Promise<Stamp> {
  return told(path, async () => writeFileSync(path, Buffer.concat(parts), { mode: 0o600, flush: true }));
}
