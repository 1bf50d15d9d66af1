import { accessSync, type BigIntStats, closeSync, constants, fchmodSync, lstatSync, openSync } from 'node:fs';
import { resolve } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { setTimeout as pause } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { CofferError } from '../errors.ts';
import { isSystemError, notSaved } from './reason.ts';

/**
 * An exclusive lock on a path, held by the kernel: no other process and nothing else in this one
 * can take it before {@link release} or before this process ends, however it ends. It is an empty
 * SQLite database in an exclusive transaction (POSIX or Windows file locks without an addon). One
 * descriptor per lock.
 *
 * INVARIANT: while a lock is held, nothing in this process may open and close another descriptor of
 * its file: closing any of them drops a POSIX lock. (SQLite tracks its own descriptors and does it
 * right.)
 */
export class FileLock implements Disposable {
  readonly #path: string;
  readonly #database: DatabaseSync;

  private constructor(path: string, database: DatabaseSync) {
    this.#path = path;
    this.#database = database;
  }

  /**
   * Takes the lock without waiting; returns undefined if it is held. The file is created if
   * missing, with mode 0600 from the start; it is and stays empty. Lock files must be created and
   * removed only under one other lock that is never removed. Throws `FAILED` if the path isn't a
   * lock file, `NOT_SAVED` if the system refuses.
   */
  static tryTake(path: string): FileLock | undefined {
    const key = resolve(path);
    if (held.has(key)) {
      return undefined;
    }
    const file = makeLockFile(key);
    const database = openUnlessBusy(key, 'PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
    if (!database) {
      return undefined;
    }
    if (!isSameFile(file, key)) {
      database.close();
      return undefined;
    }
    const lock = new FileLock(key, database);
    held.set(key, lock);
    return lock;
  }

  /**
   * Returns whether any process holds the lock, this one included. Call it under the lock that
   * guards the lock files: it briefly blocks other processes from taking this one. Throws like
   * {@link tryTake}.
   */
  static isHeld(path: string): boolean {
    const key = resolve(path);
    if (held.has(key)) {
      return true;
    }
    if (!lockFileAt(key)) {
      return false;
    }
    // A shared lock, so that concurrent checks do not mistake each other for holders.
    const database = openUnlessBusy(key, 'SELECT 1 FROM sqlite_schema', { readOnly: true });
    database?.close();
    return database === undefined;
  }

  /** Releases the lock. The file stays. Does nothing the second time. */
  release(): void {
    if (held.get(this.#path) === this) {
      held.delete(this.#path);
      this.#database.close();
    }
  }

  [Symbol.dispose](): void {
    this.release();
  }
}

/**
 * Takes the lock, retrying for `waitMs` milliseconds. Throws `VAULT_BUSY` after that, else like
 * {@link FileLock.tryTake}.
 */
export async function takeLock(path: string, waitMs: number): Promise<FileLock> {
  const deadline = performance.now() + waitMs;
  for (;;) {
    const lock = FileLock.tryTake(path);
    if (lock) {
      return lock;
    }
    if (performance.now() >= deadline) {
      throw new CofferError('VAULT_BUSY', `${path} has been locked by another process for more than ${waitMs} ms`, {
        advice: 'try again',
      });
    }
    // Random, so that processes waiting for the same lock do not stay in step.
    await pause(1 + Math.random() * 9);
  }
}

// The locks of this process (of this thread, if there are several: SQLite knows about the others).
// Keeping them here also prevents the garbage collector from closing the database of a lock that is
// no longer referenced.
const held = new Map<string, FileLock>();

// SQLite would create the file with its own mode and subject to the umask.
function makeLockFile(path: string): BigIntStats {
  try {
    const file = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600);
    try {
      fchmodSync(file, 0o600);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    if (!isSystemError(error, 'EEXIST')) {
      throw unlockable(path, error);
    }
  }
  const file = lockFileAt(path);
  if (!file) {
    throw unlockable(path, new Error('another process removed it'));
  }
  return file;
}

// Uses only its path: opening and closing a lock file would drop the lock.
function lockFileAt(path: string): BigIntStats | undefined {
  let found: BigIntStats | undefined;
  try {
    found = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  } catch (error) {
    throw unlockable(path, error);
  }
  if (found && (!found.isFile() || found.size !== 0n)) {
    throw new CofferError('FAILED', `${path} is not a lock file`, { advice: 'move it away' });
  }
  return found;
}

function openUnlessBusy(path: string, sql: string, options: { readOnly?: boolean } = {}): DatabaseSync | undefined {
  const { DatabaseSync } = process.getBuiltinModule('node:sqlite');
  // mode=rw: SQLite must not create the file if it has vanished.
  const url = pathToFileURL(path);
  url.searchParams.set('mode', options.readOnly ? 'ro' : 'rw');
  let database: DatabaseSync | undefined;
  try {
    if (!options.readOnly) {
      // SQLite opens a file that it may not write for reading, and BEGIN EXCLUSIVE then takes a
      // shared lock.
      accessSync(path, constants.W_OK);
    }
    database = new DatabaseSync(url, { timeout: 0, ...options });
    database.exec(sql);
    return database;
  } catch (error) {
    database?.close();
    if (isBusy(error)) {
      return undefined;
    }
    throw unlockable(path, error);
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && (Number(error.errcode) & 0xff) === SQLITE_BUSY;
}

function isSameFile(file: BigIntStats, path: string): boolean {
  const found = lockFileAt(path);
  return found?.dev === file.dev && found.ino === file.ino;
}

function unlockable(path: string, cause: unknown): CofferError {
  return notSaved('cannot lock', path, cause, 'nothing can be saved without this lock');
}

const SQLITE_BUSY = 5;
