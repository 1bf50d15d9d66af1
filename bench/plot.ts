import type { Curve, Series } from './part.ts';

/** The frame of the axes, in user units of the picture; the legend is to the right of it. */
const FRAME = { left: 78, top: 64, right: 610, bottom: 396 };
const SIZE = { width: 880, height: 452 };

/**
 * Colours of the series, each on white, then on black; marks distinguish series by shape as well.
 */
const COLOURS = [
  ['#0b62a4', '#6cb6ff'],
  ['#c2410c', '#ff9a5c'],
  ['#14805e', '#4fd1a1'],
  ['#a3247f', '#f28bd0'],
  ['#7a5c00', '#e3c04d'],
  ['#5b4bb5', '#b3a5ff'],
  ['#4d5b66', '#aab7c2'],
  ['#b3261e', '#ff8f86'],
  ['#2f6f9f', '#8fd3f4'],
  ['#5f7a1e', '#bcd96b'],
] as const;
const MARKS = [
  'M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z',
  'M-3.5 -3.5h7v7h-7z',
  'M0 -4.6L4.4 3.4H-4.4z',
  'M0 -5L5 0L0 5L-5 0z',
  'M-4 -4L4 4M-4 4L4 -4',
  'M0 4.6L4.4 -3.4H-4.4z',
  'M-4.6 0H4.6M0 -4.6V4.6',
];

/** Minimum ratio between the ends of an axis, so that nearly equal values don't look different. */
const NARROWEST = 20;

/** An axis: its ticks, their labels, and the position of a value. */
interface Axis {
  readonly ticks: readonly number[];
  readonly label: (value: number) => string;
  readonly at: (value: number) => number;
}

/**
 * Draws a curve as SVG with logarithmic axes, for light and dark pages; the same curve yields the
 * same bytes. The first series is the subject: its line is thicker, and on top. The legend lists
 * the series in the order in which their lines end. Throws a RangeError if there are no points, or
 * if a point has no place on logarithmic axes.
 */
export function plot({ title, x, y, series }: Curve, subtitle = ''): string {
  const points = series.flatMap((each) => each.points);
  if (points.length === 0) throw new RangeError(`nothing to plot in ${title}`);
  if (points.some(([a, b]) => !(Number.isFinite(Math.log(a)) && Number.isFinite(Math.log(b))))) {
    throw new RangeError(`a point of ${title} has no place on logarithmic axes`);
  }
  const across = axis(
    points.map(([value]) => value),
    x,
    [FRAME.left, FRAME.right],
  );
  const up = axis(
    points.map(([, value]) => value),
    y,
    [FRAME.bottom, FRAME.top],
  );
  const drawn = [...series].sort((a, b) => (b.points.at(-1)?.[1] ?? 0) - (a.points.at(-1)?.[1] ?? 0));
  const middle = { x: (FRAME.left + FRAME.right) / 2, y: (FRAME.top + FRAME.bottom) / 2 };
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${SIZE.width} ${SIZE.height}" width="${SIZE.width}" height="${SIZE.height}" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<style>${styles(series.length)}</style>`,
    `<rect class="paper" width="${SIZE.width}" height="${SIZE.height}"/>`,
    `<text class="title" x="${FRAME.left}" y="26">${escaped(title)}</text>`,
    ...(subtitle === '' ? [] : [`<text class="faint" x="${FRAME.left}" y="46">${escaped(subtitle)}</text>`]),
    ...across.ticks.map(
      (tick) =>
        `<path class="grid" d="M${across.at(tick)} ${FRAME.top}V${FRAME.bottom}"/><text class="middle" x="${across.at(tick)}" y="${FRAME.bottom + 20}">${across.label(tick)}</text>`,
    ),
    ...up.ticks.map(
      (tick) =>
        `<path class="grid" d="M${FRAME.left} ${up.at(tick)}H${FRAME.right}"/><text class="end" x="${FRAME.left - 8}" y="${up.at(tick) + 4}">${up.label(tick)}</text>`,
    ),
    `<path class="axis" d="M${FRAME.left} ${FRAME.top}V${FRAME.bottom}H${FRAME.right}"/>`,
    `<text class="middle" x="${middle.x}" y="${FRAME.bottom + 44}">${escaped(x)}</text>`,
    `<text class="middle" transform="translate(18 ${middle.y}) rotate(-90)">${escaped(y)}</text>`,
    ...drawn.map((each, row) => drawing(each, series.indexOf(each), row, across, up)).toSorted(firstLast),
    '</svg>',
    '',
  ].join('\n');
}

