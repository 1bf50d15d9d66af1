import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Campaign, Figures } from './campaign.ts';
import { campaigns } from './campaigns.ts';
import { faultsIn, lineOf, report, writeReport } from './report.ts';

/*
 * npm run test:faults [-- name…] [-- --write]: runs the fault campaigns, one after another, prints a line of figures for each and the
 * table at the end; with --write the table also goes into docs/durability.md. Ends with 1 where a promise was broken, a negative
 * control was not caught, or something a campaign needs is missing.
 */

const asked = process.argv.slice(2).filter((arg) => !arg.startsWith('--'));
const chosen = campaigns.filter(({ name }) => asked.length === 0 || asked.some((part) => name.includes(part)));
if (chosen.length === 0)
  throw new Error(`no such campaign; there are: ${campaigns.map(({ name }) => name).join(', ')}`);

const found: { campaign: Campaign; figures: Figures; seconds: number }[] = [];
const faults: string[] = [];
for (const campaign of chosen) {
  const missing = campaign.needs.filter((need) => !isThere(need));
  if (missing.length > 0) {
    faults.push(`${campaign.name}: not run, there is no ${missing.join(', no ')}`);
    continue;
  }
  const folder = mkdtempSync(join(tmpdir(), 'coffer-faults-'));
  const began = performance.now();
  try {
    const figures = await campaign.run(folder, tell);
    const seconds = Math.round((performance.now() - began) / 1000);
    found.push({ campaign, figures, seconds });
    console.log(`${lineOf(campaign, figures)}; ${seconds} s`);
    faults.push(...faultsIn(campaign, figures));
  } catch (error) {
    faults.push(`${campaign.name}: broke off: ${error instanceof Error ? error.stack : String(error)}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
console.log(`\n${report(found)}`);
if (process.argv.includes('--write')) writeReport(found);
for (const fault of faults) console.error(fault);
if (faults.length > 0) process.exitCode = 1;

function isThere(need: string): boolean {
  if (need === 'root') return process.getuid?.() === 0;
  return spawnSync('sh', ['-c', `command -v ${need}`]).status === 0;
}

function tell(line: string): void {
  if (process.stderr.isTTY) process.stderr.write(`  ${line}\n`);
}
