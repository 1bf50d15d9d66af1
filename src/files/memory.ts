import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';

/**
 * Returns how many more bytes of memory this process may use before the system kills it or swaps
 * heavily, as far as the system tells: the free memory of the machine, within the limit of a
 * container. The file cache counts as free.
 */
export function memoryLeft(): number {
  const own = process.memoryUsage.rss();
  const limit = process.constrainedMemory();
  const inContainer = limit > 0 && limit < totalmem() ? limit - own : Number.POSITIVE_INFINITY;
  return Math.max(0, Math.min(inContainer, onMachine(own)));
}

/**
 * Returns the free memory of the machine. Only Linux reports how much it could free; on other
 * systems other programs' needs are unknown.
 */
function onMachine(own: number): number {
  if (process.platform !== 'linux') return totalmem() - own;
  try {
    const text = readFileSync('/proc/meminfo', 'latin1');
    return kibibytes(text, 'MemAvailable') + kibibytes(text, 'SwapFree');
  } catch {
    return totalmem() - own; // no /proc, so as on other systems
  }
}

function kibibytes(text: string, name: string): number {
  return Number(new RegExp(`^${name}: *(\\d+) kB$`, 'm').exec(text)?.[1] ?? 0) * 1024;
}
