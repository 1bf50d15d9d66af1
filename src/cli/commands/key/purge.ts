import { basename } from 'node:path';
import { CofferError } from '../../../errors.ts';
import { copiesOf } from '../../../session/list/copies.ts';
import type { Row } from '../../../session/list/row.ts';
import type { Sessions } from '../../../session/sessions.ts';
import { shellWord } from '../../../terminal/output/escape.ts';
import { countMessages } from '../../../terminal/output/rows.ts';
import type { CommandSpec, Shell } from '../../command.ts';
import { openSessions } from '../../shell.ts';
import { type RotateFlags, requireAnswers, resumeRotation, rotateWith, tellRotated } from './rotate.ts';

/** `coffer purge` */
export const purgeCommand: CommandSpec<[which: string[]], PurgeOptions> = {
  name: 'purge',
  description: "delete sessions or snapshots and rotate the key, so that their remains can't be read",
  arguments: [{ syntax: '<which...>' }],
  options: [
    { flags: '--yes', description: 'skip the confirmation' },
    { flags: '--drop-slots', description: 'without a terminal, drop slots instead of asking for their secrets' },
  ],
  examples: ['coffer purge 3', 'coffer purge draft old-plans --yes'],
  run,
};

/** Options of a purge. */
export interface PurgeOptions extends RotateFlags {
  /** Skips the confirmation. */
  readonly yes?: boolean | undefined;
}

/**
 * Deletes sessions or snapshots and rotates the key, so that their remains on the disk can't be
 * read with the new key alone. Reports what else contains their text. Returns the first problem,
 * which was already printed. Throws as a rotation does, `SESSION_NOT_FOUND`, and `USAGE` if there
 * is no terminal to confirm on.
 */
async function run(shell: Shell, [wanted]: [string[]], options: PurgeOptions): Promise<CofferError | undefined> {
  const { terminal } = shell;
  const { sessions, input } = await openSessions(shell);
  try {
    requireAnswers(shell, sessions, options);
    const all = await sessions.list();
    const rows = await Promise.all(wanted.map((which) => sessions.find(which, all)));
    const doomed = [...new Map(rows.map((row) => [row.fileId, row])).values()];
    for (const row of doomed) terminal.tell(`will be deleted permanently: ${describe(row)}`);
    if ((options.yes ?? shell.options.yes) !== true) {
      if (!terminal.interactive)
        throw new CofferError('USAGE', 'no terminal to confirm on', { advice: 'use --yes to skip the question' });
      const answer = await input.ask('type purge to delete them and rotate the vault key: ');
      if (answer?.trim() !== 'purge') throw new CofferError('CANCELLED', 'nothing was deleted');
    }
    const copies = await copiesOf(sessions, doomed, all);
    const conflicts = (await sessions.upkeep.conflicts(all)).filter((copy) =>
      doomed.some((row) => row.fileId === copy.fileId),
    );
    const isRotating = sessions.keys.slots.list().retiring !== undefined;
    const unfinished = isRotating && (await endRotation(shell, sessions, doomed));
    if (unfinished) return unfinished;
    const rotated = await rotateWith(shell, sessions, input, isRotating ? [] : doomed);
    const problem = tellRotated(shell, sessions, rotated);
    for (const row of copies)
      terminal.tell(`still contains purged text: ${describe(row)}; coffer purge ${shellWord(row.id)}`);
    const kept = rotated.quarantined.filter((path) => doomed.some(({ fileId }) => basename(path).startsWith(fileId)));
    for (const path of [...kept, ...conflicts.map((copy) => copy.path)])
      terminal.tell(`still contains purged text: ${path}; remove it by hand`);
    return problem;
  } finally {
    input.close();
  }
}

/**
 * Finishes an interrupted rotation first, after deleting the purged rows: one of them may be the
 * file it could not reseal. Returns the first problem left.
 */
async function endRotation(shell: Shell, sessions: Sessions, doomed: readonly Row[]): Promise<CofferError | undefined> {
  for (const row of doomed) await sessions.delete(row);
  const rotated = await resumeRotation(shell, sessions);
  return rotated && rotated.remaining.length > 0 ? tellRotated(shell, sessions, rotated) : undefined;
}

function describe(row: Row): string {
  return row.unreadable ? `${row.id} (unreadable)` : `${row.id}, ${countMessages(row.messages)}`;
}
