import type { Wait } from '../../chat/reply.ts';
import { CofferError } from '../../errors.ts';
import { changeVault } from '../changing.ts';
import type { Chat } from '../chat.ts';
import { requireMaySend } from '../elsewhere.ts';
import type { Shell } from '../shell.ts';
import { describeCompacted } from '../turn.ts';

/**
 * Puts a summary in place of a session's older messages, for the model alone: the record keeps all. The session's model writes it unless
 * `--model` says another. Throws `MODEL_*`, what finding and opening it throw, `FAILED` for a snapshot, `NOT_SAVED`.
 */
export async function compactSession(shell: Shell, which: string): Promise<void> {
  const { terminal, env, options } = shell;
  await changeVault(shell, async ({ sessions, input, settings }) => {
    const row = await sessions.find(which);
    const compacted = await sessions.change(row, async (session) => {
      const { compact } = await import('../../chat/compact.ts');
      const { openModel } = await import('../../chat/models/models.ts');
      const name = options.model ?? session.state.model;
      const model = await openModel(name, { ...settings, env });
      await requireMaySend(session.state, model.name, { settings, terminal, input, yes: options.yes === true });
      const onWait = (wait: Wait): void => terminal.tellWait(wait);
      const done = await compact(session, model, { keepMessages: settings.keepMessages, onWait });
      if (done.messages > 0) await session.append(); // what it recorded must be on the disk, whatever autoSave says
      return done;
    });
    terminal.say(describeCompacted(compacted, settings.keepMessages));
  });
}

/** The same for the present conversation. Ctrl+C cancels it. Throws `MODEL_*`, `CANCELLED`. */
export async function compactFromChat(chat: Chat): Promise<void> {
  const { session, model, input, settings, terminal } = chat;
  if (model === undefined)
    throw new CofferError('MODEL_UNKNOWN', 'no model is there to answer', { advice: '/model <name> chooses one' });
  const { compact } = await import('../../chat/compact.ts');
  const controller = new AbortController();
  const { onInterrupt } = input;
  input.onInterrupt = () => controller.abort();
  try {
    const { keepMessages } = settings;
    const onWait = (wait: Wait): void => terminal.tellWait(wait);
    const compacted = await compact(session, model, { keepMessages, signal: controller.signal, onWait });
    terminal.say(describeCompacted(compacted, keepMessages));
  } finally {
    input.onInterrupt = onInterrupt;
  }
}
