import type { RetryWait } from '../../../chat/reply.ts';
import { CofferError, isCofferError } from '../../../errors.ts';
import type { Chat } from '../../../terminal/chat.ts';
import { describeCompacted } from '../../../terminal/notices.ts';
import type { CommandSpec, Shell } from '../../command.ts';
import { changeVault } from '../../shell.ts';

/** `coffer compact` and `/compact`. */
export const compactCommand: CommandSpec<[which: string]> = {
  name: 'compact',
  description: 'summarise older messages to free context; saved history is unchanged',
  arguments: [{ syntax: '<which>' }],
  examples: ['coffer compact last', 'coffer compact 2 --model ollama/qwen3'],
  run,
  slash: {
    usage: '',
    about: 'summarise older messages to free context; saved history is unchanged',
    run: runSlash,
  },
};

/**
 * Summarises a session's older messages for the model; the record keeps them. The session's model
 * writes the summary, unless `--model` names another. Throws `MODEL_*`, what finding and opening it
 * throw, `FAILED` for a snapshot, `NOT_SAVED`.
 */
async function run(shell: Shell, [which]: [string]): Promise<void> {
  const { terminal, env, options } = shell;
  await changeVault(shell, async ({ sessions, input, settings }) => {
    const row = await sessions.find(which);
    const compacted = await sessions.change(row, async (session) => {
      const { compact } = await import('../../../chat/compact.ts');
      const { openModel } = await import('../../../chat/models/models.ts');
      const { requireMaySend } = await import('../../../live/host/elsewhere.ts');
      const { frontEnd } = await import('../../../terminal/questions.ts');
      const name = options.model ?? session.state.model;
      const model = await openModel(name, { ...settings, env });
      const front = frontEnd(terminal, input);
      await requireMaySend(session.state, model.name, { settings, front, maySend: options.yes === true });
      const onWait = ({ seconds, error }: RetryWait): void => front.notify({ kind: 'wait', seconds, error });
      const done = await compact(session, model, { keepMessages: settings.keepMessages, onWait });
      if (done.messages > 0) await session.append(); // its events must be on the disk, regardless of autoSave
      return done;
    });
    terminal.say(describeCompacted(compacted, settings.keepMessages));
  });
}

/** Compacts the current conversation; Ctrl+C cancels. Throws `USAGE`, `MODEL_*`, `CANCELLED`. */
async function runSlash(chat: Chat, argument: string): Promise<void> {
  if (argument !== '') throw new CofferError('USAGE', '/compact takes no arguments');
  const { live, terminal } = chat;
  const compacted = await cancellable(chat, () => live.send({ type: 'Compact' }));
  terminal.say(describeCompacted(compacted, live.settings.keepMessages));
}

/**
 * Summarises older messages at the end of a conversation, if the settings say so and there is
 * something to summarise; Ctrl+C skips it. A failure is only reported.
 */
export async function compactOnFinish(chat: Chat): Promise<void> {
  const { live, terminal, front } = chat;
  if (!live.settings.compactOnFinish || !(await canSummarise(live))) return;
  terminal.tell('summarising older messages');
  try {
    const compacted = await cancellable(chat, () => live.send({ type: 'Compact' }));
    front.notify({ kind: 'compacted', compacted, keepMessages: live.settings.keepMessages });
  } catch (error) {
    if (!isCofferError(error)) throw error;
    front.notify({ kind: 'not-compacted', error });
  }
}

async function cancellable<T>({ input, view }: Chat, work: () => Promise<T>): Promise<T> {
  const { onInterrupt } = input;
  input.onInterrupt = () => view.cancel();
  try {
    return await work();
  } finally {
    input.onInterrupt = onInterrupt;
  }
}

async function canSummarise({ session, settings, model }: Chat['live']): Promise<boolean> {
  if (model === undefined) return false;
  const { canCompact } = await import('../../../chat/compact.ts');
  return canCompact(session.state, settings.keepMessages, model);
}
