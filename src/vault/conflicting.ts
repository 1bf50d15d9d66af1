import { join } from 'node:path';
import type { VaultKey } from '../envelope/key.ts';
import { isCofferError } from '../errors.ts';
import { handLines, type OnLines } from './file/lines.ts';
import { type Opened, openExpected, readHeader } from './file/open.ts';
import { isFileId } from './lease.ts';

/** A sealed file under a name that coffer does not give, as a sync program leaves a conflicting copy. Nothing but a rotation changes it. */
export interface Conflicting {
  readonly name: string;
  readonly path: string;
  /** Of the session it is a copy of, as its header says. */
  readonly fileId: string;
  readonly keyId: string;
}

/** Tells whether coffer gives such a name in the folder of sessions: of a sealed file, of the link, of an unfinished save. */
export function isOwnName(name: string): boolean {
  return isFileId(name) || name === '_autosave' || /^\..+\.tmp$/.test(name);
}

/** Finds the sealed files of sessions among `names` in the folder `sessions`, by their headers alone. */
export function findConflicting(sessions: string, names: readonly string[]): Conflicting[] {
  return [...names].sort().flatMap((name): Conflicting[] => {
    const path = join(sessions, name);
    try {
      const { kind, fileId, keyId } = readHeader(path, name);
      return kind === 'session' ? [{ name, path, fileId, keyId }] : [];
    } catch (error) {
      if (!isCofferError(error)) throw error;
      return []; // not a sealed file that this version of coffer knows
    }
  });
}

/** Opens and verifies such a file, and hands its lines to `onLines`. Throws `UNAUTHENTIC`, `NEWER_VERSION`, `KEY_OTHER`. */
export function readConflicting(
  { path, fileId }: Conflicting,
  { key, retiring }: { readonly key: VaultKey; readonly retiring?: VaultKey | undefined },
  onLines: OnLines,
): Opened {
  const opened = openExpected(path, { kind: 'session', fileId }, key, retiring);
  handLines(opened, onLines);
  return opened;
}
