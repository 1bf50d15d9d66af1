import { CofferError, isCofferError } from '../errors.ts';
import type { FirstStep, Vault, Writable } from '../vault/vault.ts';
import { acceptDraft } from './event/accept.ts';
import { type Event, encodeEvents, type NewEvent, type Status } from './event/event.ts';
import { encodeSummary, summarize } from './list/summary.ts';
import { type SessionOrigin, saveError, type Unsaved, unsavedOf } from './origin.ts';
import { SessionRecord } from './record.ts';
import { newId, takenIds, takeSnapshot } from './snapshot.ts';
import type { State } from './state.ts';

/**
 * A conversation: its events, its state and the sealed file it keeps for life. Obtained from
 * {@link Sessions.begin}, {@link Sessions.resume} or {@link Sessions.fork}. Saves run one after
 * another. Close it to end the conversation and release its lease.
 *
 * @example
 * ```ts
 * await using vault = await openVault();
 * await using session = vault.begin({ directory: process.cwd(), model: 'demo/echo' });
 * await session.append({ type: 'message', message: { role: 'user', content: 'hello' } });
 * ```
 */
export class Session implements AsyncDisposable {
  readonly #vault: Vault;
  readonly #autosave: boolean;
  readonly #record: SessionRecord;
  #id: string | undefined;
  #writable: Writable | undefined;
  #fileId: string | undefined;
  /** Number of events handed to the sealed file, saved or not. */
  #handedOver: number;
  /** Whether `_autosave` points here. */
  #pointed = false;
  /** Whether anything was recorded through this object. */
  #touched = false;
  /** Number of events that are on disk. */
  #durable: number;
  #failure: CofferError | undefined;
  #queue: Promise<void> = Promise.resolve();
  #ended = false;
  /** Saves the recorded events as soon as the key is available. */
  readonly #onUnlocked = (): void => {
    if (!this.#ended) void this.#saveBestEffort();
  };
  /** The step lost to a torn write, as a sentence; undefined if the file was intact. */
  readonly lost: string | undefined;
  #draft: NewEvent | undefined;

  constructor(origin: SessionOrigin) {
    this.#vault = origin.vault;
    this.#autosave = origin.autosave;
    this.#record = new SessionRecord(origin.events, origin.written === undefined);
    this.#writable = origin.written;
    this.#id = origin.written?.id;
    this.#fileId = origin.written?.file.fileId;
    this.#handedOver = origin.written ? origin.events.length : 0;
    this.#durable = this.#handedOver;
    this.#pointed = origin.written?.pointed ?? false;
    this.lost = origin.written?.lost;
  }

  /** UUID of the session, assigned when it begins. */
  get uuid(): string {
    return this.#record.state.uuid;
  }

  /** Id of the session (`2025-07-04_12-30`); undefined before the first save. */
  get id(): string | undefined {
    return this.#id;
  }

  /** Name of its sealed file, 32 hex digits; undefined before the first save. */
  get fileId(): string | undefined {
    return this.#fileId;
  }

  /** Whether the session was closed, or ended with its final save. */
  get isClosed(): boolean {
    return this.#ended;
  }

  /**
   * The message in progress: the part of a reply received so far, marked partial. {@link finalSave}
   * records it; {@link saveDraft} saves it until the next step replaces it. The setter copies the
   * message and throws TypeError if it isn't a valid message event.
   */
  get draft(): NewEvent | undefined {
    return this.#draft;
  }

  set draft(draft: NewEvent | undefined) {
    this.#draft = draft && acceptDraft(draft);
  }

  /** The state folded from all events, saved or not. */
  get state(): State {
    return this.#record.state;
  }

  /** All events, saved or not, including those inherited from a parent. */
  get events(): readonly Event[] {
    return this.#record.events;
  }

  /** The failure of the last save, with what it left unsaved; undefined if nothing failed. */
  get unsaved(): Unsaved | undefined {
    return this.#failure && unsavedOf(this.#record.events.slice(this.#durable), this.#failure);
  }

