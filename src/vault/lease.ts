import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CofferError, type Holder } from '../errors.ts';
import { FileLock } from '../files/lock.ts';
import { namesIn } from '../files/reader.ts';
import { isSystemError, reasonOf } from '../files/reason.ts';
import { isInteger, wrongField } from './fields.ts';

/**
 * The single-writer claim on a session: a kernel lock, which ends with the process however it ends.
 * Leases must be taken and released under `locks/vault`.
 */
export class Lease {
  readonly #lock: FileLock;
  readonly #path: string;
  #released = false;

  private constructor(lock: FileLock, path: string) {
    this.#lock = lock;
    this.#path = path;
  }

  /** Takes the lease of a session. Throws `SESSION_IN_USE`, naming the holder, and `NOT_SAVED`. */
  static take(locks: string, fileId: string): Lease {
    const path = join(locks, fileId);
    const lock = takeUnlessHeld(path);
    if (!lock) throw inUse(locks, fileId);
    const lease = new Lease(lock, path);
    try {
      writeHolder(path);
    } catch (cause) {
      lease.release();
      throw new CofferError('NOT_SAVED', `cannot record the lease holder of ${fileId}`, {
        reason: reasonOf(cause),
        cause,
      });
    }
    return lease;
  }

  /**
   * Releases the lease if it is still held, but leaves the lock file for a later sweep to remove:
   * for callers that can't get the vault lock, under which alone it may be removed.
   */
  abandon(): void {
    this.#released = true;
    this.#lock.release();
  }

  /**
   * Releases the lease and removes the lock file. Does nothing the second time: the file may belong
   * to another process by then.
   */
  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#lock.release();
    removeLease(this.#path);
  }
}

/**
 * Makes sure that no process holds the lease of a session, and removes the lock files of a dead
 * holder. Needs no free byte or inode. Must be called under `locks/vault`, so that no process can
 * take the lease meanwhile. Throws `SESSION_IN_USE`, naming the holder.
 */
export function requireUnleased(locks: string, fileId: string): void {
  const path = join(locks, fileId);
  if (FileLock.isHeld(path)) throw inUse(locks, fileId);
  removeLease(path);
}

/** Returns the holders of all leased sessions by file id. Call under `locks/vault`. */
export function heldSessions(locks: string): Map<string, Holder> {
  const held = new Map<string, Holder>();
  for (const fileId of leasedNames(locks)) {
    if (FileLock.isHeld(join(locks, fileId))) held.set(fileId, readHolder(locks, fileId));
  }
  return held;
}

/**
 * Removes lock files of processes that ended without releasing their leases. Call under
 * `locks/vault`.
 */
export function sweepLeases(locks: string): void {
  for (const fileId of leasedNames(locks)) {
    const path = join(locks, fileId);
    if (!FileLock.isHeld(path)) removeLease(path);
  }
}

/**
 * Returns the file ids that have a lock file: of leased sessions, and of processes that died
 * without releasing theirs.
 */
export function leasedNames(locks: string): string[] {
  return namesIn(locks).filter(isFileId);
}

/** Tells whether a name is a file id: 32 hex digits. */
export function isFileId(name: string): boolean {
  return /^[0-9a-f]{32}$/.test(name);
}

/** How long to wait for a dying process to lose its locks, in milliseconds. */
const DYING_MS = 1_000;

/**
 * Takes a lock unless another process holds it. A process that only tests whether the lock is held
 * blocks it for a moment too. It does so under `locks/vault`, so it normally never meets this call;
 * but when it is killed, the kernel may release `locks/vault` first and this lock a little later.
 */
function takeUnlessHeld(path: string): FileLock | undefined {
  const deadline = performance.now() + DYING_MS;
  for (;;) {
    const lock = FileLock.tryTake(path);
    if (lock || FileLock.isHeld(path) || performance.now() >= deadline) return lock;
  }
}

function inUse(locks: string, fileId: string): CofferError {
  const holder = readHolder(locks, fileId);
  return new CofferError('SESSION_IN_USE', `in use by ${describeHolder(holder)}`, {
    advice: 'close it there or start a new one',
    holder,
  });
}

function removeLease(lockPath: string): void {
  for (const path of [lockPath, holderPath(lockPath)]) {
    try {
      rmSync(path, { force: true });
    } catch (error) {
      // The lease is free, which is what matters; the next new session tries to remove the file
      // again.
      if (!isSystemError(error)) throw error;
    }
  }
}

/** Describes a holder in a message: `process 4711 since 12:31`. */
export function describeHolder(holder: Holder): string {
  if (holder.pid === 0) return 'another process';
  const since = new Date(holder.since).toTimeString().slice(0, 5);
  return `process ${holder.pid} since ${since}`;
}

/** Not flushed: it only serves messages, and is meaningless once this process has ended. */
function writeHolder(lockPath: string): void {
  const holder: Holder = { pid: process.pid, since: Date.now() };
  rmSync(holderPath(lockPath), { force: true });
  writeFileSync(holderPath(lockPath), JSON.stringify(holder), { flag: 'wx', mode: 0o600 });
}

function holderPath(lockPath: string): string {
  return `${lockPath}.holder`;
}

/** Returns an unknown holder if the file can't be read: it only serves messages. */
function readHolder(locks: string, fileId: string): Holder {
  try {
    const value: unknown = JSON.parse(readFileSync(holderPath(join(locks, fileId)), 'utf8'));
    return wrongField(value, { pid: isInteger, since: isInteger }) === undefined ? (value as Holder) : UNKNOWN_HOLDER;
  } catch (error) {
    if (error instanceof SyntaxError || isSystemError(error)) return UNKNOWN_HOLDER;
    throw error;
  }
}

const UNKNOWN_HOLDER: Holder = { pid: 0, since: 0 };
