import { CofferError, isCofferError } from '../errors.ts';
import type { VaultRecord } from '../vault/keys/record/vault-record.ts';
import type { RecoverAsks, Recovered } from '../vault/keys/recover.ts';
import type { OnProgress, Rotated } from '../vault/keys/rotation/rotate.ts';
import type { KeySlots } from '../vault/keys/slots/key-slots.ts';
import type { Rewrapping } from '../vault/keys/slots/rewrap.ts';
import { describeRollback, refuseRolledBack } from '../vault/marks/rollback.ts';
import type { TextIndex } from '../vault/search/text-index.ts';
import type { SeenReport, Vault } from '../vault/vault.ts';
import { eventsOf } from './beginning.ts';
import type { Salvage } from './change/salvage.ts';
import { type Grown, gatherEvents, readOn } from './event/decoding.ts';
import type { Imported } from './import/import.ts';
import type { Conflict } from './list/conflicts.ts';
import { describeTorn, type Row, toRows } from './list/row.ts';
import { selectRow } from './list/select.ts';
import { decodeSummary } from './list/summary.ts';
import { revocations, withoutGrants } from './permissions.ts';
import { Session } from './session.ts';
import type { Beginning, Inspection, KeyState, Recorded } from './shapes.ts';
import { emptyState, fold, type State } from './state.ts';

