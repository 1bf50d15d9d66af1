import { stat } from 'node:fs/promises';
import type { Guard, LastActs } from '../../src/cli/signals.ts';

/*
 * The usual helpers for the end of a process, which fail if the save is asynchronous. WRONG_EXIT
 * selects one: `raise` calls the save and raises the signal again at once; `once` waits for the
 * save, but its handlers work for one signal only.
 */

const waits = process.env['WRONG_EXIT'] === 'once';

/** Makes the final save in the wrong way. */
export function guard(acts: LastActs): Guard {
  const save = async (): Promise<void> => {
    await stat('.'); // an asynchronous save takes at least one turn of the event loop
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

/** As in coffer: it is not what is wrong here. */
export function tameSignals(): void {
  process.on('SIGUSR1', () => undefined);
}

const endings: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];
