import { join } from 'node:path';
import type { VaultKey } from '../envelope/key.ts';
import { isCofferError } from '../errors.ts';
import { handLines, type OnLines } from './file/lines.ts';
import { type OpenedFile, openExpected, readHeader } from './file/open.ts';
import { isFileId } from './lease.ts';

/**
 * A sealed file under a name that coffer does not use, such as the conflicting copy that a sync
 * program leaves. Only a rotation changes it.
 */
export interface Conflicting {
  readonly name: string;
  readonly path: string;
  /** The file id in its header: the session that it is a copy of. */
  readonly fileId: string;
  readonly keyId: string;
}

/**
 * Tells whether coffer uses such a name in `sessions`: for a sealed file, for the link `_autosave`,
 * or for a temporary file of an unfinished save.
 */
export function isOwnName(name: string): boolean {
  return isFileId(name) || name === '_autosave' || /^\..+\.tmp$/.test(name);
}

/** Finds sealed session files among `names` in the folder `sessions`. Reads only their headers. */
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

/**
 * Opens and verifies a conflicting copy, and passes its lines to `onLines`. Throws `UNAUTHENTIC`,
 * `NEWER_VERSION`, `KEY_OTHER`.
 */
export function readConflicting(
  { path, fileId }: Conflicting,
  { key, retiring }: { readonly key: VaultKey; readonly retiring?: VaultKey | undefined },
  onLines: OnLines,
): OpenedFile {
  const opened = openExpected(path, { kind: 'session', fileId }, key, retiring);
  handLines(opened, onLines);
  return opened;
}
