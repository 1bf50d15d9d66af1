import { join } from 'node:path';
import { startKeychain } from '../support/keychain.ts';
import type { Save } from './strace-kinds.ts';
import { credential, type Place } from './strace-saves.ts';

/** Number of cases that run at a time: there are two cores. */
const WORKERS = 2;

/**
 * The place where one worker's processes find the key, for saves with a keychain and for those
 * without.
 */
export interface Worker {
  placeOf(save: Save): Place;
}

/**
 * Starts the workers, each with its own keychain, runs `work` with them, and ends what they
 * started.
 */
export async function withWorkers<T>(folder: string, work: (workers: readonly Worker[]) => Promise<T>): Promise<T> {
  await using stack = new AsyncDisposableStack();
  const compiled = { NODE_COMPILE_CACHE: join(folder, 'compiled') };
  const workers: Worker[] = [];
  for (let index = 0; index < WORKERS; index++) {
    const bus = stack.use(await startKeychain());
    const keyed: Place = { env: { ...bus.env, ...compiled }, bus };
    const given: Place = { env: { ...credential(join(folder, `key-${index}`)), ...compiled } };
    workers.push({ placeOf: (save) => (save.isKeyed === false ? given : keyed) });
  }
  return await work(workers);
}

/**
 * Gives every case to the next free worker, and reports progress. If one of them throws, no more
 * cases start, and it rejects once the others are done.
 */
export async function shareOut<C>(
  workers: readonly Worker[],
  cases: readonly C[],
  run: (one: C, worker: Worker) => Promise<void>,
  tell: (line: string) => void,
): Promise<void> {
  const waiting = [...cases];
  const done = await Promise.allSettled(
    workers.map(async (worker) => {
      try {
        for (let one = waiting.shift(); one !== undefined; one = waiting.shift()) {
          await run(one, worker);
          if (waiting.length % 50 === 0) tell(`${cases.length - waiting.length} of ${cases.length}`);
        }
      } finally {
        waiting.length = 0;
      }
    }),
  );
  for (const one of done) if (one.status === 'rejected') throw one.reason;
}
