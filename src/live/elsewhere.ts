import { CofferError } from '../errors.ts';
import type { State } from '../session/state.ts';
import type { Settings } from '../settings/settings.ts';
import type { FrontEnd } from './question.ts';

/**
 * Checks that a conversation may be sent to a model: with the next prompt, all of it is. If it was
 * held with a model on this machine and `to` is elsewhere, the user must agree, or have agreed
 * beforehand with `maySend`. Throws `MODEL_ELSEWHERE`.
 */
export async function requireMaySend(
  state: Pick<State, 'messageCount' | 'model'>,
  to: string,
  {
    settings: { providers, localOnly },
    front,
    maySend,
  }: { readonly settings: Settings; readonly front: FrontEnd; readonly maySend: boolean },
): Promise<void> {
  const { isLocalModel } = await import('../chat/models/models.ts');
  if (isLocalModel(to, providers) === true) return;
  if (localOnly) {
    throw new CofferError(
      'MODEL_ELSEWHERE',
      `${to} is not on this machine, and the setting localOnly keeps conversations here`,
    );
  }
  const { messageCount: messages, model: from } = state;
  const isNew = messages === 0 || isLocalModel(from, providers) === false;
  if (isNew || maySend) return;
  const answer = front.attended ? await front.ask({ kind: 'send-elsewhere', messages, from, to }) : 'no';
  if (answer === 'yes') return;
  const what = messages === 1 ? '1 message' : `${messages} messages`;
  throw new CofferError('MODEL_ELSEWHERE', `${what} with ${from}, which is on this machine, are not sent to ${to}`, {
    advice: '--yes sends them, /reset begins anew',
  });
}
