import { freemem } from 'node:os';
import type { Skippable } from '../files/facilities.ts';

/**
 * Skips the running test, with its reason, if less memory is free than it needs: results of a
 * machine that swaps say nothing about coffer.
 */
export function requireMemory(context: Skippable, gibibytes: number): void {
  const free = freemem() / 2 ** 30;
  if (free < gibibytes) context.skip(`needs ${gibibytes} GiB of free memory, and there are ${free.toFixed(1)}`);
}
