import { spawn } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** The task of a fuzzing process. */
export interface Asked {
  readonly folder: string;
  readonly target: string;
  readonly seed: number;
  readonly count: number;
  /** The wrong decoder to use, if any. */
  readonly wrong?: string;
}

/** A line that it prints. */
export interface Told {
  readonly alive?: number;
  readonly fault?: { readonly what: string; readonly index: number; readonly path: string };
  readonly done?: { readonly cases: number; readonly found: number; readonly corpus: readonly string[] };
}

/** The result of a fuzzing process. */
export interface Ended {
  readonly cases: number;
  /** Number of inputs handled wrongly, including one that it died of or hangs at. */
  readonly found: number;
  readonly corpus: readonly Buffer[];
  /** One line each, with the file that holds its input. */
  readonly faults: readonly string[];
}

/**
 * Runs a target in a separate process, and kills it if it started and then prints nothing for
 * `patience` milliseconds. The inputs of its findings are kept outside the temporary folder, unless
 * it is a control, which is expected to find a fault.
 */
export async function fuzzApart(asked: Asked, patience: number): Promise<Ended> {
  const script = join(import.meta.dirname, 'fuzz-worker.ts');
  const child = spawn(process.execPath, [script, JSON.stringify(asked)], { stdio: ['ignore', 'pipe', 'pipe'] });
  const closed = new Promise<NodeJS.Signals | number | null>((resolve) => {
    child.once('close', (code, signal) => resolve(signal ?? code));
  });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  let hangs = false;
  const giveUp = (): void => {
    hangs = true;
    child.kill('SIGKILL');
  };
  let watchdog: NodeJS.Timeout | undefined; // starts with the first line: the time to load does not depend on the input
  const faults: string[] = [];
  let done: Told['done'];
  for await (const line of createInterface({ input: child.stdout })) {
    clearTimeout(watchdog);
    watchdog = setTimeout(giveUp, patience);
    const told = JSON.parse(line) as Told;
    if (told.fault) faults.push(describe(asked, `input ${told.fault.index}: ${told.fault.what}`, told.fault.path));
    done = told.done ?? done;
  }
  clearTimeout(watchdog);
  const ending = await closed;
  if (done)
    return {
      cases: done.cases,
      found: done.found,
      corpus: done.corpus.map((one) => Buffer.from(one, 'base64')),
      faults,
    };
  const how = hangs
    ? `hangs for ${patience / 1000} s`
    : `ended with ${ending}: ${said.trim().split('\n').at(-1) ?? ''}`;
  const last = current(asked.folder);
  faults.push(describe(asked, `input ${last.index}: it ${how}`, last.path));
  return { cases: last.index + 1, found: faults.length, corpus: [], faults };
}

/** Returns the input that a process was at when it ended; seeds come before input 0. */
function current(folder: string): { index: number; path: string } {
  const bytes = existsSync(join(folder, 'input')) ? readFileSync(join(folder, 'input')) : Buffer.alloc(0);
  const path = join(folder, 'found-last');
  const isThere = bytes.length >= 8;
  writeFileSync(path, isThere ? bytes.subarray(8, 8 + bytes.readUInt32BE(4)) : '');
  return { index: isThere ? bytes.readInt32BE(0) : -1, path };
}

function describe(asked: Asked, what: string, path: string): string {
  const { target, seed, wrong } = asked;
  if (wrong !== undefined) return `${target}: ${what}`;
  const kept = join(
    process.env['COFFER_FUZZ_FINDINGS'] ?? tmpdir(),
    `coffer-fuzz-${target}-${seed}-${path.split('-').at(-1) ?? ''}`,
  );
  copyFileSync(path, kept);
  return `${target}: ${what}; again with COFFER_FUZZ_INPUT=${target}:${kept}`;
}
