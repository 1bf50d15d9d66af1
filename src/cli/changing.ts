import { type Opened, openSessions, type Shell } from './shell.ts';

/**
 * Opens the vault for a command that changes it. That an older copy put back would not be noticed is told: everything else is done.
 * Throws what `work` throws, and as {@link openSessions}.
 */
export async function changeVault(shell: Shell, work: (opened: Opened) => Promise<void>): Promise<void> {
  const opened = await openSessions(shell);
  try {
    await work(opened);
    const { unmarked } = opened.sessions;
    if (unmarked !== undefined) shell.terminal.tell(`done, but ${unmarked.message}`);
  } finally {
    opened.input.close();
  }
}
