import { CofferError, isCofferError } from '../errors.ts';
import type { VaultKeys } from '../vault/keys/vault-keys.ts';
import { describeRollback } from '../vault/marks/rollback.ts';
import type { TextIndex } from '../vault/search/text-index.ts';
import type { Vault } from '../vault/vault.ts';
import { eventsOf } from './beginning.ts';
import { type Grown, gatherEvents, readOn } from './event/decoding.ts';
import type { Event } from './event/event.ts';
import { describeTorn, type Row, toRows } from './list/row.ts';
import { selectRow } from './list/select.ts';
import { decodeSummary } from './list/summary.ts';
import { saveError } from './origin.ts';
import { revocations } from './permissions.ts';
import type { SearchHit } from './search/search.ts';
import { Session } from './session.ts';
import type { Beginning, Recorded } from './shapes.ts';
import { emptyState, fold } from './state.ts';
import { Upkeep } from './upkeep.ts';

/**
 * The sessions of one vault. Obtained from {@link openVault}. Close it to close all sessions opened
 * through it.
 *
 * @example
 * ```ts
 * await using vault = await openVault();
 * await using session = await vault.resume(await vault.find('last'));
 * console.log(session.state.title, session.state.messages);
 * ```
 */
export class Sessions implements AsyncDisposable {
  readonly #vault: Vault;
  readonly #autosave: boolean;
  readonly #open = new Set<Session>();
  /** Inspection and repair of the vault. */
  readonly upkeep: Upkeep;

  /**
   * Touches nothing on disk. If `autosave` is false, sessions are saved only on request.
   *
   * @internal
   */
  constructor(vault: Vault, options: { autosave: boolean }) {
    this.#vault = vault;
    this.#autosave = options.autosave;
    this.upkeep = new Upkeep(vault, (which) => this.find(which));
  }

  /** Directory of the vault. */
  get directory(): string {
    return this.#vault.directory;
  }

  /** The key of the vault. */
  get keys(): VaultKeys {
    return this.#vault.keys;
  }

  /**
   * Begins a new conversation. Nothing is written until its first step. Throws TypeError naming a
   * field that could not be read back unchanged.
   */
  begin(beginning: Beginning): Session {
    const events = eventsOf(beginning);
    return this.#track(new Session({ vault: this.#vault, autosave: this.#autosave, events }));
  }

  /**
   * Begins a session that continues from the first `prompts` prompts of another (default: all) and
   * their answers. The other session may be open in another process. It gets a `child` event that
   * names the fork, which is saved first; if the other can't be written, because it is in use or a
   * snapshot, `onUnnoted` gets the reason, and the fork is saved at its first step. Throws what
   * {@link read} throws, `ROLLED_BACK` if it isn't as coffer last saw it and `acceptOlder` isn't
   * set, and `USAGE` if it has fewer prompts.
   */
  async fork(
    row: Row,
    options: {
      prompts?: number | undefined;
      acceptOlder?: boolean;
      onUnnoted?: (error: CofferError) => void;
    } = {},
  ): Promise<Session> {
    const { forkRow } = await import('./change/forking.ts');
    const { session, unnoted } = await forkRow(this, row, options);
    if (unnoted !== undefined) options.onUnnoted?.(unnoted);
    return session;
  }

