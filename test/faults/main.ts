import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { nodeStartMs } from '../../tools/node-start.ts';
import type { Told } from './alone.ts';
import { Apart, hasNamespaces } from './apart.ts';
import { type Campaign, type Figures, REFERENCE_MS } from './campaign.ts';
import { campaigns } from './campaigns.ts';
import { faultsIn, lineOf, type Run, report, writeReport } from './report.ts';
import { Sample, seedOfCommit } from './sample.ts';

/*
 * npm run test:faults [-- name…] [-- --short [--seed=<number>]] [-- --limit=<seconds>] [-- --write]
 *
 * Runs the fault campaigns, or those whose name contains one of the given names, and prints a line
 * of figures for each and a table at the end. --short runs a sample of the cases, which depends on
 * the commit or on --seed. --limit replaces every campaign's own limit. --write puts the figures of
 * the whole form into docs/durability.md and SECURITY.md.
 *
 * Exits with 1 if a promise was broken, a negative control was not caught, a campaign took longer
 * than its limit, or something a campaign needs is missing. Two campaigns run at a time: much of
 * each is waiting. On SIGINT, SIGTERM and SIGHUP it ends the campaigns with everything they have
 * started, and then itself by the same signal.
 */

const LANES = 2;
/**
 * Limits grow at most by this factor: a machine that was busy for a moment while it was measured
 * must not wait for hours.
 */
const MAX_SLOWNESS = 5;

const { values: options, positionals: asked } = parseArgs({
  options: {
    short: { type: 'boolean' },
    seed: { type: 'string' },
    limit: { type: 'string' },
    write: { type: 'boolean' },
  },
  allowPositionals: true,
});
if (options.short && options.write) throw new Error('--write needs the whole form: --short runs only a sample');
if (options.seed !== undefined && !options.short) throw new Error('--seed needs --short');
const chosen = campaigns.filter(({ name }) => asked.length === 0 || asked.some((part) => name.includes(part)));
if (chosen.length === 0)
  throw new Error(`no such campaign; the campaigns are: ${campaigns.map(({ name }) => name).join(', ')}`);

const sample = new Sample(options.short ? Number(options.seed ?? seedOfCommit()) : undefined);
const milliseconds = nodeStartMs();
const slowness = Math.min(MAX_SLOWNESS, Math.max(1, milliseconds / REFERENCE_MS));
const form = sample.pick('whole form', `short form, seed ${sample.seed} (to repeat it: --short --seed=${sample.seed})`);
console.log(`${form}; node -e 0 takes ${milliseconds} ms: limits × ${slowness.toFixed(1)}`);
if (!hasNamespaces()) console.log('no namespaces here: a campaign that is interrupted may leave processes running');

const began = performance.now();
const found = new Map<Campaign, Figures>();
const faults: string[] = [];
const waiting = [...chosen];
const running = new Set<Apart>();
let stopped: NodeJS.Signals | undefined;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop);

await Promise.all(Array.from({ length: LANES }, lane));
if (stopped) {
  process.removeAllListeners(stopped);
  process.kill(process.pid, stopped);
}
const runs = chosen.flatMap((campaign): Run[] => {
  const figures = found.get(campaign);
  return figures ? [{ campaign, figures }] : [];
});
const seconds = secondsSince(began);
console.log(`\n${report(runs)}\n\n${runs.length} of ${campaigns.length} campaigns in ${seconds} s`);
if (options.write) writeReport(runs, seconds);
for (const fault of faults) console.error(fault);
if (faults.length > 0) process.exitCode = 1;

function stop(signal: NodeJS.Signals): void {
  if (stopped) return; // it is ending already
  stopped = signal;
  waiting.length = 0;
  for (const campaign of running) campaign.end();
}

async function lane(): Promise<void> {
  for (let campaign = waiting.shift(); campaign !== undefined; campaign = waiting.shift()) {
    const missing = campaign.needs.filter((need) => !isThere(need));
    if (missing.length > 0) faults.push(`${campaign.name}: not run, there is no ${missing.join(', no ')}`);
    else await run(campaign);
  }
}

/** Runs a campaign in a separate process, so that the computations of one do not delay another. */
async function run(campaign: Campaign): Promise<void> {
  const { name, limits } = campaign;
  const start = performance.now();
  const limit = Number(options.limit ?? Math.ceil(sample.pick(limits.whole, limits.short) * slowness));
  let figures: Figures | undefined;
  let step = 'it had just begun';
  const args = [join(import.meta.dirname, 'alone.ts'), name, String(sample.seed ?? 'whole')];
  const apart = new Apart(args, (line) => {
    const told = JSON.parse(line) as Told;
    if ('figures' in told) figures = told.figures;
    else step = told.step;
    if (process.stderr.isTTY && !figures) process.stderr.write(`  ${name}: ${step}\n`);
  });
  running.add(apart);
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    apart.end();
  }, limit * 1000);
  const code = await apart.ended;
  clearTimeout(timer);
  running.delete(apart);
  if (apart.cleaned.length > 0) console.log(`${name}: ${apart.cleaned.join(', ')}`);
  if (stopped) return;
  if (figures && code === 0) {
    found.set(campaign, figures);
    console.log(`${lineOf(campaign, figures)}; ${secondsSince(start)} s of ${limit} s`);
    faults.push(...faultsIn(campaign, figures));
  } else if (isLate) faults.push(`${name}: ended after ${limit} s, its limit; it was at: ${step}`);
  else faults.push(`${name}: broke off with ${code} after ${secondsSince(start)} s; it was at: ${step}`);
}

function secondsSince(moment: number): number {
  return Math.round((performance.now() - moment) / 1000);
}

function isThere(need: string): boolean {
  if (need === 'root') return process.getuid?.() === 0;
  return spawnSync('sh', ['-c', `command -v ${need}`]).status === 0;
}
