import type { ChatModel, ProviderSettings } from '../chat/models/models.ts';
import { CofferError, isCofferError } from '../errors.ts';
import type { Instructions } from '../session/event/event.ts';
import type { Row } from '../session/list/row.ts';
import type { Unsaved } from '../session/origin.ts';
import type { Surroundings } from '../session/project/project.ts';
import type { Session } from '../session/session.ts';
import type { Sessions } from '../session/sessions.ts';
import type { Settings } from '../settings/settings.ts';
import type { Input } from '../terminal/input.ts';
import { clock, countMessages } from '../terminal/rows.ts';
import type { Terminal } from '../terminal/terminal.ts';
import type { Workplace } from './resuming.ts';

/** What a chat is begun with. */
export interface ChatParts {
  readonly terminal: Terminal;
  readonly input: Input;
  readonly sessions: Sessions;
  readonly settings: Settings;
  /** The settings as they are for a session of another directory. Rejects as {@link loadSettings}. */
  settingsIn(directory: string): Promise<Settings>;
  readonly env: NodeJS.ProcessEnv;
  /** The directory that new conversations are about, and what git has said of it so far. */
  readonly surroundings: Surroundings;
  /** The person keeps this chat in memory: there is no vault, and nothing was promised. */
  readonly inMemory: boolean;
  /** Nothing of this chat is kept, and nothing else is opened. */
  readonly incognito?: boolean | undefined;
  /** Only the reply is asked for: what is said about the session belongs to stderr. */
  readonly prompted?: boolean | undefined;
  /** A conversation may go to another machine without asking. */
  readonly maySend?: boolean | undefined;
}

/** The chat on this terminal: one conversation at a time, and the model that answers. */
export class Chat {
  readonly terminal: Terminal;
  readonly input: Input;
  readonly sessions: Sessions;
  /** The list last shown here: the numbers people type are its rows. */
  shown: readonly Row[] | undefined;
  readonly incognito: boolean;
  readonly #parts: ChatParts;
  #surroundings: Surroundings;
  #session: Session;
  #workplace: Workplace;
  #instructions: readonly Instructions[] = [];
  /** The session that began before git had said which project this is. */
  #unplaced: Session | undefined;
  #model: ChatModel | undefined;

  constructor(parts: ChatParts, model: ChatModel) {
    this.terminal = parts.terminal;
    this.input = parts.input;
    this.sessions = parts.sessions;
    this.incognito = parts.incognito === true;
    this.#parts = parts;
    this.#surroundings = parts.surroundings;
    this.#model = model;
    this.#workplace = this.#start;
    this.#session = this.#begin(model.name);
  }

  get session(): Session {
    return this.#session;
  }

  /** Who answers; undefined where the model of a resumed conversation is not to be had. */
  get model(): ChatModel | undefined {
    return this.#model;
  }

  /** The directory this chat was started in, and what git has said of it so far. */
  get surroundings(): Surroundings {
    return this.#surroundings;
  }

  /** Whether this conversation has begun without knowing which project it belongs to. */
  get isUnplaced(): boolean {
    return this.#session === this.#unplaced && !this.#isBlank;
  }

