import type { ChatModel } from '../../chat/models/models.ts';
import type { Session } from '../../session/session.ts';
import type { State } from '../../session/state.ts';
import type { Kept } from '../live.ts';
import type { Workplace } from './workplace.ts';

/** A session that is about to run, and its workplace. */
export interface Begun {
  readonly session: Session;
  readonly workplace: Workplace;
  /** Whether the directory's project is still unknown because git has not answered. */
  readonly isUnplaced: boolean;
}

/** The process that hosts a live session. */
export interface SessionHost {
  /** How sessions are kept at the moment. */
  readonly kept: Kept;
  readonly env: NodeJS.ProcessEnv;
  /** Whether a user can answer questions. */
  readonly attended: boolean;
  /** Whether conversations may be sent to another machine without asking. */
  readonly maySend: boolean;
  /** Begins the session of a conversation. `model` is the model's name. */
  beginning(model: string, permissions?: State['permissions']): Begun;
}

/** The parts of a live session. */
export interface LiveParts extends Begun {
  readonly host: SessionHost;
  /** The model that replies. If undefined, prompts are rejected until one is chosen. */
  readonly model: ChatModel | undefined;
}
