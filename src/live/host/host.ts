import type { ChatModel } from '../../chat/models/models.ts';
import { isCofferError } from '../../errors.ts';
import type { Instructions } from '../../session/event/event.ts';
import type { Row } from '../../session/list/row.ts';
import type { Surroundings } from '../../session/project/project.ts';
import type { Session } from '../../session/session.ts';
import type { Sessions } from '../../session/sessions.ts';
import type { Settings } from '../../settings/settings.ts';
import type { Kept } from '../live.ts';
import { LiveSession } from '../live-session.ts';
import type { FrontEnd } from '../question.ts';
import type { Begun, SessionHost } from './session-host.ts';
import { type ToolHost, Workplace } from './workplace.ts';

/** The state that the live sessions of a process share. */
export interface HostParts {
  readonly sessions: Sessions;
  readonly settings: Settings;
  /** Reads the settings that apply in another directory. Throws `SETTINGS_INVALID`. */
  settingsIn(directory: string): Promise<Settings>;
  readonly env: NodeJS.ProcessEnv;
  /** The directory of new conversations, and what is known of its git state so far. */
  readonly surroundings: Surroundings;
  /** Whether there is no vault and no key, so that conversations stay in memory. */
  readonly inMemory: boolean;
  readonly incognito: boolean;
  /** Whether a user can answer questions. */
  readonly attended: boolean;
  /** Whether conversations may be sent to another machine without asking. */
  readonly maySend: boolean;
}

/** Questions about resuming a session that the user has answered in advance. */
export interface Accepted {
  /** Accepts a session that is older than when it was last seen. */
  readonly acceptOlder?: boolean | undefined;
  /** Moves the session to the directory that the chat was started in. */
  readonly here?: boolean | undefined;
}

/** Begins, resumes and forks the live sessions of this process. */
export class Host implements SessionHost {
  readonly sessions: Sessions;
  readonly env: NodeJS.ProcessEnv;
  readonly attended: boolean;
  readonly maySend: boolean;
  readonly #parts: HostParts;
  #surroundings: Surroundings;
  #instructions: readonly Instructions[] = [];

  constructor(parts: HostParts) {
    this.sessions = parts.sessions;
    this.env = parts.env;
    this.attended = parts.attended;
    this.maySend = parts.maySend;
    this.#parts = parts;
    this.#surroundings = parts.surroundings;
  }

  /** How sessions are kept. Changes from `memory` to `sealed` once the key becomes available. */
  get kept(): Kept {
    if (this.#parts.incognito) return 'incognito';
    return this.#parts.inMemory && this.sessions.keys.status.state !== 'ready' ? 'memory' : 'sealed';
  }

  /** Begins a conversation. Writes nothing until its first step. */
  begin(model: ChatModel | undefined, name: string, permissions?: Session['state']['permissions']): LiveSession {
    return new LiveSession({ host: this, model, ...this.beginning(name, permissions) });
  }

  /** Begins the session of a conversation. `model` is the model's name. */
  beginning(model: string, permissions?: Session['state']['permissions']): Begun {
    const session = this.sessions.begin({
      ...this.#surroundings,
      model,
      permissions,
      instructions: this.#instructions,
    });
    return { session, workplace: this.#start, isUnplaced: this.#surroundings.project === undefined };
  }

  /** Sets the instructions that conversations begin with from now on. */
  instruct(instructions: readonly Instructions[]): void {
    this.#instructions = instructions;
  }

  /** Sets the directory and git state that conversations begin with from now on. */
  place(surroundings: Surroundings): void {
    this.#surroundings = surroundings;
  }

  /**
   * Resumes a session in its own directory, or in this one if the user chooses that. Doesn't open
   * its model yet. Asks the user if the session is older than when it was last seen, if another
   * process holds it, or if it was in another directory. Returns undefined if the session is in use
   * and the user chose to only read it. Throws `SESSION_IN_USE`, `UNAUTHENTIC`, `ROLLED_BACK`,
   * `NEWER_VERSION`, `KEY_*`, `FAILED` if its directory is gone, and `CANCELLED`.
   */
  async resume(
    row: Row,
    front: FrontEnd,
    accepted: Accepted,
    model: ChatModel | undefined,
  ): Promise<LiveSession | undefined> {
    const session = await this.#reopen(row, front, accepted.acceptOlder ?? false);
    if (session === undefined) return undefined;
    const surroundings = this.#surroundings;
    let workplace: Workplace;
    try {
      const { workplaceOf } = await import('./directory.ts');
      workplace = await workplaceOf(session, front, {
        ...{ start: this.#start, surroundings, here: accepted.here ?? false, place: this.#place },
        settingsIn: (directory) => this.#parts.settingsIn(directory),
      });
    } catch (error) {
      await session.close();
      throw error;
    }
    await session.point();
    const isHere = session.state.directory === surroundings.directory && session.state.project === undefined;
    return new LiveSession({
      ...{ host: this, session, workplace, model },
      isUnplaced: isHere && surroundings.project === undefined,
    });
  }

  /**
   * Begins a session that continues the first `prompts` prompts (default: all) of another, and
   * records the fork in both. Returns it with the number of prompts that it keeps, and that there
   * were (`of`). Throws `USAGE`.
   */
  async fork(
    from: LiveSession,
    prompts: number | undefined,
  ): Promise<{ live: LiveSession; prompts: number; of: number }> {
    const { forkOpen } = await import('../../session/change/forking.ts');
    const { workplace, model } = from;
    const options = { prompts, model: model?.name };
    const fork = await forkOpen(this.sessions, from.session, options, (child) => from.note(child));
    const live = new LiveSession({ host: this, session: fork.session, workplace, model, isUnplaced: false });
    return { live, prompts: fork.prompts, of: fork.of };
  }

  get #place(): ToolHost {
    return { env: this.env, vault: this.sessions.directory };
  }

  /** The workplace of new conversations. */
  get #start(): Workplace {
    return new Workplace(this.#surroundings.directory, { settings: this.#parts.settings, place: this.#place });
  }

  async #reopen(row: Row, front: FrontEnd, acceptOlder: boolean): Promise<Session | undefined> {
    const { sessions } = this;
    try {
      return await sessions.resume(row, { acceptOlder, point: false });
    } catch (error) {
      const isOffered = isCofferError(error, 'ROLLED_BACK', 'SESSION_IN_USE');
      if (!isOffered || !front.attended) throw error;
      if (error.code === 'ROLLED_BACK') {
        if ((await front.ask({ kind: 'accept-older', error })) !== 'yes') throw error;
        return await sessions.resume(row, { acceptOlder: true, point: false });
      }
      const answer = await front.ask({ kind: 'in-use', error });
      if (answer === 'fork') return await sessions.fork(row, { acceptOlder });
      if (answer === 'read') return undefined;
      throw error;
    }
  }
}
