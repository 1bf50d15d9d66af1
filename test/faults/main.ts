import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Campaign, Figures } from './campaign.ts';
import { campaigns } from './campaigns.ts';
import { faultsIn, lineOf, type Run, report, writeReport } from './report.ts';

/*
 * npm run test:faults [-- name…] [-- --write]: runs the fault campaigns, prints a line of figures for each and the table at the end;
 * with --write the figures also go into docs/durability.md and SECURITY.md. Ends with 1 where a promise was broken, a negative
 * control was not caught, or something a campaign needs is missing. Two run at a time: much of each is waiting.
 */

const LANES = 2;

const asked = process.argv.slice(2).filter((arg) => !arg.startsWith('--'));
const chosen = campaigns.filter(({ name }) => asked.length === 0 || asked.some((part) => name.includes(part)));
if (chosen.length === 0)
  throw new Error(`no such campaign; there are: ${campaigns.map(({ name }) => name).join(', ')}`);

const began = performance.now();
const found = new Map<Campaign, Figures>();
const faults: string[] = [];
const waiting = [...chosen];
await Promise.all(Array.from({ length: LANES }, lane));
const runs = chosen.flatMap((campaign): Run[] => {
  const figures = found.get(campaign);
  return figures ? [{ campaign, figures }] : [];
});
const seconds = secondsSince(began);
console.log(`\n${report(runs)}\n\n${runs.length} of ${campaigns.length} campaigns in ${seconds} s`);
if (process.argv.includes('--write')) writeReport(runs, seconds);
for (const fault of faults) console.error(fault);
if (faults.length > 0) process.exitCode = 1;

async function lane(): Promise<void> {
  for (let campaign = waiting.shift(); campaign !== undefined; campaign = waiting.shift()) {
    const missing = campaign.needs.filter((need) => !isThere(need));
    if (missing.length > 0) faults.push(`${campaign.name}: not run, there is no ${missing.join(', no ')}`);
    else await run(campaign);
  }
}

/** In a process of its own: what one campaign computes must not make another one wait. */
async function run(campaign: Campaign): Promise<void> {
  const start = performance.now();
  const args = [join(import.meta.dirname, 'alone.ts'), campaign.name];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const [printed, code] = await Promise.all([text(child.stdout), ended]);
  if (code !== 0) {
    faults.push(`${campaign.name}: broke off, with ${code}`);
    return;
  }
  const figures = JSON.parse(printed) as Figures;
  found.set(campaign, figures);
  console.log(`${lineOf(campaign, figures)}; ${secondsSince(start)} s`);
  faults.push(...faultsIn(campaign, figures));
}

function secondsSince(moment: number): number {
  return Math.round((performance.now() - moment) / 1000);
}

function isThere(need: string): boolean {
  if (need === 'root') return process.getuid?.() === 0;
  return spawnSync('sh', ['-c', `command -v ${need}`]).status === 0;
}
