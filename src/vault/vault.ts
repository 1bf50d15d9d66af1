import { randomBytes } from 'node:crypto';
import { CofferError, isCofferError } from '../errors.ts';
import { dataDirectory, makeDirectory } from '../files/paths.ts';
import type { Conflicting } from './conflicting.ts';
import { VaultDirectory } from './directory.ts';
import { countingDown, handLines, type OnLines } from './file/lines.ts';
import { type OpenedFile, type OpenedTo, openAppended, openSealedFile } from './file/open.ts';
import { SealedFile, type Step } from './file/sealed-file.ts';
import type { VaultInspection } from './inspect.ts';
import type { HomeOptions } from './keys/key-home.ts';
import { requireSealing, type Unlocked } from './keys/options.ts';
import { VaultRecord } from './keys/record/vault-record.ts';
import { Rotation } from './keys/rotation/rotation.ts';
import { KeySlots } from './keys/slots/key-slots.ts';
import { Unlocking } from './keys/unlocking.ts';
import { Lease, sweepLeases } from './lease.ts';
import { type Listed, Listing, type SeenReport } from './list/listing.ts';
import { describeRollback, type Rollback, refuseRolledBack, rollbackOf } from './marks/rollback.ts';
import { Seen } from './marks/seen.ts';
import type { OnProgress } from './progress.ts';
import type { TextIndex } from './search/text-index.ts';
import type { FirstStep, VaultOptions, Writable } from './shapes.ts';

export type { FileState } from '../files/cache.ts';
export type { KeychainChoice, Keyring, KeyWait } from '../keyring/keyring.ts';
export type { Conflicting } from './conflicting.ts';
export type { AskPassphrase } from './keys/options.ts';
export type { Listed, SeenReport } from './list/listing.ts';
export type { FirstStep, VaultOptions, Writable } from './shapes.ts';

/** A directory of sealed files and its `vault.json`. Constructing it touches nothing on disk. */
export class Vault {
  /** Obtains the vault key, and reports waits for it. */
  readonly unlocking: Unlocking;
  readonly #place: VaultDirectory;
  readonly #options: VaultOptions;
  readonly #seen: Seen;
  readonly #listing: Listing;
  #seenReport: SeenReport | undefined;
  #texts: TextIndex | undefined;

