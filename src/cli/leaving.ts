import { CofferError, isCofferError } from '../errors.ts';
import type { Unsaved } from '../session/origin.ts';
import type { Session } from '../session/session.ts';
import { clock } from '../terminal/rows.ts';
import type { Resuming } from './resuming.ts';

/** A conversation that is to be left. */
export interface Leaving extends Resuming {
  readonly session: Session;
  readonly unsaved: Unsaved | undefined;
}

/**
 * Makes sure that a conversation may be left: steps that are not on disk are dropped only if the user says so. Waits for a key that has been
 * asked for, and saves with it. Throws `NOT_SAVED` to stay in the conversation.
 */
export async function requireMayLeave(chat: Leaving): Promise<void> {
  const { terminal, input, sessions } = chat;
  if (chat.unsaved !== undefined && sessions.key.state === 'awaited') await saveWithKey(chat);
  const { unsaved } = chat;
  if (unsaved === undefined) return;
  const question = `this conversation is not saved since ${clock(unsaved.since)}; drop what is not? [y/N] `;
  const answer = terminal.interactive ? await input.ask(question) : undefined;
  if (/^y(es)?$/i.test(answer?.trim() ?? '')) return;
  throw new CofferError('NOT_SAVED', 'still in this conversation: it is not saved', { reason: unsaved.error.reason });
}

/** Whoever stops waiting for the key, or waits in vain, still has what is not saved. */
async function saveWithKey({ sessions, session }: Leaving): Promise<void> {
  try {
    await sessions.unlock();
  } catch (error) {
    if (!isCofferError(error)) throw error; // `unsaved` tells
  }
  await session.record();
}
