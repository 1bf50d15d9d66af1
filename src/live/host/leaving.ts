import { CofferError, isCofferError } from '../../errors.ts';
import type { Session } from '../../session/session.ts';
import type { Sessions } from '../../session/sessions.ts';
import type { FrontEnd } from '../question.ts';

/**
 * Checks that a conversation may be left: unsaved steps are dropped only if the user agrees. If the
 * lookup of the vault key is still pending, waits for it and saves first. Throws `NOT_SAVED` if the
 * chat should stay in this conversation.
 */
export async function requireMayLeave(session: Session, sessions: Sessions, front: FrontEnd): Promise<void> {
  if (session.unsaved !== undefined && sessions.keys.status.state === 'awaited') await saveWithKey(session, sessions);
  const { unsaved } = session;
  if (unsaved === undefined) return;
  const { since, error } = unsaved;
  const answer = front.attended ? await front.ask({ kind: 'drop-unsaved', since }) : 'no';
  if (answer === 'yes') return;
  throw new CofferError('NOT_SAVED', 'staying in this conversation, which is not saved', { reason: error.reason });
}

/** Saves once the key is available. If it doesn't become available, `session.unsaved` stays set. */
async function saveWithKey(session: Session, sessions: Sessions): Promise<void> {
  try {
    await sessions.keys.unlock();
  } catch (error) {
    if (!isCofferError(error)) throw error;
  }
  await session.record();
}
