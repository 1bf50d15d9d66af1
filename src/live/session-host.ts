import type { ChatModel } from '../chat/models/models.ts';
import type { Session } from '../session/session.ts';
import type { State } from '../session/state.ts';
import type { Kept } from './live.ts';
import type { Workplace } from './workplace.ts';

/** A session that begins to live, and where it works. */
export interface Begun {
  readonly session: Session;
  readonly workplace: Workplace;
  /** The project of the session's directory is not known yet: git has not answered. */
  readonly isUnplaced: boolean;
}

/** What a live session needs of the process that hosts it. */
export interface SessionHost {
  readonly kept: Kept;
  readonly env: NodeJS.ProcessEnv;
  /** Whether a person can answer questions. */
  readonly attended: boolean;
  /** Whether conversations may be sent to another machine without a question. */
  readonly maySend: boolean;
  /** Begins the session of a conversation; `model` is its name. */
  beginning(model: string, permissions?: State['permissions']): Begun;
}

/** What a live session is made of. */
export interface LiveParts extends Begun {
  readonly host: SessionHost;
  readonly model: ChatModel | undefined;
}
