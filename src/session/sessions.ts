import { randomUUID } from 'node:crypto';
import { CofferError } from '../errors.ts';
import type { VaultInspection } from '../vault/inspect.ts';
import type { KeySlots } from '../vault/key-slots.ts';
import type { RecoverAsks, Recovered } from '../vault/recover.ts';
import type { Rewrapping } from '../vault/rewrap.ts';
import { describeRollback, refuseRolledBack } from '../vault/rollback.ts';
import type { OnProgress, Rotated } from '../vault/rotate.ts';
import type { SeenReport, Vault } from '../vault/vault.ts';
import { branchOf } from './branch.ts';
import { type Event, mergeEvents, type Parent } from './event.ts';
import { describeTorn, type Row, toRows } from './row.ts';
import type { Salvage } from './salvage.ts';
import { selectRow } from './select.ts';
import { Session } from './session.ts';
import { emptyState, fold, type State } from './state.ts';
import { decodeSummary } from './summary.ts';

export type { SeenReport } from '../vault/vault.ts';

/** A session read without a lease: every byte of it verified. Whether it is as coffer saw it last, `row.rolledBack` says. */
export interface Recorded {
  readonly row: Row;
  readonly events: readonly Event[];
  readonly state: State;
}

/** What a new session begins with. The model is named `provider/model`. */
export interface Beginning {
  readonly directory: string;
  readonly model: string;
}

/** What `coffer doctor` shows of a vault. */
export interface Inspection extends VaultInspection {
  readonly key: KeyState;
  /** Sessions and snapshots, unreadable ones with their reason. Empty where the key can't be had. */
  readonly rows: readonly Row[];
  /** The marks against rollback; undefined where there are none yet, or the key can't be had. */
  readonly seen: SeenReport | undefined;
}

/** Where the key is: at hand, not asked for yet, or not to be had and why. */
export type KeyState =
  | {
      readonly state: 'ready';
      readonly keyId: string;
      readonly backend: string;
      readonly provider: string;
      readonly how: 'opened' | 'created' | 'rebuilt';
    }
  | { readonly state: 'unavailable'; readonly error: CofferError }
  | { readonly state: 'unasked' };

/** The sessions of one vault. Opened by {@link openVault}; making it touches nothing on disk. */
export class Sessions implements AsyncDisposable {
  readonly #vault: Vault;
  readonly #autosave: boolean;
  readonly #open = new Set<Session>();
  #refusal: CofferError | undefined;

  constructor(vault: Vault, options: { autosave: boolean }) {
    this.#vault = vault;
    this.#autosave = options.autosave;
  }

  /** The vault's directory. */
  get directory(): string {
    return this.#vault.directory;
  }

  /** What is known of the key without asking for it. */
  get key(): KeyState {
    const unlocked = this.#vault.unlocked;
    if (unlocked) {
      const { key, backend, provider, how } = unlocked;
      return { state: 'ready', keyId: key.id, backend, provider, how };
    }
    return this.#refusal ? { state: 'unavailable', error: this.#refusal } : { state: 'unasked' };
  }

  /** What the last {@link list} found of the marks against rollback: whether they can be read, and which files are gone. */
  get seen(): SeenReport | undefined {
    return this.#vault.seen;
  }

  /** Why marks against rollback could not be written; what they were to guard is saved all the same. */
  get unmarked(): CofferError | undefined {
    return this.#vault.unmarked;
  }

  /** Comes by the vault key, and at first use makes it. Throws `KEY_*`, `PASSPHRASE_WRONG`; ask again at will. */
  async unlock(): Promise<void> {
    try {
      await this.#vault.unlock();
    } catch (error) {
      if (error instanceof CofferError) this.#refusal = error;
      throw error;
    }
  }

  /** The ways in to the vault besides the home of its key: passphrases and recovery codes. */
  get slots(): KeySlots {
    return this.#vault.keys;
  }

  /**
   * Brings the key of a vault that was copied here to this machine, by a recovery code or a passphrase. Changes nothing where the
   * key is at hand. Throws `RECOVERY_CODE_WRONG`, `PASSPHRASE_WRONG`, `KEY_*`, `FAILED` where there is no vault, `NOT_SAVED`.
   */
  recover(asks: RecoverAsks): Promise<Recovered> {
    return this.#vault.recover(asks);
  }

  /** Begins a conversation. Writes nothing until its first step. */
  begin(beginning: Beginning): Session {
    return this.#begin(beginning, []);
  }

