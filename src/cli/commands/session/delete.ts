import { CofferError } from '../../../errors.ts';
import type { Row } from '../../../session/list/row.ts';
import type { Sessions } from '../../../session/sessions.ts';
import type { Chat } from '../../../terminal/chat.ts';
import { shellWord } from '../../../terminal/output/escape.ts';
import type { CommandSpec, Shell } from '../../command.ts';
import { changeVault } from '../../shell.ts';
import { type Asked, confirmRemoval, describeDoomed } from './removal.ts';

/** `coffer delete` and `/delete`. */
export const deleteCommand: CommandSpec<[which: string[]], { yes?: boolean }> = {
  name: 'delete',
  description: 'delete sessions or snapshots; coffer purge also makes what remains on the disk unreadable',
  arguments: [{ syntax: '<which...>' }],
  options: [{ flags: '--yes', description: 'skip the confirmation' }],
  examples: ['coffer delete 3', 'coffer delete 2025-07-04_12-30 fixing-auth-bug --yes'],
  run,
  slash: {
    usage: '<which>',
    about: 'delete another session or snapshot, after a confirmation',
    run: runSlash,
  },
};

/**
 * Deletes sessions or snapshots after listing them and asking. If a process holds one of them, none
 * is deleted. Throws `SESSION_NOT_FOUND`, `SESSION_AMBIGUOUS`, `SESSION_IN_USE`, `CANCELLED`,
 * `KEY_*`, and `USAGE` if there is no terminal to ask on.
 */
async function run(shell: Shell, [wanted]: [string[]], options: { yes?: boolean }): Promise<void> {
  const { terminal } = shell;
  await changeVault(shell, async ({ sessions, input }) => {
    const all = await sessions.list();
    const rows = await Promise.all(wanted.map((which) => sessions.find(which, all)));
    const yes = (options.yes ?? shell.options.yes) === true;
    await removeWanted(sessions, rows, all, { terminal, input, yes, instead: 'use --yes to skip the question' });
  });
}

/**
 * Deletes a session from within a chat, never the current one. Throws as {@link run}, and `USAGE`
 * for the current one.
 */
async function runSlash(chat: Chat, which: string): Promise<void> {
  const { terminal, input, sessions } = chat;
  if (which === '')
    throw new CofferError('USAGE', 'which one is needed: /delete <which>', { advice: '/sessions lists them' });
  const row = await sessions.find(which, chat.shown);
  if (row.fileId === chat.session.fileId) {
    throw new CofferError('USAGE', 'this is the conversation you are in', {
      advice: 'leave it with /reset first',
    });
  }
  const instead = `use coffer delete ${shellWord(row.id)} --yes`;
  await removeWanted(sessions, [row], await sessions.list(), { terminal, input, yes: false, instead });
  chat.tellUnmarked();
}

async function removeWanted(
  sessions: Sessions,
  wanted: readonly Row[],
  all: readonly Row[],
  asked: Asked,
): Promise<void> {
  const { terminal } = asked;
  const rows = [...new Map(wanted.map((row) => [row.fileId, row])).values()];
  const held = rows.find((row) => row.held !== undefined);
  if (held?.held !== undefined) {
    const { describeHolder } = await import('../../../vault/lease.ts');
    const holder = describeHolder(held.held);
    throw new CofferError('SESSION_IN_USE', `${held.id} is in use by ${holder}`, {
      advice: 'close it there; nothing was deleted',
      holder: held.held,
    });
  }
  const doomed = rows.map((row) => ({ row, reason: 'you asked for it' }));
  for (const one of doomed) terminal.tell(`will be deleted: ${describeDoomed(one)}`);
  const { copiesOf } = await import('../../../session/list/copies.ts');
  const copies = await copiesOf(sessions, rows, all);
  for (const { id } of copies)
    terminal.tell(`${id} has text of the same conversation and is kept; coffer delete ${shellWord(id)}`);
  const conflicts = await sessions.upkeep.conflicts(all);
  for (const { name, path } of conflicts.filter((copy) => rows.some((row) => row.fileId === copy.fileId)))
    terminal.tell(`${name} has text of the same conversation and is kept; remove ${path} by hand`);
  const ids = rows.map(({ id }) => shellWord(id)).join(' ');
  terminal.tell(
    `deleted text may remain on this disk and in backups; coffer purge ${ids} makes what remains on the disk unreadable`,
  );
  await confirmRemoval(asked, rows.length);
  const { keepingCaches } = await import('../../../session/change/removal.ts');
  await keepingCaches(sessions, rows, async () => {
    for (const row of rows) {
      await sessions.delete(row);
      terminal.say(`deleted ${row.id}`);
    }
  });
}