  /**
   * Opens a session that isn't in use, runs `work` on it, closes it and returns the result of
   * `work`. If the session is open here, runs `work` on it directly. `_autosave` keeps its target.
   * Throws as {@link resume}, and `FAILED` for a snapshot, which never changes.
   */
  async change<T>(row: Row, work: (session: Session) => Promise<T>): Promise<T> {
    if (row.kind === 'snapshot') {
      throw new CofferError('FAILED', `${row.id} is a snapshot and never changes`, {
        advice: 'resume it to continue from it in a new session',
      });
    }
    const open = this.#open.values().find(({ fileId, isClosed }) => fileId === row.fileId && !isClosed);
    if (open) return await work(open);
    await using session = await this.#reopen(row, { acceptOlder: false, pointed: true }).catch((cause: unknown) => {
      if (!isCofferError(cause, 'SESSION_IN_USE')) throw cause;
      const { what, holder } = cause;
      throw new CofferError(cause.code, what, { advice: `close it there; ${row.id} is unchanged`, holder, cause });
    });
    return await work(session);
  }

  /**
   * Takes a snapshot of a session as it is on disk; it may be open in another process. Returns the
   * snapshot's id and its number of user and assistant messages. Durable when it resolves. Throws
   * `NAME_INVALID`, `NOT_SAVED`, and what {@link read} throws.
   */
  async snapshot(row: Row, name?: string): Promise<{ id: string; messages: number }> {
    const { takeSnapshot } = await import('./change/snapshot.ts');
    return takeSnapshot(this.#vault, await this.read(row), { name });
  }

  /**
   * Lists sessions and snapshots: `_autosave` first, then the newest first. Unreadable files are
   * listed last, with the reason. Throws `KEY_*` if there are files but no key.
   */
  async list(): Promise<Row[]> {
    return toRows(await this.#vault.list(), this.#vault.autosaveTarget());
  }

  /**
   * Finds the row that `which` refers to: a row number, `last`, `_autosave`, an id, a name, or a
   * unique prefix of an id or UUID. Row numbers refer to `shown`, the list the user last saw
   * (default: the current list). Throws `SESSION_NOT_FOUND`, `SESSION_AMBIGUOUS`, `KEY_*`.
   */
  async find(which: string, shown?: readonly Row[]): Promise<Row> {
    return selectRow(which, await this.list(), shown);
  }

  /**
   * Reads and verifies a whole session, without a lease. Throws `UNAUTHENTIC`, `NEWER_VERSION`,
   * `KEY_*`, `SESSION_NOT_FOUND`, `TOO_LARGE`. A session that isn't as coffer last saw it is read
   * too; `row.rolledBack` reports that.
   */
  async read(row: Row): Promise<Recorded> {
    const { events, rollback } = await gatherEvents(`session ${row.id}`, (onLines) =>
      this.#vault.read(row.fileId, onLines),
    );
    const rolledBack = rollback && describeRollback(rollback);
    return { row: { ...row, rolledBack }, events, state: fold(emptyState, events) };
  }

  /**
   * Reads the events recorded since `before` if the file only grew since then; otherwise reads all
   * events. Throws as {@link read}.
   *
   * @internal
   */
  readOn(row: Row, before?: Grown): Promise<Grown> {
    return readOn(this.#vault, row.fileId, `session ${row.id}`, before?.to);
  }

  /**
   * Verifies a whole session like {@link read}, but passes its NDJSON lines to `onLines` unparsed,
   * piece by piece and in order. Throws as {@link read}.
   *
   * @internal
   */
  async scan(row: Pick<Row, 'fileId'>, onLines: (lines: Buffer) => void): Promise<void> {
    await this.#vault.scan(row.fileId, onLines);
  }

  /**
   * Returns the full-text index, loading its code on first use.
   *
   * @internal
   */
  texts(): Promise<TextIndex> {
    return this.#vault.texts();
  }

  /**
   * Searches sessions and snapshots (default: all) for a text, taken literally and without regard
   * to case: in messages, tool calls and results, summaries, instructions, errors, names and tags.
   * Yields rows with matches as they are found, and rows that can't be read with the error. Throws
   * `USAGE` if the text is blank, and what {@link list} throws.
   */
  async *search(text: string, rows?: readonly Row[]): AsyncGenerator<SearchHit, void> {
    const { search, wantedText } = await import('./search/search.ts');
    yield* search(this, rows ?? (await this.list()), wantedText(text));
  }

  /**
   * Yields the events of a session, first those recorded and then those that any process records,
   * each once and in the order of ids, until `signal` aborts. Only reads, without a lease. A reply
   * in progress is yielded when it is complete. Throws `SESSION_NOT_FOUND` if the session is
   * deleted, `ROLLED_BACK` if an older copy replaces it, and what {@link read} throws.
   */
  async *follow(row: Row, signal: AbortSignal): AsyncGenerator<Event, void> {
    const { follow } = await import('./follow.ts');
    yield* follow(this, row, signal);
  }

  /**
   * Resumes a session in its own file, holding its lease until it is closed. For a snapshot, begins
   * a new session whose parent is the snapshot. Points `_autosave` at the session; with
   * `point: false` only on {@link Session.point} or the next save. Throws `SESSION_IN_USE` naming
   * the holder, what {@link read} throws, and `ROLLED_BACK` if it isn't as coffer last saw it; with
   * `acceptOlder`, the next save makes that copy the newest.
   */
  async resume(row: Row, options: { acceptOlder?: boolean; point?: boolean } = {}): Promise<Session> {
    const { acceptOlder = false, point = true } = options;
    if (row.kind === 'snapshot') return this.fork(row, { acceptOlder });
    const session = await this.#reopen(row, { acceptOlder, pointed: false });
    if (point) await session.point();
    return session;
  }

  /** Deletes a session or snapshot permanently. Throws `SESSION_IN_USE`, `SESSION_NOT_FOUND`. */
  delete(row: Row): Promise<void> {
    return this.#vault.delete(row.fileId);
  }

  /**
   * Closes all open sessions, even if closing some of them fails, then waits as
   * {@link Upkeep.settle} does. Throws the error of the session that failed; if several did, a
   * {@link CofferError} with the code of the first, whose `cause` is an AggregateError of all.
   */
  async close(): Promise<void> {
    const open = [...this.#open];
    this.#open.clear();
    const errors: unknown[] = [];
    for (const session of open) await session.close().catch((error: unknown) => errors.push(error));
    await this.upkeep.settle();
    if (errors.length > 0) throw errors.length === 1 ? errors[0] : closeError(errors);
  }

  /** Closes all open sessions. Throws as {@link close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #reopen(row: Row, { acceptOlder, pointed }: { acceptOlder: boolean; pointed: boolean }): Promise<Session> {
    const { events, file, lease, opened, rollback } = await gatherEvents(`session ${row.id}`, (onLines) =>
      this.#vault.writing.resume(row.fileId, onLines, acceptOlder),
    );
    const lost = opened.torn && describeTorn(opened.torn);
    const id = decodeSummary(opened.summary).id;
    const written = { file, lease, id, lost, pointed };
    const session = this.#track(new Session({ vault: this.#vault, autosave: this.#autosave, events, written }));
    const { permissions } = session.state;
    // The older copy may lack the events that revoked grants.
    const revoked = rollback ? revocations(permissions) : [];
    if (revoked.length > 0) await session.record(...revoked);
    return session;
  }

  #track(session: Session): Session {
    for (const open of this.#open) if (open.isClosed) this.#open.delete(open);
    this.#open.add(session);
    return session;
  }
}

function closeError(errors: readonly unknown[]): CofferError {
  const { code, reason, advice } = saveError(errors[0]);
  const cause = new AggregateError(errors, 'not all sessions could be closed');
  return new CofferError(code, `${errors.length} sessions could not be closed`, { reason, advice, cause });
}
