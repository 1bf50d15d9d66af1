import { CofferError } from '../../../errors.ts';
import type { Chat } from '../../../terminal/chat.ts';
import { escapeJson } from '../../../terminal/output/escape.ts';
import type { CommandSpec, Shell } from '../../command.ts';
import { changeVault } from '../../shell.ts';

/** `coffer fork` and `/fork`. */
export const forkCommand: CommandSpec<[which: string, prompts: string | undefined], ForkFlags> = {
  name: 'fork',
  description: 'begin a session from the first prompts of another (default: all)',
  arguments: [{ syntax: '<which>' }, { syntax: '[prompts]', description: 'how many prompts to keep' }],
  options: [
    { flags: '--accept-older', description: 'fork an older copy that was put back' },
    { flags: '--json', description: 'print a JSON object' },
  ],
  examples: ['coffer fork last', 'coffer fork fixing-auth-bug 3'],
  run,
  slash: {
    usage: '[n]',
    about: 'continue in a copy of this conversation with its first n prompts (default: all)',
    run: runSlash,
  },
};

/** Options of a fork. */
export interface ForkFlags {
  readonly json?: boolean | undefined;
  readonly acceptOlder?: boolean | undefined;
}

/**
 * Creates a session from another's first prompts (default: all), and prints its id. The other
 * session is unchanged, except for an event that records the fork. Throws `USAGE`, what finding and
 * reading it throw, `ROLLED_BACK` unless `acceptOlder`, `NOT_SAVED`.
 */
async function run(shell: Shell, [which, prompts]: [string, string | undefined], options: ForkFlags): Promise<void> {
  const { terminal } = shell;
  const wanted = prompts === undefined ? undefined : promptNumberOf(prompts);
  await changeVault(shell, async ({ sessions }) => {
    const row = await sessions.find(which);
    const { forkRow } = await import('../../../session/change/forking.ts');
    const fork = await forkRow(sessions, row, { prompts: wanted, acceptOlder: options.acceptOlder });
    const { session, unnoted } = fork;
    await session.append();
    await session.close();
    const { id, uuid, fileId } = session;
    if (options.json === true) {
      const parent = { uuid: row.uuid, id: row.id };
      terminal.write(`${escapeJson({ id, uuid, fileId, parent, prompts: fork.prompts, of: fork.of })}\n`);
    } else {
      terminal.say(id ?? '');
      terminal.tell(
        `forked from ${row.id} after prompt ${fork.prompts} of ${fork.of}; coffer resume ${id} continues it`,
      );
    }
    if (unnoted !== undefined && row.kind !== 'snapshot')
      terminal.tell(`${row.id} does not record the fork: ${unnoted.message}`);
  });
}

/** Continues in a fork of the current conversation. Throws `USAGE`, `NOT_SAVED`. */
async function runSlash(chat: Chat, argument: string): Promise<void> {
  const wanted = argument === '' ? undefined : promptNumberOf(argument);
  const { session, terminal } = chat;
  const { prompts, of } = await chat.fork(wanted);
  const back = session.id === undefined ? '' : `; /resume ${session.id} goes back`;
  const from = session.id === undefined ? 'this conversation' : session.id;
  terminal.say(`forked from ${from} after prompt ${prompts} of ${of}${back}`);
}

/** Parses the number of a prompt. Throws `USAGE` if it isn't one. */
export function promptNumberOf(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new CofferError('USAGE', `"${text}" is not a prompt number`, { advice: 'prompts are numbered from 1' });
}
