import { randomBytes } from 'node:crypto';
import { CofferError, isCofferError } from '../errors.ts';
import { makeDirectory } from '../files/paths.ts';
import type { VaultDirectory } from './directory.ts';
import { countingDown, type OnLines } from './file/lines.ts';
import type { OpenedFile } from './file/open.ts';
import { SealedFile, type Step } from './file/sealed-file.ts';
import { requireSealing, type Unlocked } from './keys/options.ts';
import type { Unlocking } from './keys/unlocking.ts';
import { Lease, sweepLeases } from './lease.ts';
import type { Listing } from './list/listing.ts';
import { openMarked } from './marks/open-marked.ts';
import { describeRollback, type Rollback, refuseRolledBack } from './marks/rollback.ts';
import type { Seen } from './marks/seen.ts';
import type { FirstStep, Writable } from './shapes.ts';

/** Opens the sealed files of a vault for writing, with their leases, and takes them back. */
export class Writing {
  readonly #place: VaultDirectory;
  readonly #seen: Seen;
  readonly #keys: Unlocking;
  readonly #listing: Listing;

  constructor(place: VaultDirectory, seen: Seen, keys: Unlocking, listing: Listing) {
    this.#place = place;
    this.#seen = seen;
    this.#keys = keys;
    this.#listing = listing;
  }

  /**
   * Creates a sealed file with its first step. `adopt` gets the file and its lease as soon as they
   * exist, and owns them even if the first save fails. Durable when it resolves. Throws
   * `NOT_SAVED`, `DURABILITY_UNKNOWN`, `VAULT_BUSY`, `KEY_*`.
   */
  async create(first: FirstStep, adopt: (writable: Writable) => void): Promise<void> {
    await this.#keys.locked(async (unlocked) => {
      const { writable, step } = this.#begin(unlocked, first);
      adopt(writable);
      await writable.file.save(step);
    });
  }

  /**
   * Creates a sealed file that never changes, like {@link create} but without keeping it open.
   * Marks it at once, together with `source`, the file it was taken of.
   */
  async snapshot(first: FirstStep, source?: SealedFile): Promise<void> {
    await this.#keys.locked(async (unlocked) => {
      const { writable, step } = this.#begin(unlocked, first);
      try {
        await writable.file.save(step);
        this.#seen.mark(unlocked, [writable.file, source]);
      } finally {
        writable.lease.release();
      }
    });
  }

  /**
   * Creates a sealed file like {@link create}, but synchronously, for a final save: the vault must
   * be unlocked already. Throws `NOT_SAVED` too if another process holds the vault lock.
   */
  createSync(first: FirstStep, adopt: (writable: Writable) => void): void {
    if (!this.#keys.current) throw new CofferError('NOT_SAVED', 'the vault is not unlocked');
    using turn = this.#place.tryTurn();
    if (!turn) throw new CofferError('NOT_SAVED', 'another process is changing the vault');
    if (this.#keys.isReplaced(this.#keys.current))
      throw new CofferError('NOT_SAVED', 'the vault key was rotated in the meantime');
    const { writable, step } = this.#begin(this.#keys.current, first);
    adopt(writable);
    writable.file.saveSync(step);
  }

  /**
   * Opens a sealed file for writing: takes its lease, verifies all of it and passes its lines to
   * `onLines`. Writes nothing to the file. Throws `SESSION_IN_USE`, `SESSION_NOT_FOUND`,
   * `UNAUTHENTIC`, `NEWER_VERSION`, `KEY_*`, and, unless `acceptOlder`, `ROLLED_BACK` if the file
   * is older than its rollback mark or another one.
   */
  async resume(
    fileId: string,
    onLines: OnLines,
    acceptOlder = false,
  ): Promise<Writable & { opened: OpenedFile; rollback: Rollback | undefined }> {
    return this.#keys.locked(async (unlocked) => {
      const lease = Lease.take(this.#place.locks, fileId);
      try {
        this.#place.sweepTemps(fileId);
        const { opened, rollback } = openMarked(this.#place, this.#seen, unlocked, fileId);
        requireSealing(unlocked, opened.key);
        if (rollback && !acceptOlder) throw refuseRolledBack(fileId, describeRollback(rollback));
        const file = new SealedFile(this.#place.path(fileId), fileId, unlocked.key);
        file.adopt(opened, countingDown(opened, onLines), rollback?.seen.generation);
        return { file, lease, opened, rollback };
      } catch (error) {
        lease.release();
        throw error;
      }
    });
  }

  /** Points `_autosave` at a session. Durable when it resolves. */
  async pointAutosave(fileId: string): Promise<void> {
    await this.#place.locked(async () => this.#place.pointAutosave(fileId));
  }

  /**
   * Points `_autosave` at a session like {@link pointAutosave}, but synchronously, for a final
   * save.
   */
  pointAutosaveSync(fileId: string): void {
    this.#place.pointAutosave(fileId);
  }

  /**
   * Updates the rollback mark of a file, unless another process holds the vault lock: a step
   * neither waits for its mark nor fails because of it.
   */
  markNow(file: SealedFile): void {
    try {
      using turn = this.#place.tryTurn();
      if (turn && this.#keys.current) this.#seen.mark(this.#keys.current, [file]);
    } catch (error) {
      if (!isCofferError(error)) throw error; // without the lock, the mark stays behind the file
    }
  }

  /**
   * Drops the caches; call before and after removing content that they may hold. Throws
   * `NOT_SAVED`.
   */
  dropCaches(): void {
    this.#place.dropCaches();
  }

  /**
   * Updates the rollback mark of a file, and releases its lease. Without the vault lock the lease
   * is still released, but its lock file stays.
   */
  async giveBack({ file, lease }: Writable): Promise<void> {
    try {
      await this.#place.locked(async () => {
        if (this.#keys.current) this.#seen.mark(this.#keys.current, [file]);
        lease.release();
      });
    } finally {
      file.release();
      lease.abandon();
    }
  }

  /**
   * Releases the lease like {@link giveBack}, but in a process that is about to end. If
   * another process holds the vault lock, the kernel releases the lease at exit, and the next
   * `create` sweeps the lock file. The mark then stays where it was: it may be behind its file, but
   * never ahead of it.
   */
  giveBackSync({ file, lease }: Writable): void {
    using turn = this.#place.tryTurn();
    if (!turn) return;
    if (this.#keys.current) this.#seen.mark(this.#keys.current, [file]);
    lease.release();
  }

  #begin(unlocked: Unlocked, first: FirstStep): { writable: Writable; step: Step } {
    requireSealing(unlocked, unlocked.key);
    makeDirectory(this.#place.sessions);
    this.#place.sweepTemps();
    sweepLeases(this.#place.locks);
    this.#seen.ensure(unlocked);
    const fileId = randomBytes(16).toString('hex');
    const lease = Lease.take(this.#place.locks, fileId);
    try {
      const file = new SealedFile(this.#place.path(fileId), fileId, unlocked.key);
      return { writable: { file, lease }, step: first(() => this.#listing.siblings(unlocked)) };
    } catch (error) {
      lease.release();
      throw error;
    }
  }
}
