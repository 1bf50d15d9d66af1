import { spawnSync } from 'node:child_process';

/** How often Node is started. */
const TIMES = 7;

/**
 * Measures how fast this machine is: the median of the milliseconds that `node -e 0` takes. Limits of time are stated for a machine on
 * which that is 40. As a program it prints the number.
 */
export function nodeStartMs(): number {
  const times = Array.from({ length: TIMES }, () => {
    const start = performance.now();
    spawnSync(process.execPath, ['-e', '0']);
    return performance.now() - start;
  });
  return Math.round(times.sort((one, other) => one - other)[TIMES >> 1] ?? 0);
}

if (process.argv[1] === import.meta.filename) console.log(nodeStartMs());