function firstLast(a: string, b: string): number {
  return Number(a.startsWith('<g class="s0">')) - Number(b.startsWith('<g class="s0">'));
}

function drawing({ name, points }: Series, index: number, row: number, across: Axis, up: Axis): string {
  const places = points.map(([x, y]) => [across.at(x), up.at(y)] as const);
  const mark = MARKS[index % MARKS.length];
  const at = { x: FRAME.right + 24, y: FRAME.top + 8 + 22 * row };
  return [
    `<g class="s${index}">`,
    `<path class="line" d="M${places.map((place) => place.join(' ')).join('L')}"/>`,
    ...places.map(([x, y]) => `<path class="mark" transform="translate(${x} ${y})" d="${mark}"/>`),
    `<path class="line" d="M${at.x - 12} ${at.y}h24"/><path class="mark" transform="translate(${at.x} ${at.y})" d="${mark}"/>`,
    `</g><text x="${at.x + 20}" y="${at.y + 4}">${escaped(name)}</text>`,
  ].join('\n');
}

/**
 * Returns an axis with ticks at 1, 10, 100, or closer for a small range; the axis is a little
 * longer than the range of values.
 */
function axis(values: readonly number[], name: string, [from, to]: readonly [number, number]): Axis {
  const isBytes = /\(bytes\)$/.test(name);
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const margin = Math.max(1.25, Math.sqrt((NARROWEST * least) / most));
  const low = least / margin;
  const high = most * margin;
  const wide = high / low > 150;
  const steps = wide ? [1] : [1, 2, 5];
  const ticks = Array.from({ length: 31 }, (_, at) => at - 12)
    .flatMap((power) => steps.map((step) => step * 10 ** power))
    .filter((tick) => tick >= low && tick <= high);
  const scale = (to - from) / Math.log(high / low);
  const at = (value: number): number => round(from + Math.log(value / low) * scale);
  return { ticks, label: isBytes ? bytes : plain, at };
}

function bytes(value: number): string {
  const unit = Math.max(0, Math.floor(Math.log10(value) / 3 + 1e-9));
  return `${round(value / 1000 ** unit)} ${['B', 'KB', 'MB', 'GB', 'TB'][unit] ?? ''}`;
}

function plain(value: number): string {
  if (value < 0.001) return value.toExponential(0);
  return String(Number(value.toPrecision(3))).replace(/^\d{4,}$/, (digits) => digits.replace(/\B(?=(\d{3})+$)/g, ','));
}

/** Returns plain rules for both themes, without variables, which not every SVG viewer knows. */
function styles(count: number): string {
  const rules = [
    'text{font:13px system-ui,-apple-system,"Segoe UI",sans-serif}.title{font-size:16px;font-weight:600}',
    '.middle{text-anchor:middle}.end{text-anchor:end}.line{stroke-width:2;fill:none}.mark{stroke-width:1.6}.s0 .line{stroke-width:3.5}.axis{fill:none}',
  ];
  const light = theme(count, 0, { paper: '#fff', ink: '#1b1f24', faint: '#59636e', grid: '#e4e8ec' });
  const dark = theme(count, 1, { paper: '#0d1117', ink: '#e6edf3', faint: '#9aa4af', grid: '#2a313a' });
  return [...rules, light, `@media (prefers-color-scheme:dark){${dark}}`].join('');
}

function theme(count: number, which: 0 | 1, colours: Record<'paper' | 'ink' | 'faint' | 'grid', string>): string {
  const { paper, ink, faint, grid } = colours;
  const page = `.paper{fill:${paper}}text{fill:${ink}}.faint{fill:${faint}}.grid{stroke:${grid}}.axis{stroke:${faint}}`;
  const series = Array.from({ length: count }, (_, index) => {
    const colour = COLOURS[index % COLOURS.length]?.[which];
    return `.s${index} path{stroke:${colour}}.s${index} .mark{fill:${colour}}`;
  });
  return page + series.join('');
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
