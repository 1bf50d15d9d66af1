import { CofferError, isCofferError } from '../errors.ts';
import type { FirstStep, Vault, Writable } from '../vault/vault.ts';
import { acceptDraft } from './event/accept.ts';
import { type Event, encodeEvents, type NewEvent, type Status } from './event/event.ts';
import { encodeSummary, summarize } from './list/summary.ts';
import { failureOf, type SessionOrigin, type Unsaved, unsavedOf } from './origin.ts';
import { SessionRecord } from './record.ts';
import { newId, takenIds, takeSnapshot } from './snapshot.ts';
import type { State } from './state.ts';

/**
 * A conversation and its events, one sealed file for life.
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
  /** How many of the events the file has taken over. */
  #handedOver: number;
  /** Whether `_autosave` points here. */
  #pointed = false;
  /** Something was recorded here; the conversation was begun here or went on. */
  #touched = false;
  /** How many of the events are on disk. */
  #durable: number;
  #failure: CofferError | undefined;
  #queue: Promise<void> = Promise.resolve();
  #ended = false;
  /** Saves what is recorded when the key has come, whether or not another step does. */
  readonly #onUnlocked = (): void => {
    if (!this.#ended) void this.#saveBestEffort();
  };
  /** What opening found torn: which step was lost. */
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

  get uuid(): string {
    return this.#record.state.uuid;
  }

  /** The id people use, from the first save on. */
  get id(): string | undefined {
    return this.#id;
  }

  /** The name of the file it is sealed in, from the first save on. */
  get fileId(): string | undefined {
    return this.#fileId;
  }

  /** A message that a final save adds and the next step replaces: what has arrived of a reply so far, marked partial. */
  get draft(): NewEvent | undefined {
    return this.#draft;
  }

  /** Throws TypeError for what is not a message. */
  set draft(draft: NewEvent | undefined) {
    this.#draft = draft && acceptDraft(draft);
  }

  get state(): State {
    return this.#record.state;
  }

  get events(): readonly Event[] {
    return this.#record.events;
  }

  /** Since when steps are not on disk; undefined while all of them are. */
  get unsaved(): Unsaved | undefined {
    return this.#failure && unsavedOf(this.#record.events.slice(this.#durable), this.#failure);
  }

  /**
   * Adds one step: copies of the events, each with an id and a time of this session's. Durable when it resolves. Before it records
   * anything, throws TypeError naming the field of an event that could not be read back as it is. Throws `NOT_SAVED`,
   * `DURABILITY_UNKNOWN`, `KEY_*`: the events stay in memory then, and go with the next save.
   */
  async append(...events: NewEvent[]): Promise<void> {
    this.#add(events);
    await this.#save();
  }

  /**
   * Like {@link append}, but {@link unsaved} tells what can't be saved, and it does nothing once the session has ended: a reply may
   * still be arriving when the final save is made.
   */
  async record(...events: NewEvent[]): Promise<void> {
    if (this.#ended) return;
    this.#add(events);
    if (this.#autosave) await this.#saveBestEffort();
  }

  /**
   * Replaces the events recorded until now, and the file with them: what they no longer have is gone from it. What is recorded meanwhile
   * stays behind them. Durable when it resolves. Throws as {@link append}.
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

  /** Makes `_autosave` point here. If it can't be, the next save tries again, and tells. */
  async point(): Promise<void> {
    try {
      await this.#point();
    } catch (error) {
      if (!isCofferError(error)) throw error;
    }
  }

  /** Saves the {@link draft} for now, best effort: the next step replaces it. */
  async saveDraft(): Promise<void> {
    if (this.#autosave && this.#draft && !this.#ended) await this.#saveBestEffort(this.#draft);
  }

  /**
   * Takes a snapshot: an immutable copy under a name of its own. Durable when it resolves.
   * Throws `NAME_INVALID`, `NOT_SAVED`, `KEY_*`.
   */
  async save(name?: string): Promise<{ id: string; messages: number }> {
    return takeSnapshot(this.#vault, this, { name, beside: this.#writable?.file, handedOver: this.#handedOver });
  }

  /**
   * The final save, synchronously: everything recorded, the {@link draft}, and how it ended. Does nothing the
   * second time, or where there is nothing to save. Throws `NOT_SAVED`.
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
      this.#failure = failureOf(error);
      throw error;
    }
    this.#ended = true;
    this.#failure = undefined;
    if (this.#writable) this.#vault.giveBackSync(this.#writable);
  }

  /** Ends it: records how (where anything was recorded), folds the file into one frame, gives the lease back. Throws as {@link append}. */
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
      // told by `unsaved`, in the status line, until a save succeeds
    }
  }

  /** A keychain that was silent a moment ago is not waited for again by a process that wants to end. */
  async #saveLast(): Promise<void> {
    const refusal = this.#writable ? undefined : this.#vault.unlocking.recentRefusal;
    return isCofferError(refusal, 'KEY_TIMEOUT') ? this.#settle(Promise.reject(refusal)) : this.#save();
  }

  /** One save after another: the first one makes the file, which the second needs. */
  #save(draft?: NewEvent): Promise<void> {
    return this.#settle(this.#queue.then(() => this.#write(draft)));
  }

  #settle(saved: Promise<void>): Promise<void> {
    const settled = saved.then(
      () => {
        this.#failure = undefined;
      },
      (error: unknown) => {
        this.#failure = failureOf(error);
        throw error;
      },
    );
    this.#queue = settled.catch(() => undefined); // whoever asked for that save has its error; the next one must run all the same
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
      if (!this.#ended) throw error; // else the final save has made this step durable, in a file of its own
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

  /** From here on the file has what is recorded, saved or not. */
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
    const summary = encodeSummary(
      summarize(this.#record.state, {
        kind: 'session',
        id: this.#id ?? '',
        uuid: this.uuid,
        name: this.#record.state.name,
      }),
    );
    const last = this.#record.state.lastEvent;
    const drafted = draft && encodeEvents([{ id: last + 1, ts: Date.now(), ...draft }]);
    this.#handedOver = this.#record.events.length; // only now: nothing that could fail comes before the file has them
    return { lines, summary, ...(drafted && { draft: drafted }) };
  }
}
