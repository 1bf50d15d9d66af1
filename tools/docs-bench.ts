import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { plot } from '../bench/plot.ts';
import type { RatedCurve, Report } from '../bench/report.ts';
import { aim, figure, growthText, headOf, markdown, markdownTable } from '../bench/report-text.ts';

const BEGIN = '<!-- bench: npm run docs writes this from docs/bench/last-run.json -->\n';
const END = '<!-- end of bench -->\n';

/** What is made of the last run of the bench that was kept in a repository: its page, its pictures, and README's part about it. */
export function benchDocuments(root: string = join(import.meta.dirname, '..')): [path: string, text: string][] {
  const readme = join(root, 'README.md');
  const folder = join(root, 'docs/bench');
  const path = join(folder, 'last-run.json');
  if (!existsSync(path)) return [];
  const report = JSON.parse(readFileSync(path, 'utf8')) as Report;
  const curves = report.runs.flatMap((run) => run.curves);
  return [
    [join(folder, 'last-run.md'), markdown(report)],
    ...curves.map((curve): [string, string] => [join(folder, `${curve.id}.svg`), plot(curve, subtitle(curve))]),
    [readme, withSection(readFileSync(readme, 'utf8'), benchSection(report, curves[0]))],
  ];
}

/** What stands between the markers in README: the rated figures, and one picture. */
export function benchSection(report: Report, curve?: RatedCurve): string {
  const rated = report.runs.flatMap((run) => run.lines.filter(({ verdict }) => verdict !== undefined));
  const rows = rated.map((line) => [line.what, line.against?.what ?? '', figure(line), aim(line), line.verdict ?? '']);
  const [date = '', ...machine] = headOf(report);
  return [
    `What \`npm run bench\` printed on ${date} (${machine.join('; ')}); medians of one run, as ratios, which travel better than times:`,
    '',
    ...markdownTable(['what', 'against', 'ratio', 'target', ''], rows),
    '',
    ...(curve ? [`![${curve.title}](docs/bench/${curve.id}.svg)`, ''] : []),
  ].join('\n');
}

/** Puts a text between the markers; that they are missing is an error. */
export function withSection(text: string, section: string): string {
  const begin = text.indexOf(BEGIN);
  const end = text.indexOf(END, begin);
  if (begin < 0 || end < 0)
    throw new Error(`README.md has no ${JSON.stringify(BEGIN)} followed by ${JSON.stringify(END)}`);
  return text.slice(0, begin) + BEGIN + section + text.slice(end);
}

function subtitle(curve: RatedCurve): string {
  const rated = curve.growths.find(({ series }) => series === curve.expect?.series);
  return rated ? growthText(curve, rated) : '';
}
