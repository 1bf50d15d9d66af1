import { randomBytes } from 'node:crypto';
import { VaultKey } from '../envelope/key.ts';
import { unpackSegment } from '../envelope/segment.ts';
import { CofferError, isCofferError } from '../errors.ts';
import { dataDirectory, makeDirectory } from '../files/paths.ts';
import { removeFile } from '../files/remove.ts';
import { VaultDirectory } from './directory.ts';
import { inspectDirectory, type VaultInspection } from './inspect.ts';
import { KeySlots } from './key-slots.ts';
import { type KeyOptions, type Unlocked, unlockVault } from './keys.ts';
import { Lease, sweepLeases } from './lease.ts';
import { type Listed, Listing } from './listing.ts';
import { type Head, type Opened, openSealedFile, readHeader } from './open.ts';
import { type RecoverAsks, type Recovered, recoverVault } from './recover.ts';
import { finishRotation, type OnProgress, type Rotated, type RotateOptions, rotate } from './rotate.ts';
import { SealedFile, type Step } from './sealed-file.ts';
import { readVaultFile } from './vault-file.ts';

export type { KeychainChoice, Keyring } from '../keyring/keyring.ts';
export type { AskPassphrase } from './keys.ts';
export type { Listed } from './listing.ts';

/** How long a keychain that gave no answer, or a person who declined, is not asked again by itself. */
const REFUSAL_MS = 30_000;

/** What a vault is opened with. */
export interface VaultOptions extends Omit<KeyOptions, 'directory' | 'sealedKeyIds' | 'newKey' | 'makeDirectory'> {
  /** Default: `COFFER_DATA_DIR`, else the platform's place for a program's data. */
  readonly directory?: string | undefined;
}

/** A sealed file open for writing, with the lease that makes it ours. */
export interface Writable {
  readonly file: SealedFile;
  readonly lease: Lease;
}

/** What a new sealed file begins with, decided while nobody else can add one. */
export type FirstStep = (siblings: () => Iterable<Head>) => Step;

/** A directory of sealed files and its `vault.json`. Making the object touches nothing. */
export class Vault {
  readonly #place: VaultDirectory;
  readonly #options: VaultOptions;
  #unlocked: Unlocked | undefined;
  #newKey: VaultKey | undefined;
  #unlocking: Promise<Unlocked> | undefined;
  #refused: { error: CofferError; at: number } | undefined;
  readonly #listing: Listing;

  constructor(options: VaultOptions) {
    this.#place = new VaultDirectory(dataDirectory(options.env, options.directory));
    this.#options = options;
    this.#listing = new Listing(this.#place);
  }

  get directory(): string {
    return this.#place.root;
  }

  /** Where the key is kept, once {@link unlock} has come by it. */
  get unlocked(): Unlocked | undefined {
    return this.#unlocked;
  }

  /** Why the key was not given a moment ago: what nobody asked for should not ask again, or wait for a deadline again. */
  get recentRefusal(): CofferError | undefined {
    return this.#refused && Date.now() - this.#refused.at < REFUSAL_MS ? this.#refused.error : undefined;
  }

