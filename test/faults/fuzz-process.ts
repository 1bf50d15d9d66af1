import { spawn } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** What a fuzzing process is to do. */
export interface Asked {
  readonly folder: string;
  readonly target: string;
  readonly seed: number;
  readonly count: number;
  /** With which wrong decoder. */
  readonly wrong?: string;
}

/** A line that it says. */
export interface Told {
  readonly alive?: number;
  readonly fault?: { readonly what: string; readonly index: number; readonly path: string };
  readonly done?: { readonly cases: number; readonly found: number; readonly corpus: readonly string[] };
}

/** How it ended. */
export interface Ended {
  readonly cases: number;
  /** Inputs that were taken wrongly; one that it died of or hangs at is one. */
  readonly found: number;
  readonly corpus: readonly Buffer[];
  /** One line each, with the file that its input is kept in. */
  readonly faults: readonly string[];
}

/**
 * Runs a target in a process of its own, and kills it where it began and then says nothing for `patience` milliseconds. The inputs of what it finds
 * are kept where the folder's removal does not reach, unless a fault is what it is to find.
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
  let watchdog: NodeJS.Timeout | undefined; // from the first line on: how long loading takes is no matter of the input
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

/** The input that a process was at when it ended; seeds are before input 0. */
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
