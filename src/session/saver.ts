import { CofferError, isCofferError } from '../errors.ts';
import type { FirstStep, Vault, Writable } from '../vault/vault.ts';
import { newId, takenIds, takeSnapshot } from './change/snapshot.ts';
import { type Event, encodeEvents, type NewEvent } from './event/event.ts';
import { encodeSummary, summarize } from './list/summary.ts';
import { type SessionOrigin, saveError, type Unsaved, unsavedOf } from './origin.ts';
import type { SessionRecord } from './record.ts';

/**
 * Saves what a session records. Owns its sealed file and lease, the queue of saves, and the failure
 * of the last one. Saves run one after another; what a failed one left is part of the next.
 */
export class Saver {
  readonly #vault: Vault;
  readonly #record: SessionRecord;
  #writable: Writable | undefined;
  #id: string | undefined;
  #fileId: string | undefined;
  /** Whether `_autosave` points here. */
  #pointed: boolean;
  /** Number of events handed to the sealed file, saved or not. */
  #handedOver: number;
  /** Number of events that are on disk. */
  #durable: number;
  #failure: CofferError | undefined;
  #queue: Promise<void> = Promise.resolve();
  #ended = false;
  /** Saves the recorded events as soon as the key is available, without waiting for another step. */
  readonly #onUnlocked = (): void => {
    if (!this.#ended) void this.saveBestEffort();
  };

  constructor({ vault, written }: SessionOrigin, record: SessionRecord) {
    this.#vault = vault;
    this.#record = record;
    this.#writable = written;
    this.#id = written?.id;
    this.#fileId = written?.file.fileId;
    this.#pointed = written?.pointed ?? false;
    this.#handedOver = written ? record.events.length : 0;
    this.#durable = this.#handedOver;
  }

  /** Id of the session; undefined before the first save. */
  get id(): string | undefined {
    return this.#id;
  }

  /** Name of the sealed file; undefined before the first save. */
  get fileId(): string | undefined {
    return this.#fileId;
  }

  /** Whether the session was closed, or ended with its final save. */
  get hasEnded(): boolean {
    return this.#ended;
  }

  /** The failure of the last save, with what it left unsaved; undefined if nothing failed. */
  get unsaved(): Unsaved | undefined {
    return this.#failure && unsavedOf(this.#record.events.slice(this.#durable), this.#failure);
  }

  /**
   * Saves what is recorded, and `draft`, which the next save replaces. Durable when it resolves.
   * Throws `NOT_SAVED`, `DURABILITY_UNKNOWN`, `KEY_*`.
   */
  save(draft?: NewEvent): Promise<void> {
    // The first save creates the file that the next one writes to.
    return this.#settle(this.#queue.then(() => this.#write(draft)));
  }

