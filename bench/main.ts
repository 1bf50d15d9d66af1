import { mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { ensureBuild, program } from './build.ts';
import { baseLine, describeMachine, format, type Line, type Report, ratedLine } from './report.ts';
import { measureStarts, type StartTimes } from './start.ts';
import { measureSteps, type StepTimes } from './step.ts';

/*
 * How fast coffer is, as ratios to what nothing can go below on the same machine in the same minutes: a durable write
 * of the same bytes, and a Node that does nothing. `npm run bench`; `npm run bench -- --json` for programs;
 * `--folder DIR` measures the disk that DIR is on instead of the temp folder's.
 */

/** Enough for medians that agree within a few percent on an idle machine; all of it takes less than a minute there. */
const ROUNDS = { steps: 400, starts: 60 };

const { values: options } = parseArgs({ options: { json: { type: 'boolean' }, folder: { type: 'string' } } });
const report = await measureAll(options.folder ?? tmpdir());
process.stdout.write(options.json ? `${JSON.stringify(report, undefined, 2)}\n` : format(report));

async function measureAll(parent: string): Promise<Report> {
  const build = ensureBuild();
  const begun = performance.now();
  const folder = mkdtempSync(join(parent, 'coffer-bench-'));
  try {
    const steps = await measureSteps(folder, ROUNDS.steps);
    const starts = await measureStarts(program, folder, ROUNDS.starts);
    const seconds = (performance.now() - begun) / 1000;
    const lines = [...linesOfSteps(steps), ...linesOfStarts(starts)];
    return { machine: describeMachine(), build, lines, notes: [...notesOn(folder), ...leftOut(starts)], seconds };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function linesOfSteps(times: StepTimes): Line[] {
  const plain = baseLine('write + fdatasync of a 10 KB session’s frame', times.plain);
  const plainLarge = baseLine('write + fdatasync of a 1 MB session’s frame', times.plainLarge);
  return [
    plain,
    ratedLine('a step of 2 KB in a 10 KB session', times.small, plain, 6),
    plainLarge,
    ratedLine('a step of 2 KB in a 1 MB session', times.large, plainLarge),
  ];
}

function linesOfStarts(times: StartTimes): Line[] {
  const node = baseLine('node -e 0', times.node);
  const version = ratedLine('coffer --version', times.version, node, 2);
  if ('missing' in times.sessions) return [node, version];
  return [node, version, ratedLine('coffer sessions, 100 of them, real keychain', times.sessions, node, 6)];
}

function leftOut(times: StartTimes): string[] {
  return 'missing' in times.sessions
    ? [`left out: coffer sessions with a real keychain; ${times.sessions.missing}`]
    : [];
}

/** In memory nothing has to be made durable: what a step costs there says nothing. */
function notesOn(folder: string): string[] {
  const TMPFS = 0x01021994;
  if (process.platform !== 'linux' || statfsSync(folder).type !== TMPFS) return [];
  return [`${folder} is in memory, where durable costs nothing; name a folder on a disk with --folder`];
}