/** The sessions of one vault. Opened by {@link openVault}; making it touches nothing on disk. */
export class Sessions implements AsyncDisposable {
  readonly #vault: Vault;
  readonly #autosave: boolean;
  readonly #open = new Set<Session>();

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
    const { current, isAsking, refusal } = this.#vault.unlocking;
    if (current) {
      const { key, backend, provider, how } = current;
      return { state: 'ready', keyId: key.id, backend, provider, how };
    }
    if (isAsking) return { state: 'awaited' };
    return refusal ? { state: 'unavailable', error: refusal } : { state: 'unasked' };
  }

  /** What the last {@link list} found of the marks against rollback: whether they can be read, and which files are gone. */
  get seen(): SeenReport | undefined {
    return this.#vault.seen;
  }

  /** Why marks against rollback could not be written; what they were to guard is saved all the same. */
  get unmarked(): CofferError | undefined {
    return this.#vault.unmarked;
  }

  /** Unlocks the vault, creating the key on first use. Throws `KEY_*`, `PASSPHRASE_WRONG`; ask again at will. */
  async unlock(): Promise<void> {
    await this.#vault.unlock();
  }

  /**
   * Unlocks the vault like {@link unlock}, but returns the error, and after two seconds of waiting for a slow keychain returns a
   * `KEY_TIMEOUT` while the look-up continues ({@link KeyState} is `awaited`). What is recorded meanwhile is saved once the key comes.
   */
  unlockSoon(): Promise<CofferError | undefined> {
    return this.#vault.unlocking.unlockSoon();
  }

  /** Makes every call that waits for the key fail with `KEY_TIMEOUT`; the look-up itself continues. Returns whether any call waited. */
  stopWaiting(): boolean {
    return this.#vault.unlocking.stopWaiting();
  }

  /** The ways in to the vault besides the home of its key: passphrases and recovery codes. */
  get slots(): KeySlots {
    return this.#vault.keys;
  }

  /** Brings the key of a copied vault to this machine, by a recovery code or a passphrase. Throws as {@link VaultRecord.recover}. */
  recover(asks: RecoverAsks): Promise<Recovered> {
    return this.#vault.record.recover(asks);
  }

  /** Whether vault.json is trusted, and what can be done if it isn't, or if its key is not here. */
  get record(): VaultRecord {
    return this.#vault.record;
  }

  /** Begins a conversation. Writes nothing until its first step. Throws TypeError naming a field that could not be read back as it is. */
  begin(beginning: Beginning): Session {
    const events = eventsOf(beginning);
    return this.#track(new Session({ vault: this.#vault, autosave: this.#autosave, events }));
  }

  /**
   * Begins a session that goes on from another one's first `prompts` prompts, all of them unless told; the other one stays as it is,
   * and may be open elsewhere. Throws what {@link read} throws, `ROLLED_BACK` unless `acceptOlder`, `USAGE` where it has fewer prompts.
   */
  async fork(row: Row, options: { prompts?: number | undefined; acceptOlder?: boolean } = {}): Promise<Session> {
    const { events, state, row: now } = await this.read(row);
    if (now.rolledBack !== undefined && options.acceptOlder !== true)
      throw refuseRolledBack(row.fileId, now.rolledBack);
    const { directory, model, branch, worktree, project } = state;
    const permissions = await this.permissionsNow(now, state);
    const isSnapshot = row.kind === 'snapshot';
    const { cutAfter } = await import('./change/fork.ts');
    const cut = cutAfter(events, options.prompts);
    const reason = isSnapshot ? 'resumed from a snapshot' : `forked after prompt ${cut.prompts}`;
    const parent = { uuid: row.uuid, id: row.id, reason };
    return this.begin({
      ...{ directory, model, branch, worktree, project, permissions },
      after: { events: cut.events, parent },
    });
  }

  /**
   * Changes a session that is not being chatted on: opens it, lets `work` record what it does, and closes it. `_autosave` stays where it
   * points. Throws as {@link resume}, and `FAILED` for a snapshot, which never changes.
   */
  async change<T>(row: Row, work: (session: Session) => Promise<T>): Promise<T> {
    if (row.kind === 'snapshot') {
      throw new CofferError('FAILED', `${row.id} is a snapshot, and stays as it is`, {
        advice: 'resume it to go on from it',
      });
    }
    await using session = await this.#reopen(row, { acceptOlder: false, pointed: true }).catch((cause: unknown) => {
      if (!isCofferError(cause, 'SESSION_IN_USE')) throw cause;
      const { what, holder } = cause;
      throw new CofferError(cause.code, what, { advice: `close it there; ${row.id} stays as it is`, holder, cause });
    });
    return await work(session);
  }

  /**
   * Takes a snapshot of what is saved of a session, which may be open elsewhere. Durable when it resolves. Throws `NAME_INVALID`, `NOT_SAVED`,
   * and what {@link read} throws.
   */
  async snapshot(row: Row, name?: string): Promise<{ id: string; messages: number }> {
    const { takeSnapshot } = await import('./snapshot.ts');
    return takeSnapshot(this.#vault, await this.read(row), { name });
  }

  /** Lists sessions and snapshots. Throws `KEY_*` where there is something to list and no key. */
  async list(): Promise<Row[]> {
    return toRows(await this.#vault.list(), this.#vault.autosaveTarget());
  }

  /** Finds what `which` means; numbers are those of `shown`, the list last seen, if given. Throws `SESSION_NOT_FOUND`, `SESSION_AMBIGUOUS`. */
  async find(which: string, shown?: readonly Row[]): Promise<Row> {
    return selectRow(which, await this.list(), shown);
  }

  /** Reads the copies of sessions under other names that the last {@link list} found, and compares each with its row. Throws `KEY_*`. */
  async conflicts(rows: readonly Row[]): Promise<Conflict[]> {
    return this.#vault.conflicting.length === 0
      ? []
      : (await import('./list/conflicts.ts')).readConflicts(this.#vault, rows);
  }

  /** Reads a whole session without a lease, verified. Throws `UNAUTHENTIC`, `NEWER_VERSION`, `KEY_*`, `SESSION_NOT_FOUND`, `TOO_LARGE`. */
  async read(row: Row): Promise<Recorded> {
    const { events, rollback } = await gatherEvents(`session ${row.id}`, (onLines) =>
      this.#vault.read(row.fileId, onLines),
    );
    const rolledBack = rollback && describeRollback(rollback);
    return { row: { ...row, rolledBack }, events, state: fold(emptyState, events) };
  }

  /** Reads what was recorded since it was read `before`, where the file only grew; all of it else. Throws as {@link read}. */
  readOn(row: Row, before?: Grown): Promise<Grown> {
    return readOn(this.#vault, row.fileId, `session ${row.id}`, before?.to);
  }

  /** Verifies a whole session as {@link read} does, and hands its lines over as they are recorded, not taken apart. Throws as {@link read}. */
  async scan(row: Pick<Row, 'fileId'>, onLines: (lines: Buffer) => void): Promise<void> {
    await this.#vault.scan(row.fileId, onLines);
  }

  /** The index of what is said in them. */
  texts(): Promise<TextIndex> {
    return this.#vault.texts();
  }

  /**
   * Goes on with a session in its own file; of a snapshot begins a new session whose parent it is.
   * Throws `SESSION_IN_USE` naming the holder, what {@link read} throws, and `ROLLED_BACK` where it is not as coffer saw it last,
   * unless `acceptOlder`: the next save makes what is there the newest then. With `point: false`, `_autosave` stays where it points until
   * {@link Session.point} or the next save.
   */
  async resume(row: Row, options: { acceptOlder?: boolean; point?: boolean } = {}): Promise<Session> {
    const { acceptOlder = false, point = true } = options;
    if (row.kind === 'snapshot') return this.fork(row, { acceptOlder });
    const session = await this.#reopen(row, { acceptOlder, pointed: false });
    if (point) await session.point();
    return session;
  }

  /**
   * Brings back what verifies of a damaged file as a new session. Throws what {@link read} throws, and
   * `FAILED` where nothing is damaged. `which` may be a path, too, and a name in quarantine.
   */
  async salvage(which: string): Promise<Salvage> {
    const { salvageSession } = await import('./change/salvage.ts');
    return salvageSession(this.#vault, which, (wanted) => this.find(wanted));
  }

  /**
   * Puts a session that was exported as JSONL into the vault as a new one, in one save; `from` says where it came from. Throws
   * `IMPORT_INVALID` naming the line, `NEWER_VERSION`, `KEY_*`, `NOT_SAVED`.
   */
  async import(text: string, from: string): Promise<Imported> {
    const { importSession, readImport } = await import('./import/import.ts');
    return importSession(this.#vault, readImport(text), from);
  }

  /** Looks at the vault as `coffer doctor` shows it. Changes nothing; asks for the key where there are files to look into. */
  async inspect(): Promise<Inspection> {
    const { inspectVault } = await import('./list/inspection.ts');
    return { ...(await inspectVault(this.#vault)), key: this.key, seen: this.seen };
  }

  /** Removes a session or snapshot for good. Throws `SESSION_IN_USE`, `SESSION_NOT_FOUND`. */
  delete(row: Row): Promise<void> {
    return this.#vault.delete(row.fileId);
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
    return this.#vault.rotation.begin({ asked, remove, onProgress: options.onProgress });
  }

  /** Goes on with a rotation of the key that was interrupted; undefined where there is none. Throws as {@link rotateKey}. */
  async finishRotation(onProgress?: OnProgress): Promise<Rotated | undefined> {
    return this.#vault.rotation.finish(onProgress);
  }

  /** Takes note that files are gone which {@link seen} reports as removed: it reports them no more. Throws `KEY_*`, `VAULT_BUSY`. */
  forget(removed: readonly string[]): Promise<void> {
    return this.#vault.forget(removed);
  }

  /**
   * Waits for what is still being done in the background: an index that is being kept. Where somebody is told how many sessions are done, all
   * of it is, however long that takes; else no more than some seconds' worth.
   */
  settle(onProgress?: OnProgress): Promise<void> {
    return this.#vault.settle(onProgress);
  }

  /** Closes every session still open, and waits as {@link settle} does. Throws what the first failing close threw. */
  async close(): Promise<void> {
    const open = [...this.#open];
    this.#open.clear();
    for (const session of open) await session.close();
    await this.settle();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /**
   * The rules of a session as they are now; of a snapshot those of the session it was taken of, which may have revoked some since. No grant
   * is left if that can't be read, and of an older copy that was put back.
   */
  async permissionsNow(row: Row, state: State): Promise<State['permissions']> {
    if (row.rolledBack !== undefined) return withoutGrants(state.permissions);
    if (row.kind === 'session' || state.permissions.length === 0) return state.permissions;
    const rows = await this.list();
    const of = rows.find(({ kind, uuid, unreadable }) => kind === 'session' && uuid === state.uuid && !unreadable);
    const now = await (of && this.read(of))?.catch((error: unknown) => {
      if (!isCofferError(error)) throw error;
      return undefined;
    });
    return now && now.row.rolledBack === undefined ? now.state.permissions : withoutGrants(state.permissions);
  }

  async #reopen(row: Row, { acceptOlder, pointed }: { acceptOlder: boolean; pointed: boolean }): Promise<Session> {
    const { events, file, lease, opened, rollback } = await gatherEvents(`session ${row.id}`, (onLines) =>
      this.#vault.resume(row.fileId, onLines, acceptOlder),
    );
    const lost = opened.torn && describeTorn(opened.torn);
    const id = decodeSummary(opened.summary).id;
    const written = { file, lease, id, lost, pointed };
    const session = this.#track(new Session({ vault: this.#vault, autosave: this.#autosave, events, written }));
    const { permissions } = session.state;
    // The events that revoked them may be what the older copy lacks.
    const revoked = rollback ? revocations(permissions) : [];
    if (revoked.length > 0) await session.record(...revoked);
    return session;
  }

  #track(session: Session): Session {
    this.#open.add(session);
    return session;
  }
}