  /**
   * Appends the events as one step and saves it. The events are copied and get ids and times of
   * this session. Durable when it resolves. Throws TypeError naming the field, before anything is
   * recorded, if an event could not be read back unchanged or the session is closed. Throws
   * `NOT_SAVED`, `DURABILITY_UNKNOWN` or `KEY_*` if the save fails: the events then stay in memory
   * and are part of the next save.
   */
  async append(...events: NewEvent[]): Promise<void> {
    this.#add(events);
    await this.#save();
  }

  /**
   * Like {@link append}, but reports a failed save through {@link unsaved} instead of throwing, and
   * doesn't save at all if autosave is off. Does nothing once the session has ended, because a
   * reply may still be arriving when the final save is made.
   */
  async record(...events: NewEvent[]): Promise<void> {
    if (this.#ended) return;
    this.#add(events);
    if (this.#autosave) await this.#saveBestEffort();
  }

  /**
   * Replaces all events recorded so far and rewrites the file, so that nothing removed remains in
   * it. Events recorded in the meantime are kept and follow the new ones. Durable when it resolves,
   * unless the session has no file yet: then only memory changes. Throws as {@link append}.
   */
  async rewrite(events: readonly Event[]): Promise<void> {
    if (this.#ended) throw new TypeError('the session is closed');
    const { length } = this.#record.events;
    let saves: Promise<void>;
    do {
      saves = this.#queue;
      await saves;
    } while (saves !== this.#queue);
    this.#record.replace([...events, ...this.#record.events.slice(length)]);
    this.#touched = true;
    const { file } = this.#writable ?? {};
    if (file === undefined) return;
    this.#vault.dropCaches();
    this.#handedOver = 0;
    await this.#settle(file.rewrite(this.#step()));
    this.#durable = this.#handedOver;
    this.#vault.markNow(file);
    this.#vault.dropCaches();
  }

  /**
   * Points `_autosave` at this session. If that fails, the next save tries again and reports it.
   */
  async point(): Promise<void> {
    try {
      await this.#point();
    } catch (error) {
      if (!isCofferError(error)) throw error;
    }
  }

  /** Saves the {@link draft}, best effort. The next step replaces it. */
  async saveDraft(): Promise<void> {
    if (this.#autosave && this.#draft && !this.#ended) await this.#saveBestEffort(this.#draft);
  }

  /**
   * Takes a snapshot: an immutable copy with its own id and, if given, name. Returns its id and its
   * number of user and assistant messages. Durable when it resolves. Throws `NAME_INVALID`,
   * `NOT_SAVED`, `KEY_*`.
   */
  async save(name?: string): Promise<{ id: string; messages: number }> {
    return takeSnapshot(this.#vault, this, { name, beside: this.#writable?.file, handedOver: this.#handedOver });
  }

  /**
   * Synchronously saves everything recorded, the {@link draft} and the final status, for a process
   * that is about to exit. Durable when it returns; the session is closed then. Does nothing if the
   * session has ended, nothing was recorded or autosave is off. Throws `NOT_SAVED`,
   * `DURABILITY_UNKNOWN`; it may be called again then.
   */
  finalSave(status: Status = 'cancelled'): void {
    if (this.#ended || !this.#autosave) return;
    if (this.#draft) this.#add([this.#draft]);
    this.#draft = undefined;
    if (!this.#touched) return;
    if (this.#record.isLive && this.#record.state.status !== status) this.#add([{ type: 'status', status }]);
    try {
      this.#writeSync();
    } catch (error) {
      this.#failure = saveError(error);
      throw error;
    }
    this.#ended = true;
    this.#failure = undefined;
    if (this.#writable) this.#vault.giveBackSync(this.#writable);
  }

  /**
   * Closes the session: records the final status if anything was recorded, folds the file into one
   * frame and releases the lease, even if saving fails. Throws as {@link append}.
   */
  async close(status: Status = 'completed'): Promise<void> {
    if (this.#ended) return this.#release();
    const last = this.#touched && this.#autosave;
    if (last && this.#record.isLive && this.#record.state.status !== status) this.#add([{ type: 'status', status }]);
    try {
      if (last) await this.#saveLast();
      await this.#writable?.file.fold();
    } finally {
      this.#ended = true;
      await this.#release();
    }
  }

  /** Closes the session with status `completed`. Throws as {@link close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #release(): Promise<void> {
    const writable = this.#writable;
    this.#writable = undefined;
    if (writable) await this.#vault.giveBack(writable);
  }

  #add(step: readonly NewEvent[]): void {
    if (this.#ended) throw new TypeError('the session is closed');
    this.#record.add(step);
    this.#touched = true;
  }

  async #saveBestEffort(draft?: NewEvent): Promise<void> {
    const { unlocking } = this.#vault;
    const refusal = this.#writable ? undefined : (unlocking.recentRefusal ?? (await unlocking.unlockSoon()));
    if (refusal) {
      this.#failure = refusal;
      unlocking.onceUnlocked(this.#onUnlocked);
      return;
    }
    try {
      await this.#save(draft);
    } catch {
      // `unsaved` reports it until a save succeeds
    }
  }

  /** Doesn't wait again for a keychain that timed out a moment ago: the process wants to exit. */
  async #saveLast(): Promise<void> {
    const refusal = this.#writable ? undefined : this.#vault.unlocking.recentRefusal;
    return isCofferError(refusal, 'KEY_TIMEOUT') ? this.#settle(Promise.reject(refusal)) : this.#save();
  }

  /** Queues a save: the first save creates the file that the next one writes to. */
  #save(draft?: NewEvent): Promise<void> {
    return this.#settle(this.#queue.then(() => this.#write(draft)));
  }

  #settle(saved: Promise<void>): Promise<void> {
    const settled = saved.then(
      () => {
        this.#failure = undefined;
      },
      (error: unknown) => {
        this.#failure = saveError(error);
        throw error;
      },
    );
    this.#queue = settled.catch(() => undefined); // the caller has the error; the queue continues
    return settled;
  }

  async #write(draft?: NewEvent): Promise<void> {
    if (this.#writable) {
      const { file } = this.#writable;
      await file.save(this.#step(draft));
      if (file.folded) this.#vault.markNow(file);
    } else {
      await this.#create();
    }
    this.#durable = this.#handedOver;
    await this.#point();
  }

  async #point(): Promise<void> {
    if (this.#pointed || !this.#writable) return;
    await this.#vault.pointAutosave(this.#writable.file.fileId);
    this.#pointed = true;
  }

  async #create(): Promise<void> {
    const first: FirstStep = (siblings) => {
      if (this.#ended) throw new CofferError('NOT_SAVED', 'overtaken by the final save');
      return this.#firstStep(siblings());
    };
    try {
      await this.#vault.create(first, (writable) => this.#adopt(writable));
    } catch (error) {
      if (!this.#ended) throw error; // otherwise the final save has already saved this step
    }
  }

  #writeSync(): void {
    if (this.#writable) this.#writable.file.saveSync(this.#step());
    else {
      this.#vault.createSync(
        (siblings) => this.#firstStep(siblings()),
        (writable) => this.#adopt(writable),
      );
    }
    this.#durable = this.#handedOver;
    if (!this.#pointed && this.#fileId !== undefined) this.#vault.pointAutosaveSync(this.#fileId);
  }

  /** Takes ownership of the new file and its lease, even if the first save fails. */
  #adopt(writable: Writable): void {
    this.#writable = writable;
    this.#fileId = writable.file.fileId;
  }

  #firstStep(siblings: Iterable<{ id: string }>): ReturnType<FirstStep> {
    this.#id = newId(this.#record.state.begun, undefined, takenIds(siblings));
    return this.#step();
  }

  #step(draft?: NewEvent): ReturnType<FirstStep> {
    const lines = encodeEvents(this.#record.events.slice(this.#handedOver));
    const { state } = this.#record;
    const { uuid, name, lastEvent: last } = state;
    const summary = encodeSummary(summarize(state, { kind: 'session', id: this.#id ?? '', uuid, name }));
    const drafted = draft && encodeEvents([{ id: last + 1, ts: Date.now(), ...draft }]);
    this.#handedOver = this.#record.events.length; // only after everything that can throw
    return { lines, summary, ...(drafted && { draft: drafted }) };
  }
}
