import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';

/**
 * Gives how many bytes of memory this process may still take before the system ends it or swaps for good, as far as the system tells: what
 * the machine has left, and what a container may have. Caches of files count as left.
 */
export function memoryLeft(): number {
  const own = process.memoryUsage.rss();
  const limit = process.constrainedMemory();
  const inContainer = limit > 0 && limit < totalmem() ? limit - own : Number.POSITIVE_INFINITY;
  return Math.max(0, Math.min(inContainer, onMachine(own)));
}

/** Only Linux tells what it could make free; elsewhere all that other programs do not need for sure is not known. */
function onMachine(own: number): number {
  if (process.platform !== 'linux') return totalmem() - own;
  try {
    const text = readFileSync('/proc/meminfo', 'latin1');
    return kibibytes(text, 'MemAvailable') + kibibytes(text, 'SwapFree');
  } catch {
    return totalmem() - own; // no /proc: as on other systems
  }
}

function kibibytes(text: string, name: string): number {
  return Number(new RegExp(`^${name}: *(\\d+) kB$`, 'm').exec(text)?.[1] ?? 0) * 1024;
}
