import { setTimeout as pause } from 'node:timers/promises';

/** A task to measure. */
export interface Task {
  readonly name: string;
  /** Runs the task once and returns its time in milliseconds, without preparation and clean-up. */
  run(): Promise<number> | number;
}

/** The distribution of the times of several runs, in milliseconds. */
export interface Spread {
  readonly runs: number;
  readonly median: number;
  readonly p10: number;
  readonly p90: number;
}

/** Default number of warm-up runs of each task, which fill caches and get code compiled. */
const WARM_UP = 3;

/**
 * Runs every task once a round, in a new random order each time and with a pause of one millisecond
 * between tasks, so that a temporary slowdown of the machine slows all of them down. Returns each
 * task's spread, by name.
 */
export async function interleave(
  tasks: readonly Task[],
  rounds: number,
  warmUp: number = WARM_UP,
): Promise<ReadonlyMap<string, Spread>> {
  const times = new Map<string, number[]>(tasks.map((task) => [task.name, []]));
  for (let round = -warmUp; round < rounds; round++) {
    for (const task of shuffled(tasks)) {
      await pause(1);
      const time = await task.run();
      if (round >= 0) times.get(task.name)?.push(time);
    }
  }
  return new Map([...times].map(([name, taken]) => [name, spreadOf(taken)]));
}

function shuffled<T>(items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, place: Math.random() }))
    .sort((a, b) => a.place - b.place)
    .map(({ item }) => item);
}

/** Returns the spread of some values. */
export function spreadOf(times: readonly number[]): Spread {
  const sorted = [...times].sort((a, b) => a - b);
  return {
    runs: sorted.length,
    median: quantile(sorted, 0.5),
    p10: quantile(sorted, 0.1),
    p90: quantile(sorted, 0.9),
  };
}

/** Returns a quantile of sorted values, interpolated linearly between two of them. */
export function quantile(sorted: readonly number[], part: number): number {
  const at = part * (sorted.length - 1);
  const below = sorted[Math.floor(at)] ?? Number.NaN;
  const above = sorted[Math.ceil(at)] ?? below;
  return below + (above - below) * (at - Math.floor(at));
}
