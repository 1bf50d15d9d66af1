import { isatty } from 'node:tty';

/**
 * How long to wait for a keychain, in milliseconds. Waiting ends in failure only if the other side is known to be waiting for a
 * person (a prompt, a locked collection), is known to be dead, or, without a terminal, has been silent for {@link UNATTENDED}.silence.
 */
export interface Patience {
  /** Whether a person can see and answer an unlock prompt. */
  readonly mayPrompt: boolean;
  /** How long the keychain may go without answering anything before it counts as dead. Infinity: wait until the user stops it. */
  readonly silence: number;
  /** How long an unlock prompt may stay open. */
  readonly prompt: number;
}

/** A person can answer a prompt and press Ctrl+C. */
export const ATTENDED: Patience = { mayPrompt: true, silence: Number.POSITIVE_INFINITY, prompt: 60_000 };

/** A person can press Ctrl+C, but has no display of this machine to see a prompt on. */
export const WATCHED: Patience = { mayPrompt: false, silence: Number.POSITIVE_INFINITY, prompt: 0 };

/** No terminal: a command reports a keychain that never answers within 15 seconds, its own start included. */
export const UNATTENDED: Patience = { mayPrompt: false, silence: 14_000, prompt: 0 };

/** For shell completion: the user waits for the Tab key, and completes without the vault's names if the keychain is slow. */
export const IN_PASSING: Patience = { mayPrompt: false, silence: 800, prompt: 0 };

/** How long a wait may take, in milliseconds, before the user is told about it and a chat continues without the key. */
export const LONG_MS = 2_000;

/**
 * Chooses how long to wait. A prompt can be answered at a terminal with a display of this machine (macOS and Windows always have
 * one), outside SSH. CI counts as no terminal.
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
