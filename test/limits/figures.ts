import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { makePlace, type Place, type Start } from '../support/coffer.ts';
import { fillVast, realistic } from '../support/vast.ts';
import { fillHuge } from './huge.ts';
import { growBySteps } from './steps.ts';

/*
 * node test/limits/figures.ts [part…]: measures the built coffer at its limits, and prints lines
 * for docs/performance.md: a vault of 100,000 sessions, a session of a gigabyte, a message of a
 * hundred megabytes, a million events, ten thousand steps in one process. Needs `npm run build`,
 * some 10 GB of free memory and 3 GB of temporary disk. Takes ten minutes in total.
 */

const PROGRAM = join(import.meta.dirname, '..', '..', 'dist', 'src', 'cli', 'main.js');
const PATIENCE = 1_200_000;

const parts: Readonly<Record<string, (place: Place) => Promise<void>>> = {
  sessions: async (place) => {
    const count = 100_000;
    // Every twentieth was begun in the directory that `-l` and `-c` use; the others in directories
    // that don't exist.
    const projectOf = (number: number) => (number % 20 === 0 ? place.project : `/work/project-${number % 20}`);
    const { data: directory, libraryEnv: env } = place;
    await fillVast({ directory, env, sessions: count, events: realistic(2000), projectOf });
    title(`${count.toLocaleString('en')} sessions of 2 KB each`);
    await time(place, 'list, nothing known yet', ['sessions']);
    await time(place, 'list', ['sessions']);
    await time(place, 'list of this directory (-l)', ['-l']);
    await time(place, 'continue (-c) with a step', ['-c', '--prompt', 'hello'], { cwd: place.project });
    await time(place, 'resume with a step', ['resume', 'last', '--prompt', 'hello']);
    await time(place, 'a new chat with its first step', ['--prompt', 'hello']);
    await time(place, 'search, nothing known yet', ['sessions', '--search', 'hello']);
    await time(place, 'search', ['sessions', '--search', 'hello']);
    await time(place, 'delete one', ['delete', '77', '--yes']);
    await time(place, 'list after that', ['sessions']);
    await time(place, 'search after that', ['sessions', '--search', 'hello']);
    await time(place, 'doctor', ['doctor']);
    await time(place, 'stats', ['stats']);
    await time(place, 'completion of resume', ['complete', '--', 'resume', '']);
  },
  gigabyte: async (place) => {
    const { bytes, events } = await fillHuge({ directory: place.data, env: place.libraryEnv }, 1_000_000_000);
    title(`a session of ${Math.round(bytes / 1e6)} MB in ${events.toLocaleString('en')} events`);
    await usual(place, '1');
  },
  events: async (place) => {
    const { bytes, events, seconds } = await growBySteps(place, { events: 1_000_000, atOnce: 10_000 });
    title(
      `${events.toLocaleString('en')} events, ${Math.round(bytes / 1e6)} MB, saved in steps of 10,000 in ${seconds.toFixed(1)} s`,
    );
    await usual(place, '1');
  },
  message: async (place) => {
    title('a message of 100 MB');
    const input = `needle ${'all work and no play '.repeat(5_000_000)}`;
    await time(place, 'typed through --prompt -', ['--model', 'demo/eliza', '--prompt', '-'], { input });
    await usual(place, '1');
  },
  steps: async (place) => {
    title('10,000 steps in one process');
    const { resident, first, last } = await growBySteps(place, { events: 20_000, atOnce: 2 });
    for (const [step, mebibytes] of resident) line(`resident after ${step} steps`, `${Math.round(mebibytes)} MiB`);
    line('a step, median of the first and of the last thousand', `${first.toFixed(2)} ms, ${last.toFixed(2)} ms`);
  },
};

/** Measures the usual commands on one session. */
async function usual(place: Place, which: string): Promise<void> {
  const file = join(place.root, 'exported');
  await time(place, 'list', ['sessions']);
  await time(place, 'status', ['status', which]);
  await time(place, 'logs', ['logs', which]);
  await time(place, 'stats', ['stats']);
  await time(place, 'search, nothing known yet', ['sessions', '--search', 'nowhere to be found']);
  await time(place, 'search', ['sessions', '--search', 'nowhere to be found']);
  for (const format of ['jsonl', 'json', 'markdown']) {
    await time(place, `export as ${format}`, ['export', which, '--format', format, '-o', file]);
    rmSync(file, { force: true });
  }
  await time(place, 'resume with a step', ['resume', which, '--prompt', 'hello']);
  await time(place, 'delete', ['delete', which, '--yes']);
}

/**
 * Runs the program once, and prints how long it took, including the start of the process, or how it
 * ended.
 */
async function time(place: Place, what: string, args: readonly string[], start: Start = {}): Promise<void> {
  const began = performance.now();
  try {
    const { code, signal, stderr } = await place.run(args, { patience: PATIENCE, ...start });
    const took = `${((performance.now() - began) / 1000).toFixed(2)} s`;
    const told = stderr.split('\n').find((one) => one.startsWith('coffer: '));
    line(what, code === 0 ? took : `${took}, ends with ${signal ?? code}: ${told ?? stderr.slice(0, 200)}`);
  } catch (error) {
    line(what, `hangs: ${String(error).slice(0, 200)}`);
  }
}

function title(text: string): void {
  console.log(`\n${text}`);
}

function line(what: string, found: string): void {
  console.log(`  ${what.padEnd(55)} ${found}`);
}

if (!existsSync(PROGRAM)) throw new Error(`there is no ${PROGRAM}; npm run build makes it`);
const asked = process.argv.slice(2);
for (const [name, part] of Object.entries(parts)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  await using place = await makePlace({ program: PROGRAM });
  await part(place);
}
