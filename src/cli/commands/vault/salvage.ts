import { describeLost } from '../../../session/change/salvage.ts';
import { countMessages } from '../../../terminal/rows.ts';
import { openSessions, type Shell } from '../../shell.ts';

/**
 * Brings back what verifies of a damaged file, or of a conflicting copy, as a new session, and says what is lost and where the file is.
 * Throws `SESSION_NOT_FOUND`, `SESSION_AMBIGUOUS`, `UNAUTHENTIC` where nothing verifies, `FAILED` where nothing is damaged,
 * `KEY_*`, `NEWER_VERSION`, `NOT_SAVED`.
 */
export async function salvage(shell: Shell, which: string): Promise<void> {
  const { terminal } = shell;
  const { sessions, input } = await openSessions(shell);
  try {
    const { id, messages, before, lost, damaged, path } = await sessions.salvage(which);
    const share = before !== undefined && before > messages ? `${messages} of ` : '';
    terminal.say(`brought back ${share}${countMessages(share === '' ? messages : (before ?? 0))} as session ${id}`);
    for (const gap of lost) terminal.tell(describeLost(gap));
    terminal.tell(damaged ? `the damaged file is kept as ${path}` : `the copy stays as ${path}; remove it by hand`);
  } finally {
    input.close();
  }
}
