import type { CofferError } from '../errors.ts';
import type { OnProgress } from '../vault/progress.ts';
import type { SeenReport, Vault } from '../vault/vault.ts';
import type { Salvage } from './change/salvage.ts';
import type { Imported } from './import/import.ts';
import type { Conflict } from './list/conflicts.ts';
import type { Row } from './list/row.ts';
import type { Inspection } from './shapes.ts';

/** Keeps a vault in order: inspection, conflicting copies, damaged files, imports, rollback marks. */
export class Upkeep {
  readonly #vault: Vault;
  readonly #find: (which: string) => Promise<Row>;

  /** @internal */
  constructor(vault: Vault, find: (which: string) => Promise<Row>) {
    this.#vault = vault;
    this.#find = find;
  }

  /**
   * Rollback marks as of the last {@link Sessions.list}: whether they are readable, and which files
   * are missing. Undefined before the first list, and if the vault is empty.
   */
  get seen(): SeenReport | undefined {
    return this.#vault.seen;
  }

  /**
   * Why rollback marks could not be written on the last attempt; undefined if they were. The
   * sessions themselves are saved.
   */
  get unmarked(): CofferError | undefined {
    return this.#vault.unmarked;
  }

  /**
   * Drops the rollback marks of these file ids, so that {@link seen} no longer reports them as
   * missing. Throws `KEY_*`, `VAULT_BUSY`.
   */
  forget(removed: readonly string[]): Promise<void> {
    return this.#vault.forget(removed);
  }

  /**
   * Inspects the vault for `coffer doctor`, without changing anything. Opens every file, and asks
   * for the key if there are any.
   */
  async inspect(): Promise<Inspection> {
    const { inspectVault } = await import('./list/inspection.ts');
    return { ...(await inspectVault(this.#vault)), key: this.#vault.keys.status, seen: this.seen };
  }

  /**
   * Reads the conflicting copies that the last {@link Sessions.list} found, such as those of a sync
   * program, and compares each with its row. Throws `KEY_*`.
   */
  async conflicts(rows: readonly Row[]): Promise<Conflict[]> {
    return this.#vault.conflicting.length === 0
      ? []
      : (await import('./list/conflicts.ts')).readConflicts(this.#vault, rows);
  }

  /**
   * Salvages a damaged file: saves every event that still verifies as a new session. The damaged
   * file is unchanged. Durable when it resolves. `which` is as for {@link Sessions.find}, or a path,
   * or a name in quarantine. Throws what {@link Sessions.find} and {@link Sessions.read} throw,
   * `NOT_SAVED`, and `FAILED` if the file isn't damaged.
   */
  async salvage(which: string): Promise<Salvage> {
    const { salvageSession } = await import('./change/salvage.ts');
    return salvageSession(this.#vault, which, this.#find);
  }

  /**
   * Imports a session exported as JSONL as a new session, in one save. `from` describes its origin,
   * such as a file name. Durable when it resolves. Throws `IMPORT_INVALID` naming the line,
   * `NEWER_VERSION`, `TOO_LARGE`, `KEY_*`, `NOT_SAVED`, `VAULT_BUSY`.
   */
  async import(text: string, from: string): Promise<Imported> {
    const { importSession, readImport } = await import('./import/import.ts');
    return importSession(this.#vault, readImport(text), from);
  }

  /**
   * Waits for background indexing. With `onProgress`, which is called with the number of sessions
   * indexed and in total, it finishes however long that takes; otherwise it stops after a few
   * seconds.
   */
  settle(onProgress?: OnProgress): Promise<void> {
    return this.#vault.settle(onProgress);
  }
}
