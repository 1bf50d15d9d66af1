/*
 * Measures how fast coffer is, as ratios: to what other tools need for the same work, and to the
 * least that any tool needs, on the same machine within the same minutes. Run `npm run bench`, with
 * options after `--`:
 *
 *   --short         the form that CI runs: smaller sizes; fails if a ratio is above its bound in
 *                   thresholds.json
 *   --json          prints everything as JSON, curves included
 *   --folder DIR    measures the disk of DIR. Default: that of the temp folder, or of this
 *                   repository if the temp folder is in memory
 *   --only A,B      runs only these parts
 *   --write         keeps the run in docs/bench/, and writes the documents made from it
 */
import { execFileSync } from 'node:child_process';
import { globSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { ensureBuild } from './build.ts';
import { defaultFolder, describeMachine, notesOn } from './machine.ts';
import type { Size } from './part.ts';
import { runPart } from './part-run.ts';
import { parts } from './parts.ts';
import { failuresOf, missingOf, type RatedRun, type Report, rate } from './report.ts';
import { format } from './report-text.ts';
import { readThresholds, type Thresholds } from './thresholds.ts';

/** The file in which `--write` keeps the last run. */
const lastRun = join(import.meta.dirname, '../docs/bench/last-run.json');

/**
 * Milliseconds after which a part counts as hanging, even on a busy machine: on a quiet one, all
 * parts together take ten minutes, or two in the short form.
 */
const DEADLINE: Readonly<Record<Size, number>> = { full: 1_200_000, short: 600_000 };

/** The plan of a bench run. */
export interface Plan {
  /** The module whose `parts` are run, and the names of the parts to run. */
  readonly module: string;
  readonly names: readonly string[];
  readonly size: Size;
  /** A folder on the disk to measure. */
  readonly parent: string;
  readonly thresholds: Thresholds;
  /** See {@link Report}. */
  readonly build: string;
  /** Receives one line of progress at a time. */
  onProgress?(line: string): void;
}

/**
 * Runs the parts one after another, each in its own process, and rates their results. A part that
 * fails is reported, and the others still run.
 */
export async function measureAll(plan: Plan): Promise<Report> {
  const { module, names, size, parent, thresholds, build } = plan;
  const begun = performance.now();
  const date = new Date().toISOString();
  const folder = mkdtempSync(join(parent, 'coffer-bench-'));
  const clear = (): void => rmSync(folder, { recursive: true, force: true });
  process.once('exit', clear);
  try {
    const notes = notesOn(folder);
    const runs: RatedRun[] = [];
    for (const name of names) {
      plan.onProgress?.(`${name} (${runs.length + 1} of ${names.length})`);
      runs.push(rate(await runPart(name, { module, folder, size, deadline: DEADLINE[size] }), thresholds));
    }
    const seconds = (performance.now() - begun) / 1000;
    const report = { date, size, machine: describeMachine(folder), build, runs, notes, seconds };
    const missing = missingOf(report, thresholds);
    return missing.length === 0 ? report : { ...report, notes: [...notes, `not measured: ${missing.join(', ')}`] };
  } finally {
    process.removeListener('exit', clear);
    clear();
  }
}

const OPTIONS = {
  short: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  folder: { type: 'string' },
  only: { type: 'string' },
  write: { type: 'boolean', default: false },
} as const;

function parseOptions(): ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>['values'] {
  try {
    return parseArgs({ options: OPTIONS }).values;
  } catch (error) {
    return refuse(
      `${(error as Error).message}; options are --short, --json, --write, --folder DIR, --only PART[,PART]`,
    );
  }
}

async function main(): Promise<void> {
  const options = parseOptions();
  if (options.write && (options.short || options.only !== undefined)) {
    refuse('--write keeps a whole run; use it without --short and --only');
  }
  const names = chosen(options.only);
  const thresholds = readThresholds();
  // Exits normally, so that the data folder is removed.
  process.once('SIGINT', () => process.exit(130));
  process.once('SIGTERM', () => process.exit(143));
  const build = ensureBuild();
  const report = await measureAll({
    module: join(import.meta.dirname, 'parts.ts'),
    names,
    size: options.short ? 'short' : 'full',
    parent: options.folder ?? defaultFolder(),
    thresholds,
    build,
    onProgress: progress,
  });
  progress('');
  process.stdout.write(options.json ? `${JSON.stringify(report, undefined, 2)}\n` : format(report));
  const failures = failuresOf(report, thresholds);
  for (const failure of failures) process.stderr.write(`bench: ${failure}\n`);
  if (failures.length > 0) process.exitCode = 1;
  else if (options.write) write(report);
}

function chosen(only: string | undefined): string[] {
  const all = Object.keys(parts);
  const names = only?.split(',') ?? all;
  const unknown = names.filter((name) => !all.includes(name));
  if (unknown.length > 0) refuse(`no part ${unknown.join(', ')}; parts are ${all.join(', ')}`);
  return names;
}

function refuse(why: string): never {
  process.stderr.write(`bench: ${why}\n`);
  process.exit(2);
}

/** Shows a line of progress on a terminal, replacing the previous one. */
function progress(line: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${line}`);
}

function write(report: Report): void {
  const folder = dirname(lastRun);
  mkdirSync(folder, { recursive: true });
  // Charts of curves that are no longer measured must not stay.
  for (const name of globSync('*.svg', { cwd: folder })) rmSync(join(folder, name));
  writeFileSync(lastRun, `${JSON.stringify(report, undefined, 2)}\n`);
  execFileSync(process.execPath, [join(import.meta.dirname, '../tools/docs.ts')], { stdio: 'inherit' });
}

if (import.meta.main) await main();