  /** Comes by the vault key, and at first use makes it. Throws `KEY_*`, `PASSPHRASE_WRONG`, `NOT_SAVED`; ask again at will. */
  async unlock(): Promise<Unlocked> {
    if (this.#unlocked && !this.#isReplaced(this.#unlocked)) return this.#unlocked;
    this.#unlocking ??= unlockVault({
      ...this.#options,
      directory: this.directory,
      sealedKeyIds: () => this.#sealedKeyIds(),
      newKey: () => {
        this.#newKey ??= VaultKey.generate();
        return this.#newKey;
      },
      makeDirectory: () => makeDirectory(this.directory),
    });
    try {
      this.#unlocked = await this.#unlocking;
      return this.#unlocked;
    } catch (error) {
      if (isCofferError(error, 'KEY_TIMEOUT', 'KEY_DECLINED')) this.#refused = { error, at: Date.now() };
      throw error;
    } finally {
      this.#unlocking = undefined;
    }
  }

  /** The ways in to the vault besides the home of its key. */
  get keys(): KeySlots {
    return new KeySlots(this.#place, this.#options, () => this.unlock());
  }

  /** Brings the key of a copied vault to this machine. Throws as {@link recoverVault}. */
  async recover(asks: RecoverAsks): Promise<Recovered> {
    const recovered = await recoverVault(this.#place, { ...this.#options, ...asks });
    this.#unlocked = recovered.unlocked;
    return recovered;
  }

  /**
   * Makes a new sealed file with its first step. Whoever passes `adopt` gets the file and its lease as soon as
   * they are there, and keeps them even when the first save fails. Durable when it resolves.
   * Throws `NOT_SAVED`, `DURABILITY_UNKNOWN`, `VAULT_BUSY`, `KEY_*`.
   */
  async create(first: FirstStep, adopt?: (writable: Writable) => void): Promise<void> {
    await this.#withKeys(async (unlocked) => {
      const { writable, step } = this.#begin(unlocked, first);
      adopt?.(writable);
      try {
        await writable.file.save(step);
      } finally {
        if (!adopt) writable.lease.release();
      }
    });
  }

  /** The same synchronously, for a final save: needs the key to be at hand already. */
  createSync(first: FirstStep, adopt: (writable: Writable) => void): void {
    if (!this.#unlocked) throw new CofferError('NOT_SAVED', 'the vault key is not at hand');
    using turn = this.#place.tryTurn();
    if (!turn) throw new CofferError('NOT_SAVED', 'another process is changing the vault just now');
    if (this.#isReplaced(this.#unlocked))
      throw new CofferError('NOT_SAVED', 'the key of the vault was rotated meanwhile');
    const { writable, step } = this.#begin(this.#unlocked, first);
    adopt(writable);
    writable.file.saveSync(step);
  }

  /**
   * Opens a sealed file for writing: takes its lease, verifies all of it and hands its lines to `onLines`.
   * Writes nothing to the file. Throws `SESSION_IN_USE`, `SESSION_NOT_FOUND`, `UNAUTHENTIC`, `NEWER_VERSION`, `KEY_*`.
   */
  async resume(fileId: string, onLines: (lines: Buffer) => void): Promise<Writable & { opened: Opened }> {
    return this.#withKeys(async ({ key, retiring }) => {
      const lease = Lease.take(this.#place.locks, fileId);
      try {
        this.#place.sweepTemps(fileId);
        const opened = openSealedFile(this.#place.path(fileId), fileId, key, retiring);
        const file = new SealedFile(this.#place.path(fileId), fileId, key);
        file.adopt(opened, onLines);
        return { file, lease, opened };
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

  /** Opens and verifies a whole sealed file, without a lease, and hands its lines to `onLines`. Throws as {@link resume}. */
  async read(fileId: string, onLines: (lines: Buffer) => void): Promise<Opened> {
    const { key, retiring } = await this.unlock();
    const opened = openSealedFile(this.#place.path(fileId), fileId, key, retiring);
    for (const segment of opened.segments) onLines(unpackSegment(segment));
    return opened;
  }

  /** Lists the sealed files, unreadable ones with their reason. Asks for no key where there is nothing to list. */
  async list(): Promise<Listed[]> {
    if (this.#place.fileIds().length === 0) return [];
    return this.#listing.list(await this.unlock());
  }

  /** Looks at the directory without a key. Changes nothing. */
  inspect(): Promise<VaultInspection> {
    return inspectDirectory(this.directory);
  }

  /** The file that `_autosave` points at. */
  autosaveTarget(): string | undefined {
    return this.#place.autosaveTarget();
  }

  /** Removes a sealed file for good, and `_autosave` where it pointed there. Throws `SESSION_IN_USE`, `SESSION_NOT_FOUND`. */
  async delete(fileId: string): Promise<void> {
    await this.#place.locked(async () => {
      const lease = Lease.take(this.#place.locks, fileId);
      try {
        if (!this.#place.fileIds().includes(fileId)) {
          throw new CofferError('SESSION_NOT_FOUND', `there is no file ${fileId} in the vault`);
        }
        if (this.#place.autosaveTarget() === fileId) removeFile(this.#place.autosave);
        removeFile(this.#place.path(fileId));
      } finally {
        lease.release();
      }
    });
  }

  /** Gives the vault a new key and seals everything with it. Throws as {@link rotate}. */
  async rotate(options: RotateOptions): Promise<Rotated> {
    const unlocked = await this.unlock();
    return this.#rotated(unlocked, await rotate(this.#place, unlocked, { ...this.#options, ...options }));
  }

  /** Goes on with a rotation that was interrupted; undefined where there is none. Throws as {@link finishRotation}. */
  async finishRotation(onProgress?: OnProgress): Promise<Rotated | undefined> {
    const unlocked = await this.unlock();
    const rotated = await finishRotation(this.#place, unlocked, { ...this.#options, onProgress });
    return rotated && this.#rotated(unlocked, rotated);
  }

  /** Gives a lease back, and its lock file with it. */
  async giveBack(lease: Lease): Promise<void> {
    await this.#place.locked(async () => lease.release());
  }

  /** The same for a process that ends now. Where another has its turn, the kernel ends the lease, and the next `create` sweeps. */
  giveBackSync(lease: Lease): void {
    using turn = this.#place.tryTurn();
    if (turn) lease.release();
  }

  #rotated({ backend, provider }: Unlocked, rotated: Rotated): Rotated {
    this.#unlocked = { backend, provider, how: 'opened', ...rotated.keys };
    return rotated;
  }

  /** Runs `work` under `locks/vault` with the keys that are on record then: a rotation may have come in between. */
  async #withKeys<T>(work: (unlocked: Unlocked) => Promise<T>): Promise<T> {
    for (;;) {
      const unlocked = await this.unlock();
      const done = await this.#place.locked(async () =>
        this.#isReplaced(unlocked) ? undefined : { value: await work(unlocked) },
      );
      if (done) return done.value;
    }
  }

  /** Tells whether vault.json names other keys by now. While it can't be read, what was opened goes on being used. */
  #isReplaced({ key, retiring }: Unlocked): boolean {
    try {
      const file = readVaultFile(this.directory);
      return file !== undefined && (file.key !== key.id || (retiring !== undefined && file.retiring !== retiring.id));
    } catch (error) {
      if (!isCofferError(error)) throw error;
      return false;
    }
  }

  #begin(unlocked: Unlocked, first: FirstStep): { writable: Writable; step: Step } {
    makeDirectory(this.#place.sessions);
    this.#place.sweepTemps();
    sweepLeases(this.#place.locks);
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

  #sealedKeyIds(): string[] | undefined {
    const fileIds = this.#place.fileIds();
    if (fileIds.length === 0) return undefined;
    const keyIds = new Set<string>();
    for (const fileId of fileIds) {
      try {
        keyIds.add(readHeader(this.#place.path(fileId), fileId).keyId);
      } catch (error) {
        if (!(error instanceof CofferError)) throw error; // a damaged header names no key; the file itself is listed as unreadable
      }
    }
    return [...keyIds];
  }
}
