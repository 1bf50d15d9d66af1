import { cpus } from 'node:os';
import { styleText } from 'node:util';
import type { Spread } from './measure.ts';

/** One line of the report. */
export interface Line {
  readonly what: string;
  readonly time: Spread;
  /** What it is compared with, and how many times as long it takes by the medians. */
  readonly against?: { readonly what: string; readonly ratio: number };
  /** The most that the ratio may be. */
  readonly target?: number;
  readonly verdict?: 'ok' | 'short';
}

/** Everything a run found out. */
export interface Report {
  readonly machine: string;
  /** What was measured of the program: when it was built, and whether this run did it. */
  readonly build: string;
  readonly lines: readonly Line[];
  /** What was left out and why, and what to know about the figures. */
  readonly notes: readonly string[];
  readonly seconds: number;
}

/** A line that stands for itself: what the others are compared with. */
export function baseLine(what: string, time: Spread): Line {
  return { what, time };
}

/** A line that is compared with another one; without a target it is not rated. */
export function ratedLine(what: string, time: Spread, base: Line, target?: number): Line {
  const ratio = time.median / base.time.median;
  const line = { what, time, against: { what: base.what, ratio } };
  return target === undefined ? line : { ...line, target, verdict: ratio <= target ? 'ok' : 'short' };
}

/** Names the machine, as far as it makes the figures what they are. */
export function describeMachine(): string {
  const [first] = cpus();
  return `Node ${process.versions.node}, ${process.platform} ${process.arch}, ${cpus().length} × ${first?.model.trim() ?? 'unknown'}`;
}

/** Puts a report into lines for people. */
export function format(report: Report): string {
  const head = ['', 'median', 'p10 – p90', 'ratio', 'target', ''];
  const rows = [head, ...report.lines.map(row)];
  const widths = head.map((_, column) => Math.max(...rows.map((cells) => cells[column]?.length ?? 0)));
  const table = rows.map((cells) =>
    cells
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ')
      .trimEnd()
      .replace(/ok$|short$/, (verdict) => styleText(verdict === 'ok' ? 'green' : 'red', verdict)),
  );
  const footer = [...report.notes, `measured in ${report.seconds.toFixed(0)} s`].map((note) => `  ${note}`);
  return [report.machine, report.build, '', ...table, '', ...footer, ''].join('\n');
}

function row({ what, time, against, target, verdict }: Line): string[] {
  return [
    what,
    milliseconds(time.median),
    `${plain(time.p10)} – ${plain(time.p90)}`,
    against ? against.ratio.toFixed(2) : '',
    target === undefined ? '' : `≤ ${target}`,
    verdict ?? '',
  ];
}

function milliseconds(time: number): string {
  return `${plain(time)} ms`;
}

function plain(time: number): string {
  return time.toFixed(time < 10 ? 2 : 1);
}
