import { CofferError } from '../errors.ts';
import type { State } from '../session/state.ts';
import type { Settings } from '../settings/settings.ts';
import type { Input } from '../terminal/input.ts';
import { countMessages } from '../terminal/rows.ts';
import type { Terminal } from '../terminal/terminal.ts';

/**
 * Looks whether a conversation may go to a model: all of it is sent there with the next prompt. From a model on this machine to one
 * elsewhere somebody has to say so. Throws `MODEL_ELSEWHERE`.
 */
export async function requireMaySend(
  state: State,
  to: string,
  asked: {
    readonly settings: Settings;
    readonly terminal: Terminal;
    readonly input: Input;
    /** It was said on the command line. */
    readonly yes: boolean;
  },
): Promise<void> {
  const { isLocalModel } = await import('../chat/models/models.ts');
  const { providers, localOnly } = asked.settings;
  if (isLocalModel(to, providers) === true) return;
  if (localOnly) {
    throw new CofferError(
      'MODEL_ELSEWHERE',
      `${to} is not on this machine, and the setting localOnly keeps conversations here`,
    );
  }
  const isNew = state.messageCount === 0 || isLocalModel(state.model, providers) === false;
  if (isNew || asked.yes) return;
  const what = `${countMessages(state.messageCount)} with ${state.model}, which is on this machine`;
  if (asked.terminal.interactive) {
    const answer = await asked.input.ask(`${what}, would all be sent to ${to}; send them? [y/N] `);
    if (/^y(es)?$/i.test(answer?.trim() ?? '')) return;
  }
  throw new CofferError('MODEL_ELSEWHERE', `${what}, are not sent to ${to}`, {
    advice: '--yes sends them, /reset begins anew',
  });
}
