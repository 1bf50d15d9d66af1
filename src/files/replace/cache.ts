import { lstatSync, type Stats, unlinkSync } from 'node:fs';
import { isCofferError } from '../../errors.ts';
import { totalLength, writeAllSync } from '../descriptor/write.ts';
import { statsOf } from '../reader.ts';
import { isSystemError } from '../reason.ts';
import { removeFile } from '../remove.ts';
import { Draft } from './draft.ts';

/*
 * A cache is a file that can be rebuilt from others, so nothing guarantees that it exists. It is
 * written without a lock and without a flush, under a temporary name that is then renamed: a reader
 * finds an old one, a new one or none, and whatever a power cut leaves of it does not open.
 * Failures to read or write it are ignored: they only cost time.
 */

/** The state of a file, as precisely as stat can tell it: times are milliseconds with fractions. */
export interface FileState {
  readonly ino: number;
  readonly size: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
}

/**
 * A file that changed more recently than this may change again without a new state, because the
 * clocks of file systems tick that slowly.
 */
const SETTLED_MS = 100;
/** The same for file systems with a time resolution of one or two seconds. */
const COARSE_SETTLED_MS = 3000;

/** Returns whether two states of a file are the same. */
export function isSameState(a: FileState, b: FileState): boolean {
  return a.ino === b.ino && a.size === b.size && a.mtimeMs === b.mtimeMs && a.ctimeMs === b.ctimeMs;
}

/**
 * Returns whether a file whose state was read after `now` can't have changed since without a new
 * state. False if its times are in the future.
 */
export function isSettled({ mtimeMs, ctimeMs }: FileState, now: number): boolean {
  const isCoarse = mtimeMs % 1000 === 0 && ctimeMs % 1000 === 0;
  return Math.max(mtimeMs, ctimeMs) < now - (isCoarse ? COARSE_SETTLED_MS : SETTLED_MS);
}

/** Returns the state of a file; undefined if it doesn't exist or can't be read. */
export function stateOf(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return undefined; // reading it would fail too
  }
}

/**
 * Writes a cache with mode 0600; a link at its path is replaced, never followed. Calls `make` for
 * the bytes once the temporary file is open. Returns whether the cache was written; if not (full
 * disk, read-only disk, a directory at its path), no temporary file is left behind. If `make`
 * throws, its error is rethrown and nothing is changed.
 */
export function writeCache(path: string, make: () => readonly Uint8Array[]): boolean {
  const draft = openDraft(path);
  if (draft === undefined) return false;
  let parts: readonly Uint8Array[] | undefined;
  try {
    draft.restrict();
    parts = make();
    writeAllSync(draft.file, parts, 0);
    draft.finish(totalLength(parts));
    draft.rename();
    return true;
  } catch (error) {
    draft.discard();
    // Any error after `make` is the disk's: full, read-only, or writing nothing without an error.
    // Half a cache counts as none.
    if (parts === undefined && !isSystemError(error)) throw error;
    return false;
  }
}

/** Removes a cache that may be wrong, if it exists. */
export function dropCache(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!isSystemError(error)) throw error; // if it can't be removed, its reader detects that it is wrong
  }
}

/**
 * Removes a cache permanently, because it reveals something about deleted files. A directory at its
 * path is ignored. Durable on return. Throws `NOT_SAVED`, `FAILED`.
 */
export function removeCache(path: string): void {
  const stats = statsOf(path);
  if (stats === undefined || stats.isDirectory()) return;
  try {
    removeFile(path);
  } catch (error) {
    // Another process may have removed it meanwhile.
    if (!isCofferError(error) || !isSystemError(error.cause, 'ENOENT')) throw error;
  }
}

function openDraft(path: string): Draft | undefined {
  try {
    return new Draft(path);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return undefined; // a read-only place has no cache
  }
}
