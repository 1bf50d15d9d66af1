import { CofferError, isCofferError } from '../errors.ts';
import type { Session } from '../session/session.ts';
import type { Sessions } from '../session/sessions.ts';
import type { FrontEnd } from './question.ts';

/**
 * Checks that a conversation may be left: steps that are not on disk are dropped only if the user
 * agrees. If the vault's key is still being looked up, waits for it and saves first. Throws
 * `NOT_SAVED` to stay in the conversation.
 */
export async function requireMayLeave(session: Session, sessions: Sessions, front: FrontEnd): Promise<void> {
  if (session.unsaved !== undefined && sessions.key.state === 'awaited') await saveWithKey(session, sessions);
  const { unsaved } = session;
  if (unsaved === undefined) return;
  const { since, error } = unsaved;
  const answer = front.attended ? await front.ask({ kind: 'drop-unsaved', since }) : 'no';
  if (answer === 'yes') return;
  throw new CofferError('NOT_SAVED', 'still in this conversation: it is not saved', { reason: error.reason });
}

/** If the key doesn't come, `session.unsaved` still says so. */
async function saveWithKey(session: Session, sessions: Sessions): Promise<void> {
  try {
    await sessions.unlock();
  } catch (error) {
    if (!isCofferError(error)) throw error;
  }
  await session.record();
}
