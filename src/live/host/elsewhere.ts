import { CofferError } from '../../errors.ts';
import type { State } from '../../session/state.ts';
import type { Settings } from '../../settings/settings.ts';
import type { FrontEnd } from '../question.ts';

/**
 * Checks that a conversation may be sent to the model named `to`: the next prompt sends all of it.
 * If the conversation so far was with a model on this machine and `to` runs elsewhere, the user
 * must agree, or have agreed in advance (`maySend`). Throws `MODEL_ELSEWHERE`.
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
  const { isLocalModel } = await import('../../chat/models/models.ts');
  if (isLocalModel(to, providers) === true) return;
  if (localOnly) {
    throw new CofferError(
      'MODEL_ELSEWHERE',
      `${to} is not on this machine, and the setting localOnly forbids sending conversations elsewhere`,
    );
  }
  const { messageCount: messages, model: from } = state;
  const isNew = messages === 0 || isLocalModel(from, providers) === false;
  if (isNew || maySend) return;
  const answer = front.attended ? await front.ask({ kind: 'send-elsewhere', messages, from, to }) : 'no';
  if (answer === 'yes') return;
  const what = messages === 1 ? '1 message' : `${messages} messages`;
  throw new CofferError('MODEL_ELSEWHERE', `${what} with ${from}, a model on this machine, not sent to ${to}`, {
    advice: 'send them with --yes, or start over with /reset',
  });
}
