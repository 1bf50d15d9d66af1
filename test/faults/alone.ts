import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { campaigns } from './campaigns.ts';

/*
 * Runs one campaign, named in full, in a folder of its own, and prints what it found as one line of JSON. What it tells meanwhile goes to
 * stderr, where that is a terminal.
 */

const campaign = campaigns.find(({ name }) => name === process.argv[2]);
if (campaign === undefined) throw new Error(`no campaign ${process.argv[2]}`);
const folder = mkdtempSync(join(tmpdir(), 'coffer-faults-'));
try {
  const figures = await campaign.run(folder, (line) => {
    if (process.stderr.isTTY) process.stderr.write(`  ${campaign.name}: ${line}\n`);
  });
  process.stdout.write(`${JSON.stringify(figures)}\n`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