  constructor(options: VaultOptions) {
    this.#place = new VaultDirectory(dataDirectory(options.env, options.directory));
    this.#options = options;
    this.unlocking = new Unlocking(this.#place, options);
    this.#seen = new Seen(this.#place);
    this.#listing = new Listing(this.#place, this.#seen);
  }

  get directory(): string {
    return this.#place.root;
  }

  /** The places to look for the key, and the watcher of how long that takes. */
  get #home(): HomeOptions {
    return { ...this.#options, waits: this.unlocking.waits };
  }

  /** State of the rollback marks, as found by the last {@link list}. */
  get seen(): SeenReport | undefined {
    return this.#seenReport;
  }

  /**
   * Why the last attempt to write rollback marks failed, if it did; the saves that they mark are
   * durable regardless.
   */
  get unmarked(): CofferError | undefined {
    return this.#seen.trouble;
  }

  /**
   * Unlocks the vault, creating the key on first use. Throws `KEY_*`, `PASSPHRASE_WRONG`,
   * `NOT_SAVED`; may be called again after any of them.
   */
  unlock(): Promise<Unlocked> {
    return this.unlocking.unlock();
  }

  /** Passphrase and recovery-code slots. */
  get keys(): KeySlots {
    return new KeySlots(this.#place, this.#seen, this.#home, () => this.unlock());
  }

  /** Starts a rotation to a new vault key, or continues an interrupted one. */
  get rotation(): Rotation {
    return new Rotation(this.#place, this.#seen, this.unlocking, this.#home);
  }

  /** Remedies for a vault.json that isn't trusted, or whose key isn't on this machine. */
  get record(): VaultRecord {
    return new VaultRecord(this.#place, this.#seen, this.unlocking);
  }

  /**
   * Creates a sealed file with its first step. `adopt` gets the file and its lease as soon as they
   * exist, and owns them even if the first save fails. Durable when it resolves. Throws
   * `NOT_SAVED`, `DURABILITY_UNKNOWN`, `VAULT_BUSY`, `KEY_*`.
   */
  async create(first: FirstStep, adopt: (writable: Writable) => void): Promise<void> {
    await this.unlocking.locked(async (unlocked) => {
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
    await this.unlocking.locked(async (unlocked) => {
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
    if (!this.unlocking.current) throw new CofferError('NOT_SAVED', 'the vault is not unlocked');
    using turn = this.#place.tryTurn();
    if (!turn) throw new CofferError('NOT_SAVED', 'another process is changing the vault');
    if (this.unlocking.isReplaced(this.unlocking.current))
      throw new CofferError('NOT_SAVED', 'the vault key was rotated in the meantime');
    const { writable, step } = this.#begin(this.unlocking.current, first);
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
    return this.unlocking.locked(async (unlocked) => {
      const lease = Lease.take(this.#place.locks, fileId);
      try {
        this.#place.sweepTemps(fileId);
        const { opened, rollback } = this.#openFile(unlocked, fileId);
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
   * Opens and verifies a whole sealed file without a lease, and passes its lines to `onLines`. A
   * file that doesn't match its rollback mark is still read, and reported in `rollback`. Otherwise
   * throws as {@link resume}.
   */
  async read(fileId: string, onLines: OnLines): Promise<OpenedFile & { rollback: Rollback | undefined }> {
    const { opened, rollback } = this.#openFile(await this.unlock(), fileId);
    handLines(opened, onLines);
    return { ...opened, rollback };
  }

  /** Reads the lines of a sealed file like {@link read}, but ignores the rollback marks. */
  async scan(fileId: string, onLines: OnLines): Promise<void> {
    const { key, retiring } = await this.unlock();
    handLines(openSealedFile(this.#place.path(fileId), fileId, key, retiring), onLines);
  }

  /**
   * Reads only what was appended to a file since it was opened. Returns undefined if the file is no
   * longer the one that was opened, with or without more at its end: then all of it must be read.
   */
  async readAppended(fileId: string, before: OpenedTo, onLines: OnLines): Promise<OpenedFile | undefined> {
    const { key, retiring } = await this.unlock();
    const opened = openAppended(this.#place.path(fileId), fileId, before, key, retiring);
    if (opened) handLines(opened, onLines);
    return opened;
  }

  /**
   * Lists the sealed files, unreadable ones with the reason. Doesn't ask for the key if the vault
   * has no files and never had any. With `afresh`, opens every file, ignoring caches, and writes
   * nothing.
   */
  async list(afresh = false): Promise<Listed[]> {
    this.#seenReport = undefined;
    if (this.#place.isEmpty) return [];
    const { listed, seen } = await this.#listing.list(await this.unlock(), afresh);
    this.#seenReport = seen;
    return listed;
  }

  /** The sealed files under other names that the last {@link list} found. */
  get conflicting(): readonly Conflicting[] {
    return this.#place.conflicting();
  }

  /** Returns the text search index. Its code is loaded on use. */
  async texts(): Promise<TextIndex> {
    const { TextIndex } = await import('./search/text-index.ts');
    this.#texts ??= new TextIndex(this.#place, () => this.unlock());
    return this.#texts;
  }

  /** Waits for background work, as {@link TextIndex.settle} does. */
  async settle(onProgress?: OnProgress): Promise<void> {
    await this.#texts?.settle(onProgress);
  }

  /** Inspects the directory without the key. Changes nothing. */
  async inspect(): Promise<VaultInspection> {
    const { inspectDirectory } = await import('./inspect.ts');
    return inspectDirectory(this.directory);
  }

  /** Returns the file id that `_autosave` points at. */
  autosaveTarget(): string | undefined {
    return this.#place.autosaveTarget();
  }

  /**
   * Deletes a sealed file for good, and `_autosave` if it points there. Throws `SESSION_IN_USE`,
   * `SESSION_NOT_FOUND`, `FAILED`, `NOT_SAVED`, `KEY_*`.
   */
  async delete(fileId: string): Promise<void> {
    const { deleteSealed } = await import('./removal.ts');
    await deleteSealed(this.#place, this.#seen, this.unlocking, fileId);
  }

  /**
   * Updates the rollback mark of a file, unless another process holds the vault lock: a step
   * neither waits for its mark nor fails because of it.
   */
  markNow(file: SealedFile): void {
    try {
      using turn = this.#place.tryTurn();
      if (turn && this.unlocking.current) this.#seen.mark(this.unlocking.current, [file]);
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
   * Forgets files that something other than coffer removed: they are no longer reported. Throws
   * `KEY_*`, `VAULT_BUSY`.
   */
  async forget(fileIds: readonly string[]): Promise<void> {
    await this.unlocking.locked(async (unlocked) => this.#seen.drop(unlocked, fileIds));
  }

  /**
   * Updates the rollback mark of a file, and releases its lease. Without the vault lock the lease
   * is still released, but its lock file stays.
   */
  async giveBack({ file, lease }: Writable): Promise<void> {
    try {
      await this.#place.locked(async () => {
        if (this.unlocking.current) this.#seen.mark(this.unlocking.current, [file]);
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
    if (this.unlocking.current) this.#seen.mark(this.unlocking.current, [file]);
    lease.release();
  }

  /**
   * Reads the mark before the file: a save that another process makes in between must not look
   * older than its mark.
   */
  #openFile(unlocked: Unlocked, fileId: string): { opened: OpenedFile; rollback: Rollback | undefined } {
    const mark = this.#seen.read(unlocked).lines.find(fileId);
    const opened = openSealedFile(this.#place.path(fileId), fileId, unlocked.key, unlocked.retiring);
    return { opened, rollback: rollbackOf(mark, opened) };
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
