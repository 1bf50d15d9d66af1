import { stat } from 'node:fs/promises';
import type { Guard, LastActs } from '../../src/cli/signals.ts';

/*
 * What the usual helpers for the end of a process come to when the save is asynchronous. WRONG_EXIT says which: `raise` calls the
 * save and raises the signal again at once; `once` waits for the save, and its handlers are good for one signal.
 */

const waits = process.env['WRONG_EXIT'] === 'once';

/** Makes the final save as it should not be made. */
export function guard(acts: LastActs): Guard {
  const save = async (): Promise<void> => {
    await stat('.'); // what is asynchronous takes a turn of the event loop at least
    try {
      acts.save();
    } catch (error) {
      acts.lost(error);
    }
  };
  const end = (signal: NodeJS.Signals): void => {
    for (const each of endings) process.removeListener(each, end);
    const saved = save();
    const raise = (): void => {
      acts.restore();
      process.kill(process.pid, signal);
    };
    if (waits) void saved.then(raise);
    else raise();
  };
  for (const signal of endings) process.once(signal, end);
  process.on('exit', () => void save());
  return { end, [Symbol.dispose]: () => undefined };
}

/** As it is in coffer, where it is about other things. */
export function tameSignals(): void {
  process.on('SIGUSR1', () => undefined);
}

const endings: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];