  /** Lists sessions and snapshots. Throws `KEY_*` where there is something to list and no key. */
  async list(): Promise<Row[]> {
    return toRows(await this.#vault.list(), this.#vault.autosaveTarget());
  }

  /**
   * Finds what `which` means; numbers are those of `shown`, the list last seen, where one is given.
   * Throws `SESSION_NOT_FOUND`, `SESSION_AMBIGUOUS` with the candidates.
   */
  async find(which: string, shown?: readonly Row[]): Promise<Row> {
    return selectRow(which, await this.list(), shown);
  }

  /** Reads a whole session without a lease, verified. Throws `UNAUTHENTIC`, `NEWER_VERSION`, `KEY_*`, `SESSION_NOT_FOUND`. */
  async read(row: Row): Promise<Recorded> {
    const { decodeEvents } = await import('./event-schema.ts');
    const events: Event[] = [];
    const { rollback } = await this.#vault.read(row.fileId, (lines) => mergeEvents(events, decodeEvents(lines)));
    const rolledBack = rollback && describeRollback(rollback);
    return { row: { ...row, rolledBack }, events, state: fold(emptyState, events) };
  }

  /**
   * Goes on with a session in its own file; of a snapshot begins a new session whose parent it is.
   * Throws `SESSION_IN_USE` naming the holder, what {@link read} throws, and `ROLLED_BACK` where it is not as coffer saw it last,
   * unless `acceptOlder`: the next save makes what is there the newest then.
   */
  async resume(row: Row, { acceptOlder = false }: { acceptOlder?: boolean } = {}): Promise<Session> {
    if (row.kind === 'snapshot') return this.#resumeSnapshot(row, acceptOlder);
    const { decodeEvents } = await import('./event-schema.ts');
    const events: Event[] = [];
    const { file, lease, opened } = await this.#vault.resume(
      row.fileId,
      (lines) => mergeEvents(events, decodeEvents(lines)),
      acceptOlder,
    );
    const lost = opened.torn && describeTorn(opened.torn);
    const id = decodeSummary(opened.summary).id;
    const written = { file, lease, id, lost, pointed: await this.#point(row.fileId) };
    return this.#track(new Session({ vault: this.#vault, autosave: this.#autosave, events, written }));
  }

  /**
   * Brings back what verifies of a damaged file as a new session. Throws what {@link read} throws, and
   * `FAILED` where nothing is damaged. `which` may be a path, too, and a name in quarantine.
   */
  async salvage(which: string): Promise<Salvage> {
    const { salvageSession } = await import('./salvage.ts');
    return salvageSession(this.#vault, which, (wanted) => this.find(wanted));
  }

  /** Looks at the vault as `coffer doctor` shows it. Changes nothing; asks for the key where there are files to look into. */
  async inspect(): Promise<Inspection> {
    const found = await this.#vault.inspect();
    const rows = await this.list().catch((error: unknown) => {
      if (!(error instanceof CofferError)) throw error;
      this.#refusal = error;
      return [];
    });
    return { ...found, key: this.key, rows, seen: this.seen };
  }

  /** Removes a session or snapshot for good. Throws `SESSION_IN_USE`, `SESSION_NOT_FOUND`. */
  async delete(row: Row): Promise<void> {
    await this.#vault.delete(row.fileId);
  }

  /**
   * Gives the vault a new key, seals everything with it and drops the old one; with `remove`, these rows are deleted first.
   * Throws `SESSION_IN_USE` while any session is open, here or elsewhere, `KEY_*`, `NEWER_VERSION`, `VAULT_BUSY`, `NOT_SAVED`.
   */
  async rotateKey(
    asked: Rewrapping,
    options: { remove?: readonly Row[]; onProgress?: OnProgress } = {},
  ): Promise<Rotated> {
    const remove = options.remove?.map(({ fileId }) => fileId);
    return this.#vault.rotate({ asked, remove, onProgress: options.onProgress });
  }

  /** Goes on with a rotation of the key that was interrupted; undefined where there is none. Throws as {@link rotateKey}. */
  async finishRotation(onProgress?: OnProgress): Promise<Rotated | undefined> {
    return this.#vault.finishRotation(onProgress);
  }

  /** Takes note that files are gone which {@link seen} reports as removed: it reports them no more. Throws `KEY_*`, `VAULT_BUSY`. */
  async forget(removed: readonly string[]): Promise<void> {
    await this.#vault.forget(removed);
  }

  /** Closes every session still open. Throws what the first failing close threw. */
  async close(): Promise<void> {
    const open = [...this.#open];
    this.#open.clear();
    for (const session of open) await session.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Tells whether `_autosave` could be pointed at a session; if not, its first save tries again, and tells. */
  async #point(fileId: string): Promise<boolean> {
    try {
      await this.#vault.pointAutosave(fileId);
      return true;
    } catch (error) {
      if (!(error instanceof CofferError)) throw error;
      return false;
    }
  }

  async #resumeSnapshot(row: Row, acceptOlder: boolean): Promise<Session> {
    const { events, state, row: now } = await this.read(row);
    if (now.rolledBack !== undefined && !acceptOlder) throw refuseRolledBack(row.fileId, now.rolledBack);
    const parent = { uuid: row.uuid, id: row.id, reason: 'resumed from a snapshot' };
    return this.#begin({ directory: state.directory, model: state.model }, [...events], parent);
  }

  #begin(beginning: Beginning, events: Event[], parent?: Parent): Session {
    let id = events.at(-1)?.id ?? 0;
    const ts = Date.now();
    const branch = branchOf(beginning.directory);
    events.push({ id: ++id, ts, type: 'begin', uuid: randomUUID(), directory: beginning.directory, branch, parent });
    events.push({ id: ++id, ts, type: 'model', model: beginning.model });
    events.push({ id: ++id, ts, type: 'status', status: 'running' });
    return this.#track(new Session({ vault: this.#vault, autosave: this.#autosave, events }));
  }

  #track(session: Session): Session {
    this.#open.add(session);
    return session;
  }
}
