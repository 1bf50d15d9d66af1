import { isCofferError } from '../errors.ts';
import { acceptDraft } from './event/accept.ts';
import type { Event, NewEvent, Status } from './event/event.ts';
import type { SessionOrigin, Unsaved } from './origin.ts';
import { SessionRecord } from './record.ts';
import { Saver } from './saver.ts';
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
  readonly #record: SessionRecord;
  readonly #saver: Saver;
  readonly #autosave: boolean;
  #draft: NewEvent | undefined;
  /** The step lost to a torn write, as a sentence; undefined if the file was intact. */
  readonly lost: string | undefined;

  /** @internal */
  constructor(origin: SessionOrigin) {
    this.#record = new SessionRecord(origin.events, origin.written === undefined);
    this.#saver = new Saver(origin, this.#record);
    this.#autosave = origin.autosave;
    this.lost = origin.written?.lost;
  }

  /** UUID of the session, assigned when it begins. */
  get uuid(): string {
    return this.#record.state.uuid;
  }

  /** Id of the session (`2025-07-04_12-30`); undefined before the first save. */
  get id(): string | undefined {
    return this.#saver.id;
  }

  /** Name of its sealed file, 32 hex digits; undefined before the first save. */
  get fileId(): string | undefined {
    return this.#saver.fileId;
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
    return this.#saver.unsaved;
  }

  /** Whether the session is closed. */
  get isClosed(): boolean {
    return this.#saver.hasEnded;
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
    await this.#saver.save();
  }

  /**
   * Like {@link append}, but reports a failed save through {@link unsaved} instead of throwing, and
   * doesn't save at all if autosave is off. Does nothing once the session has ended, because a
   * reply may still be arriving when the final save is made.
   */
  async record(...events: NewEvent[]): Promise<void> {
    if (this.isClosed) return;
    this.#add(events);
    if (this.#autosave) await this.#saver.saveBestEffort();
  }

  /**
   * Replaces all events recorded so far and rewrites the file, so that nothing removed remains in
   * it. Events recorded in the meantime are kept and follow the new ones. Durable when it resolves,
   * unless the session has no file yet: then only memory changes. Throws as {@link append}.
   */
  async rewrite(events: readonly Event[]): Promise<void> {
    this.#requireOpen();
    await this.#saver.rewrite(events);
  }

  /**
   * Rewinds the conversation to its first `prompts` prompts and their answers (default: all but the
   * last prompt). What it removes from the conversation stays in the file. Returns the number of
   * prompts it keeps, of prompts before, and of messages it removes; if that is 0, nothing is
   * recorded. Throws `USAGE` if there are fewer prompts or none, and as {@link append}.
   */
  async rewind(prompts?: number): Promise<{ prompts: number; of: number; cut: number }> {
    const { rewindOf } = await import('./change/fork.ts');
    const { event, ...counts } = rewindOf(this.state, prompts);
    if (event !== undefined) await this.append(event);
    return counts;
  }

  /**
   * Removes a text from every event and from the file. Snapshots and forks keep it. Returns the
   * number of events changed; if it is 0, nothing is written. Durable when it resolves. Throws
   * `USAGE` for a text that is too short, and as {@link rewrite}.
   */
  async redact(text: string): Promise<number> {
    const { redactionOf, redactSession } = await import('./change/redact.ts');
    return redactSession(this, redactionOf(text));
  }

  /**
   * Points `_autosave` at this session. If that fails, the next save tries again and reports it.
   */
  async point(): Promise<void> {
    try {
      await this.#saver.point();
    } catch (error) {
      if (!isCofferError(error)) throw error;
    }
  }

  /**
   * Takes a snapshot: an immutable copy with its own id and, if given, name. Returns its id and its
   * number of user and assistant messages. Durable when it resolves. Throws `NAME_INVALID`,
   * `NOT_SAVED`, `KEY_*`.
   */
  async save(name?: string): Promise<{ id: string; messages: number }> {
    return this.#saver.snapshot(name);
  }

  /**
   * The message in progress: the part of a reply received so far, marked partial. {@link finalSave}
   * records it; {@link saveDraft} saves it until the next step replaces it. The setter copies the
   * message and throws TypeError if it isn't a valid message event.
   *
   * @internal
   */
  get draft(): NewEvent | undefined {
    return this.#draft;
  }

  /** @internal */
  set draft(draft: NewEvent | undefined) {
    this.#draft = draft && acceptDraft(draft);
  }

  /**
   * Saves the {@link draft}, best effort. The next step replaces it.
   *
   * @internal
   */
  async saveDraft(): Promise<void> {
    if (this.#autosave && this.#draft && !this.isClosed) await this.#saver.saveBestEffort(this.#draft);
  }

  /**
   * Synchronously saves everything recorded, the {@link draft} and the final status, for a process
   * that is about to exit. Durable when it returns; the session is closed then. Does nothing if the
   * session has ended, nothing was recorded or autosave is off. Throws `NOT_SAVED`,
   * `DURABILITY_UNKNOWN`; it may be called again then.
   *
   * @internal
   */
  finalSave(status: Status = 'cancelled'): void {
    if (this.isClosed || !this.#autosave) return;
    if (this.#draft) this.#add([this.#draft]);
    this.#draft = undefined;
    if (!this.#record.hasChanged) return;
    this.#addStatus(status);
    this.#saver.saveSync();
  }

  /**
   * Closes the session: records the final status if anything was recorded, folds the file into one
   * frame and releases the lease, even if saving fails. Throws as {@link append}.
   */
  async close(status: Status = 'completed'): Promise<void> {
    const last = !this.isClosed && this.#record.hasChanged && this.#autosave;
    if (last) this.#addStatus(status);
    await this.#saver.close(last);
  }

  /** Closes the session with status `completed`. Throws as {@link close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #addStatus(status: Status): void {
    if (this.#record.isLive && this.#record.state.status !== status) this.#add([{ type: 'status', status }]);
  }

  #add(step: readonly NewEvent[]): void {
    this.#requireOpen();
    this.#record.add(step);
  }

  #requireOpen(): void {
    if (this.isClosed) throw new TypeError('the session is closed');
  }
}
