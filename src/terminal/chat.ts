import type { ProviderSettings } from '../chat/models/models.ts';
import { CofferError, isCofferError } from '../errors.ts';
import type { Accepted, Host } from '../live/host/host.ts';
import type { LiveSession } from '../live/live-session.ts';
import type { FrontEnd } from '../live/question.ts';
import type { Row } from '../session/list/row.ts';
import type { Unsaved } from '../session/origin.ts';
import type { Session } from '../session/session.ts';
import type { Sessions } from '../session/sessions.ts';
import type { Settings } from '../settings/settings.ts';
import type { Input } from './input/input.ts';
import { LiveView } from './live-view.ts';
import { clock, countMessages } from './output/rows.ts';
import type { Terminal } from './output/terminal.ts';
import { frontEnd } from './questions.ts';

/** The terminal of a chat, and the host of its sessions. */
export interface ChatParts {
  readonly terminal: Terminal;
  readonly input: Input;
  readonly host: Host;
  /** Whether the chat answers one prompt and exits. If so, stdout is for the reply only. */
  readonly prompted: boolean;
}

/** A chat on a terminal, with one live session at a time. */
export class Chat {
  readonly terminal: Terminal;
  readonly input: Input;
  readonly host: Host;
  readonly front: FrontEnd;
  /** The list that was shown last. Numbers that the user types refer to its rows. */
  shown: readonly Row[] | undefined;
  readonly #prompted: boolean;
  #live: LiveSession;
  #view: LiveView;

  constructor({ terminal, input, host, prompted }: ChatParts, live: LiveSession) {
    this.terminal = terminal;
    this.input = input;
    this.host = host;
    this.front = frontEnd(terminal, input);
    this.#prompted = prompted;
    this.#live = live;
    this.#view = new LiveView(live, { terminal, input });
  }

  get live(): LiveSession {
    return this.#live;
  }

  get view(): LiveView {
    return this.#view;
  }

  get sessions(): Sessions {
    return this.host.sessions;
  }

  get session(): Session {
    return this.#live.session;
  }

  get settings(): Settings {
    return this.#live.settings;
  }

  get providers(): Readonly<Record<string, ProviderSettings>> {
    return this.settings.providers;
  }

  get env(): NodeJS.ProcessEnv {
    return this.host.env;
  }

  get incognito(): boolean {
    return this.host.kept === 'incognito';
  }

  get inMemory(): boolean {
    return this.host.kept === 'memory';
  }

  /** The steps not yet on disk, if any. Always undefined for a chat in memory. */
  get unsaved(): Unsaved | undefined {
    return this.inMemory ? undefined : this.session.unsaved;
  }

  /**
   * Ends the conversation and begins another one, with the same permissions if `keeps`. Returns the
   * id of the previous one, if it has one. Throws `NOT_SAVED` if the chat stays in it.
   */
  async reset({ keeps }: { keeps: boolean }): Promise<string | undefined> {
    const before = this.#live;
    const { model, permissions } = before.session.state;
    const name = before.model?.name ?? model;
    await this.#leaveFor(async () => this.host.begin(before.model, name, keeps ? permissions : []));
    return before.session.id;
  }

  /**
   * Forks the conversation and continues in the fork. Returns the number of prompts that it keeps,
   * and that there were (`of`). Throws `USAGE`, and `NOT_SAVED` if the chat stays in the original.
   */
  async fork(prompts: number | undefined): Promise<{ prompts: number; of: number }> {
    let fork = { prompts: 0, of: 0 };
    await this.#leaveFor(async () => {
      const { live, ...counts } = await this.host.fork(this.#live, prompts);
      fork = counts;
      return live;
    });
    await this.#live.restoreModel(this.front);
    return fork;
  }

  /**
   * Resumes another session, with its model and in its directory. Returns false if that session is
   * in use and the user chose to only read it. If this throws, the chat stays in the current
   * conversation. Throws `SESSION_NOT_FOUND`, `SESSION_AMBIGUOUS`, `NOT_SAVED`, and as
   * `Host.resume`.
   */
  async resume(which: string, accepted: Accepted = {}): Promise<boolean> {
    const row = await this.sessions.find(which, this.shown);
    if (row.fileId === this.session.fileId) {
      this.terminal.say(`already in session ${row.label}`);
      return true;
    }
    const before = this.#live;
    await this.#leaveFor(() => this.host.resume(row, this.front, accepted, before.model));
    if (this.#live === before) {
      const { showConversation } = await import('./conversation.ts');
      await showConversation(this.terminal, await this.sessions.read(row));
      return false;
    }
    const { state, lost, fileId } = this.session;
    const isFork = row.kind === 'session' && fileId !== row.fileId;
    const how = isFork ? `forked from ${row.id}` : `resumed session ${row.label}`;
    const resumed = `${how} (${countMessages(state.messageCount)}, ${state.model})`;
    if (this.#prompted) this.terminal.tell(resumed);
    else this.terminal.say(resumed);
    if (lost !== undefined) this.terminal.tell(lost);
    await this.#live.restoreModel(this.front);
    return true;
  }

  /**
   * Saves and closes the conversation at the end of the chat. Throws `NOT_SAVED` with what is lost.
   */
  async close(): Promise<void> {
    try {
      await this.#live.close();
    } catch (error) {
      throw this.#lossError(error);
    }
    this.tellUnmarked();
  }

  /** Saves synchronously, for a process that is exiting. Throws `NOT_SAVED` with what is lost. */
  finalSave(): void {
    try {
      this.#live.finalSave();
    } catch (error) {
      throw this.#lossError(error);
    }
    this.tellUnmarked();
  }

  /** Warns if everything is saved, but coffer would not detect its replacement by an older copy. */
  tellUnmarked(): void {
    const { unmarked } = this.sessions.upkeep;
    if (unmarked === undefined || this.host.kept !== 'sealed') return;
    this.front.notify({ kind: 'unmarked', error: unmarked });
  }

  /** Switches to the conversation that `next` returns, if any, and closes the previous one. */
  async #leaveFor(next: () => Promise<LiveSession | undefined>): Promise<void> {
    if (this.unsaved !== undefined) {
      const { requireMayLeave } = await import('../live/host/leaving.ts');
      await requireMayLeave(this.session, this.sessions, this.front);
    }
    const before = this.#live;
    const live = await next();
    if (live === undefined) return;
    const { terminal, input } = this;
    this.#view.close();
    this.#live = live;
    this.#view = new LiveView(live, { terminal, input });
    try {
      await before.close();
    } catch (error) {
      if (!isCofferError(error)) throw error;
      this.front.notify({ kind: 'left-unsaved', error });
      return;
    }
    this.tellUnmarked();
  }

  #lossError(error: unknown): unknown {
    if (!isCofferError(error)) return error;
    const { unsaved } = this.session;
    const messages =
      unsaved && unsaved.messages > 0 && `${countMessages(unsaved.messages)} since ${clock(unsaved.since)}`;
    const what = `not saved, lost: ${messages || "the session's final status"}`;
    return new CofferError('NOT_SAVED', what, { reason: error.reason, cause: error });
  }
}
