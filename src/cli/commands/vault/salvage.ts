import { countMessages } from '../../../terminal/output/rows.ts';
import type { CommandSpec, Shell } from '../../command.ts';
import { openSessions } from '../../shell.ts';

/** `coffer salvage` */
export const salvageCommand: CommandSpec<[file: string]> = {
  name: 'salvage',
  description: 'recover what is readable of a damaged file as a new session',
  arguments: [{ syntax: '<file>', description: 'a list number, id, name in quarantine, or path' }],
  examples: ['coffer salvage 3'],
  run,
};

/**
 * Recovers what verifies of a damaged file, or of a conflicting copy, as a new session, and prints
 * what is lost and where the file is. Throws `SESSION_NOT_FOUND`, `SESSION_AMBIGUOUS`,
 * `UNAUTHENTIC` if nothing verifies, `FAILED` if nothing is damaged, `KEY_*`, `NEWER_VERSION`,
 * `NOT_SAVED`.
 */
async function run(shell: Shell, [which]: [string]): Promise<void> {
  const { terminal } = shell;
  const { sessions, input } = await openSessions(shell);
  try {
    const { id, messages, before, lost, damaged, path } = await sessions.upkeep.salvage(which);
    const share = before !== undefined && before > messages ? `${messages} of ` : '';
    terminal.say(`recovered ${share}${countMessages(share === '' ? messages : (before ?? 0))} as session ${id}`);
    const { describeLost } = await import('../../../session/change/salvage.ts');
    for (const gap of lost) terminal.tell(describeLost(gap));
    terminal.tell(damaged ? `the damaged file is kept as ${path}` : `the copy stays as ${path}; remove it by hand`);
  } finally {
    input.close();
  }
}
