import { isatty } from 'node:tty';

/**
 * The limits of waiting for a keychain, in milliseconds. Waiting fails only if the other side is
 * known to be waiting for the user (a prompt, a locked collection), is known to be dead, or,
 * without a terminal, has been silent for {@link UNATTENDED}.silence.
 */
export interface Patience {
  /** Whether a user can see and answer an unlock prompt. */
  readonly mayPrompt: boolean;
  /**
   * The maximum silence of the keychain before it counts as dead. Infinity: wait until the user
   * cancels.
   */
  readonly silence: number;
  /** The maximum time that an unlock prompt stays open. */
  readonly prompt: number;
}

/** For a terminal with a display: the user can answer a prompt and press Ctrl+C. */
export const ATTENDED: Patience = { mayPrompt: true, silence: Number.POSITIVE_INFINITY, prompt: 60_000 };

/** For a terminal without a display: the user can press Ctrl+C, but can't see a prompt. */
export const WATCHED: Patience = { mayPrompt: false, silence: Number.POSITIVE_INFINITY, prompt: 0 };

/**
 * Without a terminal: a silent keychain is reported within 15 seconds, including the command's
 * start.
 */
export const UNATTENDED: Patience = { mayPrompt: false, silence: 14_000, prompt: 0 };

/**
 * For shell completion: the user is waiting for the Tab key, so a slow keychain means completing
 * without the vault's names.
 */
export const IN_PASSING: Patience = { mayPrompt: false, silence: 800, prompt: 0 };

/**
 * The length of a wait, in milliseconds, after which the user is notified and a chat continues
 * without the key.
 */
export const LONG_MS = 2_000;

/**
 * Returns the limits for this environment. Prompts are possible at a terminal with a local display
 * (macOS and Windows always have one), not over SSH. CI counts as having no terminal.
 */
export function patienceFor(
  env: NodeJS.ProcessEnv,
  terminal: boolean = isatty(0) || isatty(1) || isatty(2),
  platform: NodeJS.Platform = process.platform,
): Patience {
  if (!terminal || is(env, 'CI')) return UNATTENDED;
  const display = platform === 'darwin' || platform === 'win32' || is(env, 'DISPLAY') || is(env, 'WAYLAND_DISPLAY');
  const remote = is(env, 'SSH_CONNECTION') || is(env, 'SSH_TTY');
  return display && !remote ? ATTENDED : WATCHED;
}

function is(env: NodeJS.ProcessEnv, name: string): boolean {
  return (env[name] ?? '') !== '';
}
