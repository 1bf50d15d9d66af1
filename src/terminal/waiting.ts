import type { KeyWait } from '../session/open-vault.ts';
import type { Terminal } from './output/terminal.ts';

/*
 * Messages while coffer waits: nothing for two seconds, then one line that names what it waits for.
 * Without a terminal no user could stop the wait, so it is limited, and nothing is printed unless
 * it fails.
 */

/**
 * How long a wait may take, in milliseconds, before it is reported, and before a chat continues
 * without the answer.
 */
export const NOTICE_MS = 2_000;

/**
 * How long git may take, in milliseconds, without a terminal or if nothing depends on its answer. A
 * command then ends within 15 seconds.
 */
export const GIT_LIMIT_MS = 14_000;

/** Reports that the keychain is slow, or asks to be unlocked, if a user can see it. */
export function tellWait(terminal: Terminal, wait: KeyWait): void {
  if (!terminal.attended) return;
  terminal.tell(
    wait === 'prompt' ? 'the keychain is locked; answer its prompt' : 'waiting for the keychain; press ctrl+c to stop',
  );
}

/**
 * Returns the time limit for git, in milliseconds, if its answer decides which session is meant.
 */
export function gitLimit(terminal: Terminal): number {
  return terminal.attended ? Number.POSITIVE_INFINITY : GIT_LIMIT_MS;
}

/** Waits for git, and reports that after two seconds, if a user can see it. */
export async function awaitGit<T>(terminal: Terminal, looking: Promise<T>): Promise<T> {
  const tell = (): void => terminal.tell('waiting for git; press ctrl+c to stop');
  const timer = terminal.attended ? setTimeout(tell, NOTICE_MS) : undefined;
  try {
    return await looking;
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Waits for `work`, up to a limit in milliseconds. Returns its result, or undefined if it takes
 * longer.
 */
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
