import { randomBytes } from 'node:crypto';
import { closeSync, constants, fchmodSync, lstatSync, openSync, renameSync, type Stats, unlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { isCofferError } from '../errors.ts';
import { closeUnwritten } from './close.ts';
import { statsOf } from './reader.ts';
import { isSystemError } from './reason.ts';
import { removeFile } from './remove.ts';
import { writeAllSync } from './write.ts';

/*
 * A cache is a file that can be made again from others: no promise is given for it. It is written without a lock and without a flush,
 * under a temporary name that is then renamed, so that a reader finds an old one, a new one or none; what a power cut leaves of it does
 * not open. Whatever stands in the way of reading or writing it is passed over in silence: it costs time, and nothing else.
 */

/** Tells one state of a file from another, as exactly as a plain look at it can: milliseconds with their fractions. */
export interface FileState {
  readonly ino: number;
  readonly size: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
}

/** A file changed less than this ago may change again under the same state: the clocks of file systems tick that slowly. */
const SETTLED_MS = 100;
/** The same where a file system knows whole seconds only, or every second one. */
const COARSE_SETTLED_MS = 3000;

/** Tells whether two looks at a file saw the same state of it. */
export function isSameState(a: FileState, b: FileState): boolean {
  return a.ino === b.ino && a.size === b.size && a.mtimeMs === b.mtimeMs && a.ctimeMs === b.ctimeMs;
}

/** Tells whether a file that was looked at after `now` can't have changed since without its state telling; one from the future may. */
export function isSettled({ mtimeMs, ctimeMs }: FileState, now: number): boolean {
  const isCoarse = mtimeMs % 1000 === 0 && ctimeMs % 1000 === 0;
  return Math.max(mtimeMs, ctimeMs) < now - (isCoarse ? COARSE_SETTLED_MS : SETTLED_MS);
}

/** Looks at a file; undefined where it is not there, or can't be looked at. */
export function stateOf(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return undefined; // it is not read then either
  }
}

/**
 * Puts a cache in place, of mode 0600; a link in its place is replaced, never followed. `make` is asked for the bytes once there is a
 * file to write them into. Tells whether it is there; where it is not (a full disk, a read-only one, a directory in its place), no
 * temporary file is left behind. What `make` throws is thrown, and nothing is changed.
 */
export function writeCache(path: string, make: () => readonly Uint8Array[]): boolean {
  const temp = join(dirname(path), `.${basename(path)}.${randomBytes(8).toString('hex')}.tmp`);
  const file = openTemp(temp);
  if (file === undefined) return false;
  let isOpen = true;
  let parts: readonly Uint8Array[] | undefined;
  try {
    fchmodSync(file, 0o600);
    parts = make();
    writeAllSync(file, parts, 0);
    isOpen = false;
    closeSync(file);
    renameSync(temp, path);
    return true;
  } catch (error) {
    if (isOpen) closeUnwritten(file);
    dropCache(temp);
    // From here on it is the disk: full, read-only, or taking no byte for no reason given. Half a cache is none.
    if (parts === undefined && !isSystemError(error)) throw error;
    return false;
  }
}

/** Removes a cache that may be wrong, if it is there. */
export function dropCache(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!isSystemError(error)) throw error; // what can't be removed is told to be wrong by itself when it is read
  }
}

/**
 * Removes a cache for good, because of what it says of files that are gone. A directory in its place is none and says nothing.
 * Durable on return. Throws `NOT_SAVED`, `FAILED`.
 */
export function removeCache(path: string): void {
  const stats = statsOf(path);
  if (stats === undefined || stats.isDirectory()) return;
  try {
    removeFile(path);
  } catch (error) {
    // Another process has removed it meanwhile.
    if (!isCofferError(error) || !isSystemError(error.cause, 'ENOENT')) throw error;
  }
}

function openTemp(temp: string): number | undefined {
  try {
    return openSync(temp, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | NO_FOLLOW, 0o600);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return undefined; // where nothing can be written there is no cache
  }
}

// Windows has no such flag; links there need a privilege.
const NO_FOLLOW = constants.O_NOFOLLOW ?? 0;
