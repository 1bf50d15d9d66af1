import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CofferError, type Holder } from '../errors.ts';
import { FileLock } from '../files/lock.ts';
import { namesIn } from '../files/reader.ts';
import { isSystemError, reasonOf } from '../files/reason.ts';
import { isInteger, wrongField } from './fields.ts';

/**
 * The single-writer claim on a session: a kernel lock that ends with the process, whatever ends it.
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

  /** Takes the lease of a session. Throws `SESSION_IN_USE` with who holds it. */
  static take(locks: string, fileId: string): Lease {
    const path = join(locks, fileId);
    const lock = takeUnlessHeld(path);
    if (!lock) throw inUse(locks, fileId);
    const lease = new Lease(lock, path);
    try {
      writeHolder(path);
    } catch (cause) {
      lease.release();
      throw new CofferError('NOT_SAVED', `cannot write down who holds ${fileId}`, { reason: reasonOf(cause), cause });
    }
    return lease;
  }

  /** Gives the session back, if it has not been, and leaves the lock file to whoever sweeps: for want of a turn to remove it in. */
  abandon(): void {
    this.#released = true;
    this.#lock.release();
  }

  /** Gives the session back and removes the lock file. Does nothing the second time: the file may be another's by then. */
  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#lock.release();
    removeLease(this.#path);
  }
}

/**
 * Makes sure that no process holds the lease of a session, and removes what a dead process left of it. Needs no free byte or inode. Must be
 * called under `locks/vault`, so that no process can take the lease meanwhile. Throws `SESSION_IN_USE` with its holder.
 */
export function requireUnleased(locks: string, fileId: string): void {
  const path = join(locks, fileId);
  if (FileLock.isHeld(path)) throw inUse(locks, fileId);
  removeLease(path);
}

/** Lists who holds which session, by file id. Call under `locks/vault`. */
export function heldSessions(locks: string): Map<string, Holder> {
  const held = new Map<string, Holder>();
  for (const fileId of leasedNames(locks)) {
    if (FileLock.isHeld(join(locks, fileId))) held.set(fileId, readHolder(locks, fileId));
  }
  return held;
}

/** Removes the lock files that processes left which did not live to give their leases back. Call under `locks/vault`. */
export function sweepLeases(locks: string): void {
  for (const fileId of leasedNames(locks)) {
    const path = join(locks, fileId);
    if (!FileLock.isHeld(path)) removeLease(path);
  }
}

/** Names the sessions that somebody leased and did not give back: held ones, and those of processes that died. */
export function leasedNames(locks: string): string[] {
  return namesIn(locks).filter(isFileId);
}

/** Tells whether a name is a file id: 32 hex digits. */
export function isFileId(name: string): boolean {
  return /^[0-9a-f]{32}$/.test(name);
}

/** How long a process may take to die, in milliseconds. */
const DYING_MS = 1_000;

/**
 * Takes a lock unless another process holds it. A process that only looks whether it is held is in the way too, and does so under
 * `locks/vault`, so that nobody meets it; but of one that is killed the kernel may drop that lock first, and this look a little later.
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
      // That nobody holds it is what counts; whoever begins the next session tries again.
      if (!isSystemError(error)) throw error;
    }
  }
}

/** Names a holder, for people. */
export function describeHolder(holder: Holder): string {
  if (holder.pid === 0) return 'another process';
  const since = new Date(holder.since).toTimeString().slice(0, 5);
  return `process ${holder.pid} since ${since}`;
}

/** Not flushed: it is for messages, and means nothing once this process has ended. */
function writeHolder(lockPath: string): void {
  const holder: Holder = { pid: process.pid, since: Date.now() };
  rmSync(holderPath(lockPath), { force: true });
  writeFileSync(holderPath(lockPath), JSON.stringify(holder), { flag: 'wx', mode: 0o600 });
}

function holderPath(lockPath: string): string {
  return `${lockPath}.holder`;
}

/** What is written there is for messages: where it can't be read, the holder is just not named. */
function readHolder(locks: string, fileId: string): Holder {
  try {
    const value: unknown = JSON.parse(readFileSync(holderPath(join(locks, fileId)), 'utf8'));
    return wrongField(value, { pid: isInteger, since: isInteger }) === undefined ? (value as Holder) : NOBODY;
  } catch (error) {
    if (error instanceof SyntaxError || isSystemError(error)) return NOBODY;
    throw error;
  }
}

const NOBODY: Holder = { pid: 0, since: 0 };
