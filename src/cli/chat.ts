import type { ChatModel, ProviderSettings } from '../chat/models.ts';
import { CofferError, isCofferError } from '../errors.ts';
import type { Unsaved } from '../session/origin.ts';
import type { Row } from '../session/row.ts';
import type { Session } from '../session/session.ts';
import type { Sessions } from '../session/sessions.ts';
import type { Input } from './input.ts';
import { clock, countMessages } from './rows.ts';
import type { Settings } from './settings.ts';
import type { Terminal } from './terminal.ts';

/** What a chat is begun with. */
export interface ChatParts {
  readonly terminal: Terminal;
  readonly input: Input;
  readonly sessions: Sessions;
  readonly settings: Settings;
  readonly env: NodeJS.ProcessEnv;
  /** The directory that new conversations are about. */
  readonly directory: string;
  /** The person keeps this chat in memory: there is no vault, and nothing was promised. */
  readonly inMemory: boolean;
}

/** The chat on this terminal: one conversation at a time, and the model that answers. */
export class Chat {
  readonly terminal: Terminal;
  readonly input: Input;
  readonly sessions: Sessions;
  /** The list last shown here: the numbers people type are its rows. */
  shown: readonly Row[] | undefined;
  readonly #parts: ChatParts;
  #session: Session;
  #model: ChatModel | undefined;

  constructor(parts: ChatParts, model: ChatModel) {
    this.terminal = parts.terminal;
    this.input = parts.input;
    this.sessions = parts.sessions;
    this.#parts = parts;
    this.#model = model;
    this.#session = this.#begin(model.name);
  }

  get session(): Session {
    return this.#session;
  }

  /** Who answers; undefined where the model of a resumed conversation is not to be had. */
  get model(): ChatModel | undefined {
    return this.#model;
  }

  get settings(): Settings {
    return this.#parts.settings;
  }

  get providers(): Readonly<Record<string, ProviderSettings>> {
    return this.#parts.settings.providers;
  }

  /** Nothing of this chat goes to the disk, as the person was told. A keychain that comes back ends that. */
  get inMemory(): boolean {
    return this.#parts.inMemory && this.sessions.key.state !== 'ready';
  }

  /** Since when steps that should be on the disk are not. */
  get unsaved(): Unsaved | undefined {
    return this.inMemory ? undefined : this.#session.unsaved;
  }

  /** Ends the conversation and begins another. Gives the id of the one before, where it has one; throws `NOT_SAVED` to keep it. */
  async reset(): Promise<string | undefined> {
    await this.#mayLeave();
    const before = this.#session;
    this.#session = this.#begin(this.#model?.name ?? before.state.model);
    await this.#closeBefore(before);
    return before.id;
  }

  /**
   * Goes on with another session, and with its model; with one that is not as it was seen only where that is accepted, or somebody
   * is there to say yes. The present one is untouched where that can't be done. Throws `SESSION_NOT_FOUND`, `SESSION_AMBIGUOUS`,
   * `SESSION_IN_USE`, `UNAUTHENTIC`, `ROLLED_BACK`, `NEWER_VERSION`, `KEY_*`, `NOT_SAVED`.
   */
  async resume(which: string, accepted: { acceptOlder?: boolean } = {}): Promise<void> {
    const row = await this.sessions.find(which, this.shown);
    if (row.fileId === this.#session.fileId) {
      this.terminal.say(`this is session ${row.label} already`);
      return;
    }
    await this.#mayLeave();
    const before = this.#session;
    this.#session = await this.#reopen(row, accepted.acceptOlder === true);
    await this.#closeBefore(before);
    const { state, lost } = this.#session;
    this.terminal.say(`resumed session ${row.label} (${countMessages(state.messageCount)}, ${state.model})`);
    if (lost !== undefined) this.terminal.tell(lost);
    await this.#restoreModel(state.model);
  }

  /** Lets another model answer from now on. Throws `MODEL_UNKNOWN`, `MODEL_KEY_MISSING`, `SETTINGS_INVALID`. */
  async choose(name: string): Promise<void> {
    const { openModel } = await import('../chat/models.ts');
    this.#model = await openModel(name, { providers: this.providers, env: this.#parts.env });
    const chosen = this.#model.name;
    if (this.#session.state.model === chosen) return;
    if (this.#isBlank) this.#session = this.#begin(chosen);
    else await this.#session.record({ type: 'model', model: chosen });
  }

  /** Saves and closes the conversation at the end of the chat. Throws `NOT_SAVED` saying what is lost. */
  async close(): Promise<void> {
    if (this.inMemory) return;
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
    if (this.inMemory) return;
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
    const message = `not saved, lost: ${messages || 'how the conversation ended'}: ${reasonOf(error)}`;
    return new CofferError('NOT_SAVED', message, { cause: error });
  }

  async #reopen(row: Row, acceptOlder: boolean): Promise<Session> {
    try {
      return await this.sessions.resume(row, { acceptOlder });
    } catch (error) {
      if (!isCofferError(error, 'ROLLED_BACK') || !this.terminal.interactive) throw error;
      this.terminal.tell(error.message);
      const answer = await this.input.ask('go on from what is there? what was saved after it stays lost [y/N] ');
      if (!/^y(es)?$/i.test(answer?.trim() ?? '')) throw error;
      return this.sessions.resume(row, { acceptOlder: true });
    }
  }

  get #isBlank(): boolean {
    return this.#session.id === undefined && this.#session.state.messageCount === 0;
  }

  #begin(model: string): Session {
    return this.sessions.begin({ directory: this.#parts.directory, model });
  }

  /** Steps that are nowhere but here are not dropped without a word. */
  async #mayLeave(): Promise<void> {
    const { unsaved } = this;
    if (unsaved === undefined) return;
    const question = `this conversation is not saved since ${clock(unsaved.since)}; drop what is not? [y/N] `;
    const answer = this.terminal.interactive ? await this.input.ask(question) : undefined;
    if (/^y(es)?$/i.test(answer?.trim() ?? '')) return;
    throw new CofferError('NOT_SAVED', `still in this conversation: it is not saved: ${reasonOf(unsaved.error)}`);
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

/**
 * The reason in an error's message, fit for a status line: `disk full` of `cannot write /x: disk full; nothing changed`,
 * `the bus is gone: ENOENT` of `no key can be kept: the bus is gone: ENOENT; start it`.
 */
export function reasonOf(error: CofferError): string {
  const [what = ''] = error.message.split('; ');
  const at = error.code.startsWith('KEY_') ? what.indexOf(': ') : what.lastIndexOf(': ');
  return at === -1 ? what : what.slice(at + 2);
}
