import { countMessages } from '../../../terminal/rows.ts';
import { openSessions, type Shell } from '../../shell.ts';

/** Takes a snapshot of a session as it is saved now. Throws `SESSION_NOT_FOUND`, `SESSION_AMBIGUOUS`, `NAME_INVALID`, `NOT_SAVED`, `KEY_*`. */
export async function save(shell: Shell, which: string, name: string | undefined): Promise<void> {
  const { terminal } = shell;
  const { sessions, input } = await openSessions(shell);
  try {
    const { id, messages } = await sessions.snapshot(await sessions.find(which), name);
    terminal.say(`session saved: ${id} (${countMessages(messages)})`);
    if (sessions.unmarked !== undefined) terminal.tell(`saved, but ${sessions.unmarked.message}`);
  } finally {
    input.close();
  }
}