  /**
   * Saves like {@link save}, but reports a failure in {@link unsaved} instead of throwing. Without
   * the key, saves as soon as it is available.
   */
  async saveBestEffort(draft?: NewEvent): Promise<void> {
    const { unlocking } = this.#vault.keys;
    const refusal = this.#writable ? undefined : (unlocking.recentRefusal ?? (await unlocking.unlockSoon()));
    if (refusal) {
      this.#failure = refusal;
      unlocking.onceUnlocked(this.#onUnlocked);
      return;
    }
    try {
      await this.save(draft);
    } catch {
      // `unsaved` reports it until a save succeeds
    }
  }

  /**
   * Replaces all events recorded so far, in memory and on disk; those recorded in the meantime
   * follow. Throws as {@link save}.
   */
  async rewrite(events: readonly Event[]): Promise<void> {
    const { length } = this.#record.events;
    let saves: Promise<void>;
    do {
      saves = this.#queue;
      await saves;
    } while (saves !== this.#queue);
    this.#record.replace([...events, ...this.#record.events.slice(length)]);
    const { file } = this.#writable ?? {};
    if (file === undefined) return;
    this.#vault.writing.dropCaches();
    this.#handedOver = 0;
    await this.#settle(file.rewrite(this.#step()));
    this.#durable = this.#handedOver;
    this.#vault.writing.markNow(file);
    this.#vault.writing.dropCaches();
  }

  /** Takes a snapshot. Throws `NAME_INVALID`, `NOT_SAVED`, `KEY_*`. */
  snapshot(name: string | undefined): Promise<{ id: string; messages: number }> {
    const beside = this.#writable?.file;
    return takeSnapshot(this.#vault, this.#record, { name, beside, handedOver: this.#handedOver });
  }

  /** Points `_autosave` at the session. Throws `NOT_SAVED`, `VAULT_BUSY`; the next save retries. */
  async point(): Promise<void> {
    if (this.#pointed || !this.#writable) return;
    await this.#vault.writing.pointAutosave(this.#writable.file.fileId);
    this.#pointed = true;
  }

  /**
   * Saves what is recorded synchronously, and ends: the final save. It overtakes a save in flight.
   * Durable when it returns. Throws `NOT_SAVED`, `DURABILITY_UNKNOWN`, and hasn't ended then.
   */
  saveSync(): void {
    try {
      this.#writeSync();
    } catch (error) {
      this.#failure = saveError(error);
      throw error;
    }
    this.#ended = true;
    this.#failure = undefined;
    if (this.#writable) this.#vault.writing.giveBackSync(this.#writable);
  }

  /**
   * Ends: folds the file into one frame and releases its lease, even if saving fails. Saves first
   * what is recorded if `last`. Throws as {@link save}.
   */
  async close(last: boolean): Promise<void> {
    if (this.#ended) return this.#release();
    try {
      if (last) await this.#saveLast();
      await this.#writable?.file.fold();
    } finally {
      this.#ended = true;
      await this.#release();
    }
  }

  async #release(): Promise<void> {
    const writable = this.#writable;
    this.#writable = undefined;
    if (writable) await this.#vault.writing.giveBack(writable);
  }

  /** Doesn't wait again for a keychain that timed out a moment ago: the process wants to exit. */
  async #saveLast(): Promise<void> {
    const refusal = this.#writable ? undefined : this.#vault.keys.unlocking.recentRefusal;
    return isCofferError(refusal, 'KEY_TIMEOUT') ? this.#settle(Promise.reject(refusal)) : this.save();
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
      if (file.folded) this.#vault.writing.markNow(file);
    } else {
      await this.#create();
    }
    this.#durable = this.#handedOver;
    await this.point();
  }

  async #create(): Promise<void> {
    const first: FirstStep = (siblings) => {
      if (this.#ended) throw new CofferError('NOT_SAVED', 'overtaken by the final save');
      return this.#firstStep(siblings());
    };
    try {
      await this.#vault.writing.create(first, (writable) => this.#adopt(writable));
    } catch (error) {
      if (!this.#ended) throw error; // otherwise the final save has already saved this step
    }
  }

  #writeSync(): void {
    if (this.#writable) this.#writable.file.saveSync(this.#step());
    else {
      this.#vault.writing.createSync(
        (siblings) => this.#firstStep(siblings()),
        (writable) => this.#adopt(writable),
      );
    }
    this.#durable = this.#handedOver;
    if (!this.#pointed && this.#fileId !== undefined) this.#vault.writing.pointAutosaveSync(this.#fileId);
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
    const { events, state } = this.#record;
    const { uuid, name, lastEvent } = state;
    const lines = encodeEvents(events.slice(this.#handedOver));
    const summary = encodeSummary(summarize(state, { kind: 'session', id: this.#id ?? '', uuid, name }));
    const drafted = draft && encodeEvents([{ id: lastEvent + 1, ts: Date.now(), ...draft }]);
    this.#handedOver = events.length; // only after everything that can throw
    return { lines, summary, ...(drafted && { draft: drafted }) };
  }
}
