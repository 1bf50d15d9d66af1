import { randomBytes } from 'node:crypto';
import { CofferError, isCofferError } from '../errors.ts';
import { dataDirectory, makeDirectory } from '../files/paths.ts';
import type { Conflicting } from './conflicting.ts';
import { VaultDirectory } from './directory.ts';
import { countingDown, handLines, type OnLines } from './file/lines.ts';
import { type Opened, type OpenedTo, openAppended, openSealedFile } from './file/open.ts';
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
import type { OnProgress, TextIndex } from './search/text-index.ts';
import type { FirstStep, VaultOptions, Writable } from './shapes.ts';

export type { FileState } from '../files/cache.ts';
export type { KeychainChoice, Keyring, Wait } from '../keyring/keyring.ts';
export type { Conflicting } from './conflicting.ts';
export type { AskPassphrase } from './keys/options.ts';
export type { Listed, SeenReport } from './list/listing.ts';
export type { FirstStep, VaultOptions, Writable } from './shapes.ts';

/** A directory of sealed files and its `vault.json`. Making the object touches nothing. */
export class Vault {
  /** How the vault key is obtained and waited for. */
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

  /** Where the key is looked for, and what watches how long that takes. */
  get #home(): HomeOptions {
    return { ...this.#options, waits: this.unlocking.waits };
  }

  /** What the last {@link list} found of the marks against rollback. */
  get seen(): SeenReport | undefined {
    return this.#seenReport;
  }

  /** Why marks against rollback could not be written when that was last tried; what they were of is saved all the same. */
  get unmarked(): CofferError | undefined {
    return this.#seen.trouble;
  }

  /** Unlocks the vault, creating the key on first use. Throws `KEY_*`, `PASSPHRASE_WRONG`, `NOT_SAVED`; ask again at will. */
  unlock(): Promise<Unlocked> {
    return this.unlocking.unlock();
  }

