import { readlinkSync } from 'node:fs';
import { join, sep } from 'node:path';
import { CofferError, isCofferError } from '../errors.ts';
import { FileLock, takeLock } from '../files/lock.ts';
import { makeDirectory } from '../files/paths.ts';
import { namesIn, statsOf } from '../files/reader.ts';
import { isSystemError, reasonOf } from '../files/reason.ts';
import { removeFile } from '../files/remove.ts';
import { removeCache } from '../files/replace/cache.ts';
import { pointLinkSync } from '../files/replace/replace.ts';
import { sweepTemps } from '../files/replace/temporary.ts';
import { type Conflicting, findConflicting, isOwnName } from './conflicting.ts';
import { isFileId } from './lease.ts';

/** How long to wait for another process to release the vault lock, in milliseconds. */
const VAULT_WAIT_MS = 14_000;

/**
 * The paths of a vault, and the vault lock (`locks/vault`), under which its set of sessions
 * changes. Constructing it touches nothing on disk.
 */
export class VaultDirectory {
  readonly root: string;
  readonly sessions: string;
  readonly locks: string;
  readonly quarantine: string;
  /** The rollback marks. */
  readonly seen: string;
  /** The list cache: what a list needs of every file, as of the last listing. */
  readonly index: string;
  /** The text search cache: which files may contain a text. */
  readonly texts: string;
  readonly vaultLock: string;
  /** The link to the session that every step overwrites. */
  readonly autosave: string;
  /** Names in `sessions` that aren't coffer's, as of the last listing. */
  #foreignNames: readonly string[] = [];
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

  /** Returns the path of a sealed file. */
  path(fileId: string): string {
    // Concatenated, because `join` normalises: for ten thousand names, which need none, that takes
    // 4 ms.
    return this.sessions + sep + fileId;
  }

  /** Whether anything is named `seen`, without opening it. Treats unreadable as present. */
  get hasSeen(): boolean {
    try {
      return statsOf(this.seen) !== undefined;
    } catch (error) {
      if (!isCofferError(error)) throw error;
      return true; // opening it reports the reason
    }
  }

  /**
   * Whether the vault has no sealed files and never had any: there are no rollback marks either.
   * Throws `FAILED` if that can't be determined.
   */
  get isEmpty(): boolean {
    return statsOf(this.seen) === undefined && this.sealedPaths().length === 0;
  }

  /**
   * Returns the ids of the sealed files, from their names alone. Throws `FAILED` if the directory
   * can't be read.
   */
  fileIds(): string[] {
    const names = namesIn(this.sessions);
    const fileIds = names.filter(isFileId);
    this.#foreignNames = names.length === fileIds.length ? [] : names.filter((name) => !isOwnName(name));
    return fileIds;
  }

  /**
   * Returns the sealed files under other names, as of the last {@link fileIds}. Reads their
   * headers.
   */
  conflicting(): Conflicting[] {
    return findConflicting(this.sessions, this.#foreignNames);
  }

  /** Returns the paths of all sealed session files, conflicting copies last. */
  sealedPaths(): string[] {
    const paths = this.fileIds().map((fileId) => this.path(fileId));
    return [...paths, ...this.conflicting().map(({ path }) => path)];
  }

  /**
   * Removes the temporary files of saves that never finished: those of `seen`, `vault.json`,
   * `_autosave` and the caches, those of sessions that no process holds, and those of `own`, which
   * this process holds and isn't saving. Call under `locks/vault`. Throws `FAILED`.
   */
  sweepTemps(own?: string): void {
    sweepTemps(this.root, (name) => ['seen', 'vault.json', 'index', 'texts'].includes(name));
    const isIdle = (fileId: string): boolean => fileId === own || !FileLock.isHeld(join(this.locks, fileId));
    sweepTemps(this.sessions, (name) => name === '_autosave' || (isFileId(name) && isIdle(name)));
  }

  /**
   * Returns the file id that `_autosave` points at; if links are unavailable (Windows without the
   * privilege), that of the session saved last. Throws `FAILED`.
   */
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

  /**
   * Points `_autosave` at a sealed file. Durable on return. Throws `NOT_SAVED`,
   * `DURABILITY_UNKNOWN`.
   */
  pointAutosave(fileId: string): void {
    try {
      pointLinkSync(this.autosave, fileId);
    } catch (error) {
      const cause = error instanceof CofferError ? (error.cause as NodeJS.ErrnoException | undefined) : undefined;
      const unprivileged = process.platform === 'win32' && cause?.code === 'EPERM';
      if (!unprivileged) throw error;
    }
  }

  /**
   * Checks that {@link remove} can remove a file, before anything is changed. Throws
   * `SESSION_NOT_FOUND`, `FAILED`.
   */
  requireRemovable(fileId: string): void {
    if (!this.fileIds().includes(fileId)) {
      throw new CofferError('SESSION_NOT_FOUND', `there is no file ${fileId} in the vault`);
    }
    if (!statsOf(this.path(fileId))?.isDirectory()) return;
    throw new CofferError('FAILED', `${this.path(fileId)} is a directory that coffer did not create`, {
      advice: 'move it away',
    });
  }

  /**
   * Removes a sealed file for good, and `_autosave` if it points there. Durable on return. Throws
   * `NOT_SAVED`.
   */
  remove(fileId: string): void {
    const isLinked = statsOf(this.autosave) !== undefined;
    if (isLinked && this.autosaveTarget() === fileId) removeFile(this.autosave);
    this.dropCaches();
    removeFile(this.path(fileId));
    this.dropCaches();
  }

  /**
   * Removes the caches, which exist for speed alone. Durable on return. A process that removes
   * something from a file must call this before and after: another process must not write back what
   * it read from a cache before the removal, and it detects that by the changed file. Throws
   * `NOT_SAVED`, `FAILED`.
   */
  dropCaches(): void {
    for (const path of [this.index, this.texts]) removeCache(path);
  }

  /**
   * Takes the vault lock without waiting, for final saves; undefined if another process holds it.
   * If this process already holds it, disposing the result does nothing.
   */
  tryTurn(): Disposable | undefined {
    if (this.#locking) return { [Symbol.dispose]: () => undefined };
    makeDirectory(this.locks);
    return FileLock.tryTake(this.vaultLock);
  }

  /**
   * Runs `work` under the vault lock: no other process, and nothing else in this one, changes the
   * set of sessions meanwhile. Throws `VAULT_BUSY`, `NOT_SAVED`, and what `work` throws.
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
    // The caller gets the error; the next one must still run.
    this.#queue = done.catch(() => undefined);
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
