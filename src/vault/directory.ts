import { readlinkSync } from 'node:fs';
import { join, sep } from 'node:path';
import { CofferError, isCofferError } from '../errors.ts';
import { removeCache } from '../files/cache.ts';
import { FileLock, takeLock } from '../files/lock.ts';
import { makeDirectory } from '../files/paths.ts';
import { namesIn, statsOf } from '../files/reader.ts';
import { isSystemError, reasonOf } from '../files/reason.ts';
import { removeFile } from '../files/remove.ts';
import { pointLinkSync, sweepTemps } from '../files/replace.ts';
import { type Conflicting, findConflicting, isOwnName } from './conflicting.ts';
import { isFileId } from './lease.ts';

/** How long somebody else may change the set of sessions before we give up. */
const VAULT_WAIT_MS = 14_000;

/** Where a vault keeps what, and its turn to change the set of sessions. Making the object touches nothing. */
export class VaultDirectory {
  readonly root: string;
  readonly sessions: string;
  readonly locks: string;
  readonly quarantine: string;
  /** The marks against rollback. */
  readonly seen: string;
  /** What a list needs of every file, as it was last listed: a cache. */
  readonly index: string;
  /** Which files a text may be in: a cache. */
  readonly texts: string;
  readonly vaultLock: string;
  /** The link to the session that every step overwrites. */
  readonly autosave: string;
  /** The names in `sessions` that are not coffer's, when that was last listed. */
  #strangers: readonly string[] = [];
  #queue: Promise<unknown> = Promise.resolve();
  #locking = false;

  constructor(root: string) {
    this.root = root;
    this.sessions = join(root, 'sessions');
    this.locks = join(root, 'locks');
    this.quarantine = join(root, 'quarantine');
    this.seen = join(root, 'seen');
    this.index = join(root, 'index');
    this.texts = join(root, 'texts');
    this.vaultLock = join(this.locks, 'vault');
    this.autosave = join(this.sessions, '_autosave');
  }

  /** Where a sealed file is. */
  path(fileId: string): string {
    // Not joined: ten thousand names that have nothing to be normalized take 4 ms so.
    return this.sessions + sep + fileId;
  }

  /** Tells whether anything has the name of `seen`, without opening it; what can't even be looked at counts as there. */
  get hasSeen(): boolean {
    try {
      return statsOf(this.seen) !== undefined;
    } catch (error) {
      if (!isCofferError(error)) throw error;
      return true; // opening it says why
    }
  }

  /** Tells whether nothing is there, and nothing was: no sealed file, and no marks of any. Throws `FAILED` where it can't be looked at. */
  get isEmpty(): boolean {
    return statsOf(this.seen) === undefined && this.sealedPaths().length === 0;
  }

  /** The ids of the sealed files, from their names alone. Throws `FAILED` where the directory can't be read. */
  fileIds(): string[] {
    const names = namesIn(this.sessions);
    const fileIds = names.filter(isFileId);
    this.#strangers = names.length === fileIds.length ? [] : names.filter((name) => !isOwnName(name));
    return fileIds;
  }

  /** The sealed files under other names when {@link fileIds} last looked: their headers are read. */
  conflicting(): Conflicting[] {
    return findConflicting(this.sessions, this.#strangers);
  }

  /** The paths of all sealed files of sessions, those under other names behind the others. */
  sealedPaths(): string[] {
    const paths = this.fileIds().map((fileId) => this.path(fileId));
    return [...paths, ...this.conflicting().map(({ path }) => path)];
  }

  /**
   * Removes what saves that never ended left behind: of `seen`, `vault.json`, `_autosave` and the caches, of sessions that nobody holds,
   * and of `own`, which this process holds and is not saving. Call under `locks/vault`. Throws `FAILED`.
   */
  sweepTemps(own?: string): void {
    sweepTemps(this.root, (name) => ['seen', 'vault.json', 'index', 'texts'].includes(name));
    const isIdle = (fileId: string): boolean => fileId === own || !FileLock.isHeld(join(this.locks, fileId));
    sweepTemps(this.sessions, (name) => name === '_autosave' || (isFileId(name) && isIdle(name)));
  }

  /** The file that `_autosave` points at; without links (Windows, without the privilege) the one saved last. */
  autosaveTarget(): string | undefined {
    try {
      return readlinkSync(this.autosave);
    } catch (error) {
      if (!isSystemError(error, 'ENOENT', 'EINVAL')) {
        throw new CofferError('FAILED', `cannot read ${this.autosave}`, { reason: reasonOf(error), cause: error });
      }
      return process.platform === 'win32' ? this.#savedLast() : undefined;
    }
  }

  /** Points `_autosave` at a sealed file. Durable on return. Throws `NOT_SAVED`, `DURABILITY_UNKNOWN`. */
  pointAutosave(fileId: string): void {
    try {
      pointLinkSync(this.autosave, fileId);
    } catch (error) {
      const cause = error instanceof CofferError ? (error.cause as NodeJS.ErrnoException | undefined) : undefined;
      const unprivileged = process.platform === 'win32' && cause?.code === 'EPERM';
      if (!unprivileged) throw error;
    }
  }

  /** Looks whether {@link remove} could remove it, before anything is done about that. Throws `SESSION_NOT_FOUND`, `FAILED`. */
  requireRemovable(fileId: string): void {
    if (!this.fileIds().includes(fileId)) {
      throw new CofferError('SESSION_NOT_FOUND', `there is no file ${fileId} in the vault`);
    }
    if (!statsOf(this.path(fileId))?.isDirectory()) return;
    throw new CofferError('FAILED', `${this.path(fileId)} is a directory, and none of coffer's`, {
      advice: 'move it away',
    });
  }

  /** Removes a sealed file for good, and `_autosave` where it pointed there. Durable on return. Throws `NOT_SAVED`. */
  remove(fileId: string): void {
    const isLinked = statsOf(this.autosave) !== undefined;
    if (isLinked && this.autosaveTarget() === fileId) removeFile(this.autosave);
    this.dropCaches();
    removeFile(this.path(fileId));
    this.dropCaches();
  }

  /**
   * Removes what is there for speed alone. Durable on return. Who takes something out of a file does it before and behind that: what another
   * process read out of a cache before, it must not put back, and can tell so by the file that has changed. Throws `NOT_SAVED`, `FAILED`.
   */
  dropCaches(): void {
    for (const path of [this.index, this.texts]) removeCache(path);
  }

  /** The turn to change the set of sessions, if it is free or this process has it already; for an end that can't wait. */
  tryTurn(): Disposable | undefined {
    if (this.#locking) return { [Symbol.dispose]: () => undefined };
    makeDirectory(this.locks);
    return FileLock.tryTake(this.vaultLock);
  }

  /**
   * Runs `work` while no other process, and nothing else in this one, changes the set of sessions.
   * Throws `VAULT_BUSY`, `NOT_SAVED`, and what `work` throws.
   */
  locked<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#queue.then(async () => {
      makeDirectory(this.locks);
      using _lock = await takeLock(this.vaultLock, VAULT_WAIT_MS);
      this.#locking = true;
      try {
        return await work();
      } finally {
        this.#locking = false;
      }
    });
    this.#queue = done.catch(() => undefined); // whoever asked has the error; the next one must run all the same
    return done;
  }

  #savedLast(): string | undefined {
    let latest: { fileId: string; saved: number } | undefined;
    for (const fileId of this.fileIds()) {
      const saved = statsOf(this.path(fileId))?.mtimeMs ?? 0;
      if (!latest || saved > latest.saved) latest = { fileId, saved };
    }
    return latest?.fileId;
  }
}
