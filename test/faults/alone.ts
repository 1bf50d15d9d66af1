import { join } from 'node:path';
import type { Figures } from './campaign.ts';
import { campaigns } from './campaigns.ts';
import { Sample } from './sample.ts';

/*
 * node alone.ts <campaign> <seed or "whole"> <folder>: runs one campaign, given by its full name,
 * in a folder. Prints a line of JSON for each step, and one for the figures at the end. Ends when
 * its standard input does: then its parent has been killed.
 */

/** A line that it prints. */
export type Told = { readonly step: string } | { readonly figures: Figures };

const [, , name, seed, folder = ''] = process.argv;
const campaign = campaigns.find((one) => one.name === name);
if (campaign === undefined) throw new Error(`no campaign ${name}`);
process.stdin.resume().once('end', () => process.exit(1));
// Known vaults go into a separate configuration, not into the user's settings.
process.env['XDG_CONFIG_HOME'] = join(folder, 'config');
const sample = new Sample(seed === 'whole' ? undefined : Number(seed));
const figures = await campaign.run(folder, (step) => tell({ step }), sample);
tell({ figures });
process.stdin.destroy();

function tell(told: Told): void {
  process.stdout.write(`${JSON.stringify(told)}\n`);
}
