import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { pathToFileURL } from 'node:url';
import type { Part, Size } from './part.ts';
import type { Outcome } from './part-process.ts';

/** A part that was run: its results, or why it failed. */
export interface Run extends Part {
  readonly name: string;
  readonly seconds: number;
  readonly error?: string;
}

/** Options of {@link runPart}. */
export interface RunOptions {
  /** The module whose `parts` are run. */
  readonly module: string;
  /** An existing folder on the disk to measure. */
  readonly folder: string;
  readonly size: Size;
  /** Milliseconds after which a part has failed and is killed. */
  readonly deadline: number;
}

/**
 * Runs one part in a separate process and an empty folder, which is removed afterwards. Never
 * rejects because of the part: if it throws, dies, hangs or ends without a result, that is its
 * `error`. Its output goes to standard error.
 */
export async function runPart(name: string, { module, folder, size, deadline }: RunOptions): Promise<Run> {
  const begun = performance.now();
  const own = join(folder, name);
  mkdirSync(own);
  try {
    const outcome = await outcomeOf([pathToFileURL(module).href, name, own, size], deadline);
    const seconds = (performance.now() - begun) / 1000;
    if ('part' in outcome) return { name, seconds, ...outcome.part };
    return { name, seconds, lines: [], curves: [], notes: [], error: outcome.error };
  } finally {
    rmSync(own, { recursive: true, force: true });
  }
}

/** Resolves when the process has ended, so that nothing of it runs during the next part. */
async function outcomeOf(args: readonly string[], deadline: number): Promise<Outcome> {
  // Advanced serialisation preserves NaN and Infinity, so that they count as failures.
  const child = fork(join(import.meta.dirname, 'part-process.ts'), args, {
    serialization: 'advanced',
    stdio: ['ignore', 2, 2, 'ipc'],
    timeout: deadline,
    killSignal: 'SIGKILL',
  });
  let found: Outcome | undefined;
  child.on('message', (outcome) => {
    found = outcome as Outcome;
  });
  // A message may still arrive after the process has ended.
  const [[code, signal]] = await Promise.all([once(child, 'exit'), once(child, 'disconnect')]);
  return found ?? { error: endOf(code as number | null, signal as string | null, deadline) };
}

function endOf(code: number | null, signal: string | null, deadline: number): string {
  return signal === 'SIGKILL'
    ? `killed after ${deadline / 1000} s, the limit for a part`
    : `ended with ${signal ?? code} before it returned a result`;
}
