import { isatty } from 'node:tty';

/** How long a keychain may take, in milliseconds, and whether anybody is there to answer its prompt. */
export interface Patience {
  readonly mayPrompt: boolean;
  /** For its state, which needs no prompt. */
  readonly state: number;
  /** For a look-up or a write, its state included. */
  readonly whole: number;
}

/** Somebody is there: an unlock prompt may stay open for a minute. */
export const ATTENDED: Patience = { mayPrompt: true, state: 10_000, whole: 60_000 };

/**
 * Nobody is there. A probe and the look-up after it, and even two probes and a state before that, come to less than
 * three seconds together, which is what a command without a terminal may take.
 */
export const UNATTENDED: Patience = { mayPrompt: false, state: 800, whole: 1_900 };

/**
 * Tells how long to wait. Somebody can answer a prompt where there is a terminal, a display of this machine
 * (macOS and Windows always have one), no SSH and no CI.
 */
export function patienceFor(
  env: NodeJS.ProcessEnv,
  terminal: boolean = isatty(0) || isatty(1) || isatty(2),
  platform: NodeJS.Platform = process.platform,
): Patience {
  const display = platform === 'darwin' || platform === 'win32' || is(env, 'DISPLAY') || is(env, 'WAYLAND_DISPLAY');
  const remote = is(env, 'SSH_CONNECTION') || is(env, 'SSH_TTY');
  return terminal && display && !remote && !is(env, 'CI') ? ATTENDED : UNATTENDED;
}

function is(env: NodeJS.ProcessEnv, name: string): boolean {
  return (env[name] ?? '') !== '';
}
