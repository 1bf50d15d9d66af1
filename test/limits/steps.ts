import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { openVault } from '../../src/session/open-vault.ts';
import type { Place } from '../support/coffer.ts';

/** The result of growing a session. */
export interface Grown {
  readonly events: number;
  /** Of plaintext, about. */
  readonly bytes: number;
  readonly seconds: number;
  /** Resident memory in MiB, by the number of steps made. */
  readonly resident: readonly (readonly [number, number])[];
  /** The median of a step of the first and of the last thousand, in milliseconds. */
  readonly first: number;
  readonly last: number;
}

/** Number of events to save in total, and in each step. */
export interface Steps {
  readonly events: number;
  readonly atOnce: number;
  /** The minimum size of each event in bytes. */
  readonly size?: number;
}

/**
 * Grows one session step by step in a separate process: every step is durable before the next
 * begins.
 */
export async function growBySteps(place: Place, steps: Steps): Promise<Grown> {
  const env = { ...process.env, ...place.libraryEnv, COFFER_DATA_DIR: place.data };
  const args = ['--expose-gc', join(import.meta.dirname, 'steps.ts'), JSON.stringify(steps)];
  return JSON.parse(execFileSync(process.execPath, args, { env, maxBuffer: 2 ** 26 }).toString()) as Grown;
}

if (import.meta.main) console.log(JSON.stringify(await grow(JSON.parse(process.argv[2] ?? '') as Steps)));

async function grow({ events, atOnce, size = 0 }: Steps): Promise<Grown> {
  await using vault = await openVault();
  await using session = vault.begin({ directory: '/work/grown', model: 'demo/echo' });
  const times: number[] = [];
  const resident: [number, number][] = [];
  let bytes = 0;
  const began = performance.now();
  const steps = Math.ceil(events / atOnce);
  for (let step = 0; step < steps; step++) {
    const added = Array.from({ length: atOnce }, (_, at) => {
      const content = `event ${step * atOnce + at}`.padEnd(size, ' all work and no play');
      bytes += content.length + 90;
      return { type: 'message' as const, message: { role: 'user' as const, content } };
    });
    const before = performance.now();
    await session.append(...added);
    times.push(performance.now() - before);
    if (step % Math.ceil(steps / 8) === 0 || step === steps - 1) {
      globalThis.gc?.();
      resident.push([step + 1, process.memoryUsage().rss / 2 ** 20]);
    }
  }
  const seconds = (performance.now() - began) / 1000;
  return { events, bytes, seconds, resident, first: median(times.slice(0, 1000)), last: median(times.slice(-1000)) };
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;
}
