import { constants } from 'node:os';

/** The final actions of a {@link Guard}. */
export interface LastActs {
  /** The final save: synchronous, idempotent. */
  save(): void;
  /** Reports what was lost after `save` threw, and returns the exit code. Must not throw. */
  lost(error: unknown): number;
  /** Restores the terminal. Must not throw. */
  restore(): void;
  /**
   * Ends the process if raising the signal again doesn't: process 1 of a container has no default
   * action.
   */
  leave(code: number): void;
}

/** Guards a chat until it is disposed. */
export interface Guard extends Disposable {
  /** Saves, then ends the process by the signal, so that its parent sees it. */
  end(signal: NodeJS.Signals): void;
}

/**
 * Makes the final save however the process ends: SIGINT, SIGTERM, SIGHUP, or `exit` (main turns an
 * uncaught exception into one). The handlers stay until the save is done, so a second signal cannot
 * cut it short; everything after that is synchronous until the signal is raised again.
 */
export function guard(acts: LastActs): Guard {
  const save = (): number | undefined => {
    try {
      acts.save();
      return undefined;
    } catch (error) {
      return acts.lost(error);
    }
  };
  const end = (signal: NodeJS.Signals): void => {
    save();
    acts.restore();
    dispose();
    process.kill(process.pid, signal);
    setImmediate(() => acts.leave(128 + (constants.signals[signal] ?? 0)));
  };
  const onExit = (): void => {
    const code = save();
    if (code !== undefined) process.exitCode = code;
  };
  const dispose = (): void => {
    for (const signal of endings) process.removeListener(signal, end);
    process.removeListener('exit', onExit);
  };
  for (const signal of endings) process.on(signal, end);
  process.on('exit', onExit);
  return { end, [Symbol.dispose]: dispose };
}

/**
 * Overrides Node's default action for two signals: SIGUSR1 opens the inspector, through which any
 * process of this user can read the vault key; SIGXFSZ (a file size limit) ends the process before
 * the write can fail.
 */
export function tameSignals(): void {
  process.on('SIGUSR1', ignore);
  if (process.platform !== 'win32') process.on('SIGXFSZ', ignore);
}

const endings: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];

function ignore(): void {
  return;
}
