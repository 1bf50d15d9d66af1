import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import type { Campaign, Figures } from './campaign.ts';

/** A campaign that was run, with its findings. */
export interface Run {
  readonly campaign: Campaign;
  readonly figures: Figures;
}

const REPOSITORY = join(import.meta.dirname, '..', '..');
const MARKS = ['<!-- faults: begin -->', '<!-- faults: end -->'] as const;

/** Formats the findings of a campaign as one line. */
export function lineOf({ name }: Campaign, figures: Figures): string {
  const { cases, lost, accepted, controls, notes } = figures;
  const believed = accepted === undefined ? [] : [`${accepted} accepted`];
  const caught = controls.map((control) => `${control.name} caught in ${control.caught} of ${control.cases}`);
  return `${name}: ${[`${cases} cases`, `${lost} lost`, ...believed, ...notes, ...caught].join(', ')}`;
}

/** Returns what breaks a promise, and controls whose fault the campaign did not see. */
export function faultsIn({ name }: Campaign, figures: Figures): string[] {
  const { cases, lost, accepted = 0, controls, failures } = figures;
  const blind = controls.filter(({ caught }) => caught === 0);
  return [
    ...(cases === 0 ? ['nothing was tried'] : []),
    ...(controls.length === 0 ? ['there is no negative control'] : []),
    ...(lost > 0 && failures.length === 0 ? [`${lost} lost`] : []),
    ...(accepted > 0 && failures.length === 0 ? [`${accepted} accepted`] : []),
    ...blind.map((control) => `${control.name} was not caught in ${control.cases} cases`),
    ...failures,
  ].map((fault) => `${name}: ${fault}`);
}

/** Makes the table of a whole run, in Markdown. */
export function report(runs: readonly Run[]): string {
  const rows = runs.map(({ campaign, figures }) => {
    const { cases, lost, accepted, controls, notes } = figures;
    const caught = controls.map((control) => `${control.name}: ${control.caught} of ${control.cases}`);
    const cells = [campaign.name, cases, lost, accepted ?? '', caught.join('; '), notes.join('; ')];
    return `| ${cells.join(' | ')} |`;
  });
  const head = ['campaign', 'cases', 'lost', 'accepted', 'negative control caught', 'also'];
  return [`| ${head.join(' | ')} |`, `|${'---|'.repeat(head.length)}`, ...rows].join('\n');
}

/**
 * Puts the table into docs/durability.md and its sums into SECURITY.md, each between its marks,
 * with the date and the machine.
 */
export function writeReport(runs: readonly Run[], seconds: number): void {
  const when = `Run on ${new Date().toISOString().slice(0, 10)} in ${Math.round(seconds / 60)} minutes: ${machine()}.`;
  const sums = runs.map(({ campaign, figures: { cases, lost, accepted } }) => {
    const believed = accepted === undefined ? '' : `, ${accepted} accepted`;
    return `- ${campaign.name}: ${cases} cases, ${lost} lost${believed}`;
  });
  writeBetweenMarks('docs/durability.md', MARKS, `${when}\n\n${report(runs)}`);
  writeBetweenMarks('SECURITY.md', MARKS, `${when}\n\n${sums.join('\n')}`);
}

/** Describes this machine in a line. */
export function machine(): string {
  const memory = Math.round(totalmem() / 2 ** 30);
  return `Linux ${release()}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}, ${memory} GiB, Node ${process.version}`;
}

/**
 * Replaces the text between two marks of a document with `text`; `document` is its path in the
 * repository.
 */
export function writeBetweenMarks(document: string, [begin, end]: readonly [string, string], text: string): void {
  const path = join(REPOSITORY, document);
  const [before, rest] = readFileSync(path, 'utf8').split(begin);
  const after = rest?.split(end)[1];
  if (before === undefined || after === undefined) throw new Error(`${document} has no place for the figures`);
  writeFileSync(path, `${before}${begin}\n${text}\n${end}${after}`);
}