  /**
   * Takes what git has said since the conversation began, for this conversation and the next ones. Must not be called during a turn,
   * which records in the session it began with.
   */
  async place(surroundings: Surroundings): Promise<void> {
    this.#surroundings = surroundings;
    const { project } = surroundings;
    if (project === undefined || this.#session !== this.#unplaced) return;
    const { model, permissions } = this.#session.state;
    if (this.#isBlank) this.#session = this.#begin(model, permissions);
    else await this.#session.record({ type: 'project', project });
    this.#unplaced = undefined;
  }

  get env(): NodeJS.ProcessEnv {
    return this.#parts.env;
  }

  /** Where the tools of the conversation work, and the settings that hold there. */
  get workplace(): Workplace {
    return this.#workplace;
  }

  get settings(): Settings {
    return this.#workplace.settings;
  }

  get providers(): Readonly<Record<string, ProviderSettings>> {
    return this.settings.providers;
  }

  /** Nothing of this chat goes to the disk, as the person was told. A keychain that comes back ends that. */
  get inMemory(): boolean {
    return this.#parts.inMemory && this.sessions.key.state !== 'ready';
  }

  /** Since when steps that should be on the disk are not. */
  get unsaved(): Unsaved | undefined {
    return this.inMemory ? undefined : this.#session.unsaved;
  }

  /**
   * Ends the conversation and begins another, with what tools were granted where `keeps` says so. Gives the id of the one before, where it
   * has one; throws `NOT_SAVED` to keep it.
   */
  async reset({ keeps }: { keeps: boolean }): Promise<string | undefined> {
    const { model, permissions } = this.#session.state;
    const before = await this.#leave(async () => this.#begin(this.#model?.name ?? model, keeps ? permissions : []));
    return before.id;
  }

  /**
   * Ends the conversation and goes on with the session that `next` begins, and with its model. Throws `NOT_SAVED` to keep the one
   * before, and what `next` throws.
   */
  async goTo(next: (before: Session) => Promise<Session>): Promise<void> {
    const before = this.#session;
    await this.#leave(() => next(before));
    await this.#restoreModel(this.#session.state.model);
  }

  /**
   * Resumes another session, with its model and in its directory, see {@link workplaceOf}. One that is not as it was seen is resumed only if
   * that is accepted, here or by the user. Returns whether a session was resumed: the user may choose only to read one that is in use. If it
   * throws, the present conversation is as it was. Throws `SESSION_NOT_FOUND`, `SESSION_AMBIGUOUS`, `SESSION_IN_USE`, `UNAUTHENTIC`,
   * `ROLLED_BACK`, `NEWER_VERSION`, `KEY_*`, `NOT_SAVED`, `FAILED` if its directory is gone, and `CANCELLED`.
   */
  async resume(
    which: string,
    accepted: { acceptOlder?: boolean | undefined; here?: boolean | undefined } = {},
  ): Promise<boolean> {
    const row = await this.sessions.find(which, this.shown);
    if (row.fileId === this.#session.fileId) {
      this.terminal.say(`this is session ${row.label} already`);
      return true;
    }
    const before = await this.#leave(() => this.#reopen(row, accepted));
    if (this.#session === before) return false;
    const { state, lost } = this.#session;
    const isFork = row.kind === 'session' && this.#session.fileId !== row.fileId;
    const how = isFork ? `forked from ${row.id}` : `resumed session ${row.label}`;
    const resumed = `${how} (${countMessages(state.messageCount)}, ${state.model})`;
    if (this.#parts.prompted) this.terminal.tell(resumed);
    else this.terminal.say(resumed);
    if (lost !== undefined) this.terminal.tell(lost);
    await this.#restoreModel(state.model);
    return true;
  }

  /** Tells the model something before this conversation, if nothing has been said in it, and before those that are begun in this chat. */
  instruct(instructions: readonly Instructions[]): void {
    this.#instructions = instructions;
    const { model, permissions } = this.#session.state;
    if (this.#isBlank) this.#session = this.#begin(model, permissions);
  }

  /** Lets another model answer from now on. Throws `MODEL_UNKNOWN`, `MODEL_KEY_MISSING`, `MODEL_ELSEWHERE`, `SETTINGS_INVALID`. */
  async choose(name: string): Promise<void> {
    const { openModel } = await import('../chat/models/models.ts');
    const model = await openModel(name, { ...this.settings, env: this.env });
    await this.#requireMaySend(model.name);
    this.#model = model;
    const chosen = model.name;
    if (this.#session.state.model === chosen) return;
    if (this.#isBlank) this.#session = this.#begin(chosen);
    else await this.#session.record({ type: 'model', model: chosen });
  }

  /** Saves and closes the conversation at the end of the chat. Throws `NOT_SAVED` saying what is lost. */
  async close(): Promise<void> {
    if (this.inMemory || this.incognito) return;
    try {
      await this.#session.close();
    } catch (error) {
      throw this.#lost(error);
    }
    this.tellUnmarked();
  }

  /** Everything is saved, but an older copy of it put back would not be noticed: that is no failure, and not kept quiet either. */
  tellUnmarked(): void {
    const { unmarked } = this.sessions;
    if (unmarked !== undefined) this.terminal.tell(`saved, but ${unmarked.message}`);
  }

  /** The final save of a process that ends now. Synchronous. Throws `NOT_SAVED` saying what is lost. */
  finalSave(): void {
    if (this.inMemory || this.incognito) return;
    try {
      this.#session.finalSave();
    } catch (error) {
      throw this.#lost(error);
    }
    this.tellUnmarked();
  }

  #lost(error: unknown): unknown {
    if (!isCofferError(error)) return error;
    const { unsaved } = this.#session;
    const messages =
      unsaved && unsaved.messages > 0 && `${countMessages(unsaved.messages)} since ${clock(unsaved.since)}`;
    const what = `not saved, lost: ${messages || 'how the conversation ended'}`;
    return new CofferError('NOT_SAVED', what, { reason: error.reason, cause: error });
  }

  /** Opens the session to resume and decides where its tools work; undefined if the user chose to read it. */
  async #reopen(row: Row, { acceptOlder = false, here = false }): Promise<Session | undefined> {
    const { reopen, workplaceOf } = await import('./resuming.ts');
    const { surroundings } = this;
    const session = await reopen(this, row, acceptOlder);
    if (session === undefined) return undefined;
    const settingsIn = (directory: string): Promise<Settings> => this.#parts.settingsIn(directory);
    try {
      this.#workplace = await workplaceOf(this, session, { start: this.#start, surroundings, here, settingsIn });
    } catch (error) {
      await session.close();
      throw error;
    }
    await session.point();
    const isHere = session.state.directory === surroundings.directory && session.state.project === undefined;
    this.#unplaced = isHere && surroundings.project === undefined ? session : undefined;
    return session;
  }

  /** Where new conversations are. */
  get #start(): Workplace {
    return { directory: this.#surroundings.directory, settings: this.#parts.settings };
  }

  get #isBlank(): boolean {
    return this.#session.id === undefined && this.#session.state.messageCount === 0;
  }

  #begin(model: string, permissions?: Session['state']['permissions']): Session {
    const session = this.sessions.begin({
      ...{ ...this.surroundings, model, permissions },
      instructions: this.#instructions,
    });
    this.#unplaced = this.#surroundings.project === undefined ? session : undefined;
    this.#workplace = this.#start;
    return session;
  }

  async #requireMaySend(to: string): Promise<void> {
    const { terminal, input, settings } = this;
    const { requireMaySend } = await import('./elsewhere.ts');
    await requireMaySend(this.#session.state, to, { terminal, input, settings, yes: this.#parts.maySend === true });
  }

  /** Goes over to the session that `next` gives, and closes the one before, which it gives. */
  async #leave(next: () => Promise<Session | undefined>): Promise<Session> {
    await this.#requireMayLeave();
    const before = this.#session;
    const session = await next();
    if (session === undefined) return before;
    this.#session = session;
    await this.#closeBefore(before);
    return before;
  }

  async #requireMayLeave(): Promise<void> {
    if (this.unsaved === undefined) return;
    const { requireMayLeave } = await import('./leaving.ts');
    await requireMayLeave(this);
  }

  async #closeBefore(before: Session): Promise<void> {
    if (this.inMemory) return;
    try {
      await before.close();
    } catch (error) {
      if (!isCofferError(error)) throw error;
      this.terminal.tell(`the conversation before was left without its last step: ${error.message}`);
      return;
    }
    this.tellUnmarked();
  }

  async #restoreModel(name: string): Promise<void> {
    if (this.#model?.name === name) return;
    try {
      await this.choose(name);
    } catch (error) {
      if (!isCofferError(error)) throw error;
      this.#model = undefined;
      this.terminal.tell(`${error.message}; /model <name> chooses another`);
    }
  }
}
