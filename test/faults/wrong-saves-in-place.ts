import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import type { Stamp } from '../../src/files/replace/replace.ts';
import { told } from './wrong-saves-told.ts';

/*
 * Overwrites the file in place, piece by piece as a stream does: between the truncation and the
 * last write the session does not exist.
 */

const PIECE = 1024;

export * from '../../src/files/replace/replace.ts';

/** Replaces coffer's own. */
export function replaceFile(path: string, parts: readonly Uint8Array[]): Promise<Stamp> {
  return told(path, async () => {
    const bytes = Buffer.concat(parts);
    const file = openSync(path, 'w', 0o600);
    for (let at = 0; at < bytes.length; at += PIECE) writeSync(file, bytes, at, Math.min(PIECE, bytes.length - at), at);
    fsyncSync(file);
    closeSync(file);
  });
}
