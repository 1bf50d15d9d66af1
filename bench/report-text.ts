import { styleText } from 'node:util';
import type { Growing } from './fit.ts';
import type { RatedCurve, RatedLine, RatedRun, Report } from './report.ts';

const HEAD = ['what', 'median', 'p10 – p90', 'ratio', 'target', '', 'against'];
/** The left-aligned columns; numbers are right-aligned. */
const LEFT = new Set([0, 5, 6]);

/** Formats a report for a terminal. */
export function format(report: Report): string {
  const cells = report.runs.map(rowsOf);
  const all = [HEAD, ...cells.flat()];
  const widths = HEAD.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  const blocks = report.runs.map((run, at) => [
    styleText('bold', `${run.name} (${duration(run.seconds)})`),
    ...(cells[at] ?? []).map((row) => aligned(row, widths)),
    ...run.curves.flatMap((curve) => growthLines(curve)),
    ...(run.error === undefined ? [] : [`  ${styleText('red', 'failed')}: ${run.error.replaceAll('\n', '\n  ')}`]),
    ...run.notes.map((note) => `  ${note}`),
    '',
  ]);
  return [
    ...headOf(report),
    '',
    aligned(HEAD, widths),
    '',
    ...blocks.flat(),
    ...report.notes,
    `measured in ${duration(report.seconds)}${report.size === 'short' ? ', the short form' : ''}`,
    '',
  ].join('\n');
}

/** Formats a report as Markdown, with a chart for every curve in the same folder. */
export function markdown(report: Report): string {
  const blocks = report.runs.flatMap((run) => [
    `## ${run.name}`,
    '',
    ...(run.lines.length > 0 ? [...markdownTable(HEAD, rowsOf(run)), ''] : []),
    ...(run.error === undefined ? [] : ['Failed:', '', ...run.error.split('\n').map((line) => `    ${line}`), '']),
    ...listOf(run.notes),
    ...run.curves.flatMap((curve) => [
      `![${curve.title}](${curve.id}.svg)`,
      '',
      ...listOf(growthLines(curve, (verdict) => verdict).map((line) => line.trim())),
    ]),
  ]);
  const seconds = `measured in ${duration(report.seconds)}`;
  return [
    '# The last run of the bench',
    '',
    '<!-- written by tools/docs.ts from last-run.json -->',
    '',
    ...listOf([...headOf(report), ...report.notes, seconds]),
    ...blocks,
  ]
    .join('\n')
    .replace(/\n*$/, '\n');
}

/** Returns the lines of a Markdown table. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const cells = [head, head.map(() => '---'), ...rows];
  return cells.map((row) => `| ${row.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`);
}

/** Formats the figure that is compared with the target: the ratio, or the median with its unit. */
export function figure({ value, unit, against }: RatedLine): string {
  return against ? number(against.ratio) : `${number(value.median)} ${unit}`;
}

/** Formats a target. */
export function aim({ target, unit, against }: RatedLine): string {
  return target === undefined ? '' : `≤ ${target}${against ? '' : ` ${unit}`}`;
}

/** Describes how a series grows, with a verdict if it has a target. */
export function growthText(
  { expect, target, verdict }: RatedCurve,
  { series, k, spread, worst }: Growing,
  colour: (verdict: string) => string = (word) => word,
): string {
  const grows = `${series} ∝ x^${exponent(k)} ± ${exponent(spread)}`;
  if (series !== expect?.series || verdict === undefined) return grows;
  return `${grows}, ${exponent(worst)} at its steepest, ≤ ${target} (${expect.atMost}) ${colour(verdict)}`;
}

/** Returns lines with the date, the machine, the disk and the build. */
export function headOf({ date, machine: { processor, node, kernel, disk }, build }: Report): string[] {
  return [`${date.slice(0, 16).replace('T', ' ')} UTC`, `${node}, ${processor}, kernel ${kernel}`, disk, build];
}

function rowsOf({ lines }: RatedRun): string[][] {
  return lines.map((line) => {
    const { what, value, unit, against, verdict } = line;
    const spread = value.runs > 1 ? `${number(value.p10)} – ${number(value.p90)}` : '';
    const ratio = against ? number(against.ratio) : '';
    return [what, `${number(value.median)} ${unit}`, spread, ratio, aim(line), verdict ?? '', against?.what ?? ''];
  });
}

function aligned(row: readonly string[], widths: readonly number[]): string {
  const cells = row.map((cell, column) => {
    const width = widths[column] ?? 0;
    const padded = LEFT.has(column) ? cell.padEnd(width) : cell.padStart(width);
    return column === 5 ? padded.replace(/^ok|^short/, coloured) : padded;
  });
  return `  ${cells.join('  ')}`.trimEnd();
}

function growthLines(curve: RatedCurve, colour = coloured): string[] {
  return curve.growths.map((growing) => `  ${curve.title}: ${growthText(curve, growing, colour)}`);
}

function listOf(items: readonly string[]): string[] {
  return items.length === 0 ? [] : [...items.map((item) => `- ${item}`), ''];
}

function coloured(verdict: string): string {
  return styleText(verdict === 'ok' ? 'green' : 'red', verdict);
}

function duration(seconds: number): string {
  return seconds < 60 ? `${seconds.toFixed(0)} s` : `${(seconds / 60).toFixed(1)} min`;
}

/** Formats an exponent; -0.00 becomes 0.00. */
function exponent(value: number): string {
  return value.toFixed(2).replace('-0.00', '0.00');
}

/** Formats a number with three significant digits. */
function number(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size >= 1000) return value.toFixed(0).replace(/\B(?=(\d{3})+$)/g, ',');
  if (size >= 100) return value.toFixed(0);
  if (size >= 10) return value.toFixed(1);
  if (size >= 0.1 || size === 0) return value.toFixed(2);
  return value.toFixed(3);
}
