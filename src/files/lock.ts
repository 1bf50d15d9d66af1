import { accessSync, type BigIntStats, closeSync, constants, fchmodSync, lstatSync, openSync } from 'node:fs';
import { resolve } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { setTimeout as pause } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { CofferError } from '../errors.ts';
import { isSystemError, notSaved } from './reason.ts';

/**
 * A claim on a path that the kernel keeps: no other process and nothing else in this one gets it before
 * {@link release} or before this process ends, whatever ends it. It is an SQLite database of no bytes in an
 * exclusive transaction (POSIX or Windows file locks without an addon). One descriptor per lock.
 *
 * INVARIANT: while a lock is held, no other descriptor of its file may be opened and closed in this process,
 * by anybody: closing any of them drops a POSIX lock. (SQLite keeps count of its own and does it right.)
 */
export class FileLock implements Disposable {
  readonly #path: string;
  readonly #database: DatabaseSync;

  private constructor(path: string, database: DatabaseSync) {
    this.#path = path;
    this.#database = database;
  }

  /**
   * Takes the lock at once or answers undefined where it is held. The file is made where it is missing, empty
   * and 0600 from the start; it stays empty. Files must be made and removed only under one other lock that is
   * never removed. Throws `FAILED` where something else than a lock file has the name, `NOT_SAVED` where
   * the system refuses.
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
    if (!isStill(file, key)) {
      database.close();
      return undefined;
    }
    const lock = new FileLock(key, database);
    held.set(key, lock);
    return lock;
  }

  /**
   * Tells whether any process holds the lock, this one included. Call it under the lock that guards the lock
   * files: for a moment it stands in the way of whoever takes this one. Throws like {@link tryTake}.
   */
  static isHeld(path: string): boolean {
    const key = resolve(path);
    if (held.has(key)) {
      return true;
    }
    if (!lockFileAt(key)) {
      return false;
    }
    // A shared lock: several that ask at once must not take each other for holders.
    const database = openUnlessBusy(key, 'SELECT 1 FROM sqlite_schema', { readOnly: true });
    database?.close();
    return database === undefined;
  }

  /** Gives the lock back. The file stays. Does nothing the second time. */
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
 * Takes the lock, trying for `waitMs` milliseconds. Throws `VAULT_BUSY` after that, else as
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
      throw new CofferError('VAULT_BUSY', `${path} is held by another process for more than ${waitMs} ms`, {
        advice: 'try again',
      });
    }
    // Random, so that those who wait for the same lock do not keep meeting.
    await pause(1 + Math.random() * 9);
  }
}

// The locks of this process (of this thread, where there are several: SQLite knows the others). Holding them
// here also keeps the garbage collector from closing a database whose lock nobody refers to any more.
const held = new Map<string, FileLock>();

// SQLite would make the file with a mode of its own and under the umask.
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
    throw unlockable(path, new Error('somebody removes it'));
  }
  return file;
}

// By its name alone: opening a lock file and closing it again would drop the lock.
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
  // mode=rw: SQLite must not make the file where it vanished.
  const url = pathToFileURL(path);
  url.searchParams.set('mode', options.readOnly ? 'ro' : 'rw');
  let database: DatabaseSync | undefined;
  try {
    if (!options.readOnly) {
      // What it may not write SQLite opens for reading, and answers BEGIN EXCLUSIVE with a shared lock.
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

function isStill(file: BigIntStats, path: string): boolean {
  const found = lockFileAt(path);
  return found?.dev === file.dev && found.ino === file.ino;
}

function unlockable(path: string, cause: unknown): CofferError {
  return notSaved('cannot lock', path, cause, 'nothing is saved without');
}

const SQLITE_BUSY = 5;