  /** The ways in to the vault besides the home of its key. */
  get keys(): KeySlots {
    return new KeySlots(this.#place, this.#seen, this.#home, () => this.unlock());
  }

  /** Gives the vault a new key, and goes on where that was interrupted. */
  get rotation(): Rotation {
    return new Rotation(this.#place, this.#seen, this.unlocking, this.#home);
  }

  /** What can be done about a vault.json that is not believed, or whose key is not here. */
  get record(): VaultRecord {
    return new VaultRecord(this.#place, this.#seen, this.unlocking);
  }

  /**
   * Makes a new sealed file with its first step. Whoever passes `adopt` gets the file and its lease as soon as
   * they are there, and keeps them even when the first save fails. Durable when it resolves.
   * Throws `NOT_SAVED`, `DURABILITY_UNKNOWN`, `VAULT_BUSY`, `KEY_*`.
   */
  async create(first: FirstStep, adopt: (writable: Writable) => void): Promise<void> {
    await this.unlocking.locked(async (unlocked) => {
      const { writable, step } = this.#begin(unlocked, first);
      adopt(writable);
      await writable.file.save(step);
    });
  }

  /** The same of a file that stays as it is: it is marked at once, and with it the file `beside` it, which it is taken of. */
  async snapshot(first: FirstStep, beside?: SealedFile): Promise<void> {
    await this.unlocking.locked(async (unlocked) => {
      const { writable, step } = this.#begin(unlocked, first);
      try {
        await writable.file.save(step);
        this.#seen.mark(unlocked, [writable.file, beside]);
      } finally {
        writable.lease.release();
      }
    });
  }

  /** The same synchronously, for a final save: needs the key to be at hand already. */
  createSync(first: FirstStep, adopt: (writable: Writable) => void): void {
    if (!this.unlocking.current) throw new CofferError('NOT_SAVED', 'the vault key is not at hand');
    using turn = this.#place.tryTurn();
    if (!turn) throw new CofferError('NOT_SAVED', 'another process is changing the vault just now');
    if (this.unlocking.isReplaced(this.unlocking.current))
      throw new CofferError('NOT_SAVED', 'the key of the vault was rotated meanwhile');
    const { writable, step } = this.#begin(this.unlocking.current, first);
    adopt(writable);
    writable.file.saveSync(step);
  }

  /**
   * Opens a sealed file for writing: takes its lease, verifies all of it and hands its lines to `onLines`.
   * Writes nothing to the file. Throws `SESSION_IN_USE`, `SESSION_NOT_FOUND`, `UNAUTHENTIC`, `NEWER_VERSION`, `KEY_*`, and
   * `ROLLED_BACK` where it is not as it was seen, unless `acceptOlder`.
   */
  async resume(
    fileId: string,
    onLines: OnLines,
    acceptOlder = false,
  ): Promise<Writable & { opened: Opened; rollback: Rollback | undefined }> {
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

  /** The same synchronously, for a final save. */
  pointAutosaveSync(fileId: string): void {
    this.#place.pointAutosave(fileId);
  }

  /**
   * Opens and verifies a whole sealed file, without a lease, and hands its lines to `onLines`. One that is not as it was seen is
   * read all the same, and `rollback` says so. Throws as {@link resume} else.
   */
  async read(fileId: string, onLines: OnLines): Promise<Opened & { rollback: Rollback | undefined }> {
    const { opened, rollback } = this.#openFile(await this.unlock(), fileId);
    handLines(opened, onLines);
    return { ...opened, rollback };
  }

  /** The same of its lines alone, whatever was seen of the file before. */
  async scan(fileId: string, onLines: OnLines): Promise<void> {
    const { key, retiring } = await this.unlock();
    handLines(openSealedFile(this.#place.path(fileId), fileId, key, retiring), onLines);
  }

  /**
   * The same of only what was appended to a file since it was opened; undefined where it is not that file any more, grown or as it was:
   * then all of it is to be read.
   */
  async readAppended(fileId: string, before: OpenedTo, onLines: OnLines): Promise<Opened | undefined> {
    const { key, retiring } = await this.unlock();
    const opened = openAppended(this.#place.path(fileId), fileId, before, key, retiring);
    if (opened) handLines(opened, onLines);
    return opened;
  }

  /**
   * Lists the sealed files, unreadable ones with their reason. Asks for no key where nothing is there and nothing was. `afresh`: every
   * file is opened, whatever is known of it, and nothing is written.
   */
  async list(afresh = false): Promise<Listed[]> {
    this.#seenReport = undefined;
    if (this.#place.isEmpty) return [];
    const { listed, seen } = await this.#listing.list(await this.unlock(), afresh);
    this.#seenReport = seen;
    return listed;
  }

  /** The sealed files under other names that the last {@link list} met. */
  get conflicting(): readonly Conflicting[] {
    return this.#place.conflicting();
  }

  /** The index of what is said in the files, which is loaded for whoever searches alone. */
  async texts(): Promise<TextIndex> {
    const { TextIndex } = await import('./search/text-index.ts');
    this.#texts ??= new TextIndex(this.#place, () => this.unlock());
    return this.#texts;
  }

  /** Waits for what is being done in the background, as {@link TextIndex.settle} does. */
  async settle(onProgress?: OnProgress): Promise<void> {
    await this.#texts?.settle(onProgress);
  }

  /** Looks at the directory without a key. Changes nothing. */
  async inspect(): Promise<VaultInspection> {
    const { inspectDirectory } = await import('./inspect.ts');
    return inspectDirectory(this.directory);
  }

  /** The file that `_autosave` points at. */
  autosaveTarget(): string | undefined {
    return this.#place.autosaveTarget();
  }

  /** Removes a sealed file for good, and `_autosave` where it pointed there. Throws `SESSION_IN_USE`, `SESSION_NOT_FOUND`. */
  async delete(fileId: string): Promise<void> {
    const { deleteSealed } = await import('./removal.ts');
    await deleteSealed(this.#place, this.#seen, this.unlocking, fileId);
  }

  /** Marks how far a file has come, unless another process has its turn: a step does not wait for that, nor fail for it. */
  markNow(file: SealedFile): void {
    try {
      using turn = this.#place.tryTurn();
      if (turn && this.unlocking.current) this.#seen.mark(this.unlocking.current, [file]);
    } catch (error) {
      if (!isCofferError(error)) throw error; // a turn that can't be had leaves the mark where it was, behind the file
    }
  }

  /** Throws the caches away, before and behind the removal of something that they have. Throws `NOT_SAVED`. */
  dropCaches(): void {
    this.#place.dropCaches();
  }

  /** Takes note that files are gone which something else removed: they are reported no more. Throws `KEY_*`, `VAULT_BUSY`. */
  async forget(fileIds: readonly string[]): Promise<void> {
    await this.unlocking.locked(async (unlocked) => this.#seen.drop(unlocked, fileIds));
  }

  /** Marks how far a file has come and gives its lease back, and its lock file with it, which stays where there is no turn. */
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
   * The same for a process that ends now. Where another has its turn, the kernel ends the lease, and the next `create` sweeps;
   * the mark stays where it was: it may be behind its file, only never before it.
   */
  giveBackSync({ file, lease }: Writable): void {
    using turn = this.#place.tryTurn();
    if (!turn) return;
    if (this.unlocking.current) this.#seen.mark(this.unlocking.current, [file]);
    lease.release();
  }

  /** The mark is read before the file: a save that another process makes in between must not look older than its mark. */
  #openFile(unlocked: Unlocked, fileId: string): { opened: Opened; rollback: Rollback | undefined } {
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
