import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { plot } from '../bench/plot.ts';
import type { RatedCurve, Report } from '../bench/report.ts';
import { aim, figure, growthText, headOf, markdown, markdownTable } from '../bench/report-text.ts';

const BEGIN = '<!-- bench: npm run docs writes this from docs/bench/last-run.json -->\n';
const END = '<!-- end of bench -->\n';

/**
 * Returns the documents generated from the last run kept in a repository: its page, its charts, and
 * a section of docs/performance.md. Returns none if no run was kept.
 */
export function benchDocuments(root: string = join(import.meta.dirname, '..')): [path: string, text: string][] {
  const performance = join(root, 'docs/performance.md');
  const folder = join(root, 'docs/bench');
  const path = join(folder, 'last-run.json');
  if (!existsSync(path)) return [];
  const report = JSON.parse(readFileSync(path, 'utf8')) as Report;
  const curves = report.runs.flatMap((run) => run.curves);
  return [
    [join(folder, 'last-run.md'), markdown(report)],
    ...curves.map((curve): [string, string] => [join(folder, `${curve.id}.svg`), plot(curve, subtitle(curve))]),
    [performance, withSection(readFileSync(performance, 'utf8'), benchSection(report, curves[0]))],
  ];
}

/** Returns the text between the markers: the rated figures, and one chart. */
export function benchSection(report: Report, curve?: RatedCurve): string {
  const rated = report.runs.flatMap((run) => run.lines.filter(({ verdict }) => verdict !== undefined));
  const rows = rated.map((line) => [line.what, line.against?.what ?? '', figure(line), aim(line), line.verdict ?? '']);
  const [date = '', ...machine] = headOf(report);
  return [
    `Printed by \`npm run bench\` on ${date} (${machine.join('; ')}): medians of one run, as ratios.`,
    '',
    ...markdownTable(['what', 'against', 'ratio', 'target', ''], rows),
    '',
    ...(curve ? [`![${curve.title}](bench/${curve.id}.svg)`, ''] : []),
  ].join('\n');
}

/** Replaces the text between the markers. Throws if they are missing. */
export function withSection(text: string, section: string): string {
  const begin = text.indexOf(BEGIN);
  const end = text.indexOf(END, begin);
  if (begin < 0 || end < 0)
    throw new Error(`docs/performance.md has no ${JSON.stringify(BEGIN)} followed by ${JSON.stringify(END)}`);
  return text.slice(0, begin) + BEGIN + section + text.slice(end);
}

function subtitle(curve: RatedCurve): string {
  const rated = curve.growths.find(({ series }) => series === curve.expect?.series);
  return rated ? growthText(curve, rated) : '';
}
