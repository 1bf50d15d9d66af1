import { CofferError } from '../../../errors.ts';
import { type Prompt, promptsOf, type Rewind, rewindOf } from '../../../session/change/fork.ts';
import type { Chat } from '../../../terminal/chat.ts';
import { countMessages } from '../../../terminal/output/rows.ts';
import type { CommandSpec, Shell } from '../../command.ts';
import { changeVault } from '../../shell.ts';
import { promptNumberOf } from './fork.ts';

/** `coffer rewind` and `/rewind`. */
export const rewindCommand: CommandSpec<[which: string, prompts: string]> = {
  name: 'rewind',
  description: 'drop what came after a prompt and its reply; it stays in the record',
  arguments: [{ syntax: '<which>' }, { syntax: '<prompts>', description: 'how many prompts to keep; 0 drops all' }],
  examples: ['coffer rewind last 3'],
  run,
  slash: {
    usage: '[n]',
    about: 'go back to after prompt n (default: drop the last prompt); ? lets you choose',
    run: runSlash,
  },
};

/**
 * Takes back everything after a prompt and its reply: it is no longer part of the conversation, but
 * stays in the record. Throws `USAGE`, what finding and opening it throw, `FAILED` for a snapshot,
 * `NOT_SAVED`.
 */
async function run(shell: Shell, [which, prompts]: [string, string]): Promise<void> {
  const { terminal } = shell;
  const wanted = promptNumberOf(prompts);
  await changeVault(shell, async ({ sessions }) => {
    const row = await sessions.find(which);
    const rewind = await sessions.change(row, async (session) => {
      const planned = rewindOf(session.state, wanted);
      if (planned.event !== undefined) await session.append(planned.event);
      return planned;
    });
    terminal.say(describeRewind(rewind, `coffer export ${row.id} and coffer logs ${row.id} still show`));
  });
}

/**
 * Like {@link run}, in the current conversation: by default takes back the last prompt, with `?`
 * asks where to go back to. Throws `USAGE`.
 */
async function runSlash(chat: Chat, argument: string): Promise<void> {
  const { live, terminal } = chat;
  const wanted = argument === '?' ? await choosePrompt(chat) : argument === '' ? undefined : promptNumberOf(argument);
  if (wanted === 'none') return;
  const rewind = await live.send({ type: 'Rewind', prompts: wanted });
  terminal.say(describeRewind(rewind, '/export and coffer logs still show'));
}

function describeRewind({ event, prompts, of, cut }: Rewind, show: string): string {
  if (event === undefined) return `prompt ${prompts} is the last; nothing to take back`;
  const where = prompts === 0 ? 'before the first prompt' : `after prompt ${prompts} of ${of}`;
  return `back ${where}: ${countMessages(cut)} taken back; ${show} them`;
}

/**
 * Asks for a prompt. Returns `none` if nothing was chosen; without a terminal, prints the prompts
 * instead.
 */
async function choosePrompt({ session, terminal, input }: Chat): Promise<number | 'none'> {
  const prompts = promptsOf(session.state);
  if (prompts.length === 0)
    throw new CofferError('USAGE', 'this conversation has no prompt yet', { advice: 'nothing to take back' });
  if (!terminal.interactive) {
    for (const prompt of prompts) terminal.say(`${String(prompt.number).padStart(3)}) ${firstLine(prompt)}`);
    return 'none';
  }
  const { pick } = await import('../../../terminal/input/picker.ts');
  const choices = prompts.slice(0, -1).map((prompt) => ({
    value: prompt.number,
    number: prompt.number,
    title: firstLine(prompt),
  }));
  const start = { value: 0, number: 0, title: 'before the first prompt' };
  const options = { question: 'go back to after which prompt?' };
  return (await pick(terminal, input, [...choices.toReversed(), start], options)) ?? 'none';
}

function firstLine({ text }: Prompt): string {
  const [line = ''] = text.trim().split('\n');
  return [...line].slice(0, 200).join('');
}
