import type { CofferError } from '../errors.ts';
import { dataDirectory } from '../files/paths.ts';
import type { Conflicting } from './conflicting.ts';
import { VaultDirectory } from './directory.ts';
import { handLines, type OnLines } from './file/lines.ts';
import { type OpenedFile, type OpenedTo, openAppended, openSealedFile } from './file/open.ts';
import { VaultKeys } from './keys/vault-keys.ts';
import { type Listed, Listing, type SeenReport } from './list/listing.ts';
import { openMarked } from './marks/open-marked.ts';
import type { Rollback } from './marks/rollback.ts';
import { Seen } from './marks/seen.ts';
import type { OnProgress } from './progress.ts';
import type { TextIndex } from './search/text-index.ts';
import type { VaultOptions } from './shapes.ts';
import { Writing } from './writing.ts';

export type { FileState } from '../files/replace/cache.ts';
export type { KeychainChoice, Keyring, KeyWait } from '../keyring/keyring.ts';
export type { Conflicting } from './conflicting.ts';
export type { AskPassphrase } from './keys/options.ts';
export type { Listed, SeenReport } from './list/listing.ts';
export type { FirstStep, VaultOptions, Writable } from './shapes.ts';

/** A directory of sealed files and its `vault.json`. Constructing it touches nothing on disk. */
export class Vault {
  /** The key of the vault. */
  readonly keys: VaultKeys;
  /** Opens sealed files for writing. */
  readonly writing: Writing;
  readonly #place: VaultDirectory;
  readonly #seen: Seen;
  readonly #listing: Listing;
  #seenReport: SeenReport | undefined;
  #texts: TextIndex | undefined;

  constructor(options: VaultOptions) {
    this.#place = new VaultDirectory(dataDirectory(options.env, options.directory));
    this.#seen = new Seen(this.#place);
    this.keys = new VaultKeys(this.#place, this.#seen, options);
    this.#listing = new Listing(this.#place, this.#seen);
    this.writing = new Writing(this.#place, this.#seen, this.keys.unlocking, this.#listing);
  }

  get directory(): string {
    return this.#place.root;
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
   * Opens and verifies a whole sealed file without a lease, and passes its lines to `onLines`. A
   * file that doesn't match its rollback mark is still read, and reported in `rollback`. Otherwise
   * throws as {@link resume}.
   */
  async read(fileId: string, onLines: OnLines): Promise<OpenedFile & { rollback: Rollback | undefined }> {
    const { opened, rollback } = openMarked(this.#place, this.#seen, await this.keys.unlocking.unlock(), fileId);
    handLines(opened, onLines);
    return { ...opened, rollback };
  }

  /** Reads the lines of a sealed file like {@link read}, but ignores the rollback marks. */
  async scan(fileId: string, onLines: OnLines): Promise<void> {
    const { key, retiring } = await this.keys.unlocking.unlock();
    handLines(openSealedFile(this.#place.path(fileId), fileId, key, retiring), onLines);
  }

  /**
   * Reads only what was appended to a file since it was opened. Returns undefined if the file is no
   * longer the one that was opened, with or without more at its end: then all of it must be read.
   */
  async readAppended(fileId: string, before: OpenedTo, onLines: OnLines): Promise<OpenedFile | undefined> {
    const { key, retiring } = await this.keys.unlocking.unlock();
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
    const { listed, seen } = await this.#listing.list(await this.keys.unlocking.unlock(), afresh);
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
    this.#texts ??= new TextIndex(this.#place, () => this.keys.unlocking.unlock());
    return this.#texts;
  }

  /** Waits for background work, as {@link TextIndex.settle} does. */
  async settle(onProgress?: OnProgress): Promise<void> {
    await this.#texts?.settle(onProgress);
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
    await deleteSealed(this.#place, this.#seen, this.keys.unlocking, fileId);
  }

  /**
   * Forgets files that something other than coffer removed: they are no longer reported. Throws
   * `KEY_*`, `VAULT_BUSY`.
   */
  async forget(fileIds: readonly string[]): Promise<void> {
    await this.keys.unlocking.locked(async (unlocked) => this.#seen.drop(unlocked, fileIds));
  }
}
