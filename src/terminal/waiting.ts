import type { KeyWait } from '../session/open-vault.ts';
import type { Terminal } from './terminal.ts';

/*
 * What the user is told while coffer waits: nothing for two seconds, then one line that names what it waits for. Without a terminal
 * nobody could stop the wait, so it is limited, and nothing is printed unless it fails.
 */

/** How long a wait may take, in milliseconds, before a person is told about it, and before a chat continues without the answer. */
export const NOTICE_MS = 2_000;

/** How long git may take without a terminal, and when nothing depends on its answer: a command ends within 15 seconds then. */
export const GIT_LIMIT_MS = 14_000;

/** Tells that the keychain takes long, or asks to be unlocked, if a person can see it. */
export function tellWait(terminal: Terminal, wait: KeyWait): void {
  if (!terminal.attended) return;
  terminal.tell(
    wait === 'prompt'
      ? 'the keychain asks to be unlocked; answer its prompt'
      : 'the keychain has not answered yet; waiting for it, ctrl+c stops',
  );
}

/** Returns how long git may take, in milliseconds, if its answer decides which session is meant. */
export function gitLimit(terminal: Terminal): number {
  return terminal.attended ? Number.POSITIVE_INFINITY : GIT_LIMIT_MS;
}

/** Waits for git, and tells so once that has taken two seconds, if a person can see it. */
export async function awaitGit<T>(terminal: Terminal, looking: Promise<T>): Promise<T> {
  const tell = (): void => terminal.tell('git has not answered yet; waiting for it, ctrl+c stops');
  const timer = terminal.attended ? setTimeout(tell, NOTICE_MS) : undefined;
  try {
    return await looking;
  } finally {
    clearTimeout(timer);
  }
}

/** Waits for `work` up to a time limit in milliseconds. Returns its result, or undefined if it takes longer. */
export async function within<T>(work: Promise<T>, milliseconds: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), milliseconds);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
