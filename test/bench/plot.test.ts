import { spawnSync } from 'node:child_process';
import { describe, expect, it, type TestContext } from 'vitest';
import { plot } from '../../bench/plot.ts';
import { curve } from './made-up.ts';

/** Returns every element of a chart with its class and text, as an independent parser reads it. */
function elements(svg: string, context: TestContext): string[] {
  const program = [
    'import sys, xml.etree.ElementTree as tree',
    'for each in tree.fromstring(sys.stdin.buffer.read()).iter():',
    '  print(each.tag.split("}")[1], each.get("class", ""), each.text or "", sep="|")',
  ].join('\n');
  const { error, status, stdout, stderr } = spawnSync('python3', ['-c', program], { input: svg, encoding: 'utf8' });
  if (error !== undefined) return context.skip('python3 is not installed');
  expect([status, stderr]).toEqual([0, '']);
  return stdout.split('\n');
}

describe('plot', () => {
  it('is XML that has the title, and every series in its own colour and in the legend', (context) => {
    const seen = elements(plot(curve(0.1), 'how <it> grows'), context);
    expect(seen).toEqual(expect.arrayContaining(['title||Cost of a step', 'text|faint|how <it> grows']));
    expect(seen.filter((line) => line.startsWith('g|')).sort()).toEqual(
      ['g|s0|\n', 'g|s1|\n'].map((line) => line.trim()),
    );
    expect(seen).toEqual(expect.arrayContaining(['text||coffer', 'text||a peer & <its> way']));
    expect(seen.filter((line) => line === 'path|mark|')).toHaveLength(2 * (5 + 1));
  });

  it('has ticks with readable labels', (context) => {
    const seen = elements(plot(curve(1)), context);
    const ticks = (kind: string): string[] =>
      seen.filter((line) => line.startsWith(`text|${kind}|`)).map((line) => line.replace(/^.*\|/, ''));
    expect(ticks('middle')).toEqual(['10 KB', '100 KB', '1 MB', '10 MB', '100 MB', curve(1).x, curve(1).y]);
    expect(ticks('end')).toEqual(['0.1', '1', '10', '100', '1,000']);
  });

  it('has closer ticks for a small range', (context) => {
    const points = [
      [100, 3],
      [300, 4],
    ] as const;
    const seen = elements(plot({ ...curve(1), x: 'sessions', series: [{ name: 'near', points }] }), context);
    expect(seen).toEqual(expect.arrayContaining(['text|middle|100', 'text|middle|200', 'text|end|5']));
  });

  it('is the same for the same curve, with styles for light and dark pages', () => {
    const svg = plot(curve(1));
    expect(plot(curve(1))).toBe(svg);
    expect(svg).toContain('@media (prefers-color-scheme:dark){');
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });

  it.each([
    ['no points', []],
    ['a point at 0', [[0, 1]]],
    ['a point that is not a number', [[1, Number.NaN]]],
    ['an infinite point', [[1, Number.POSITIVE_INFINITY]]],
  ] as const)('refuses %s', (_, points) => {
    expect(() => plot({ ...curve(1), series: [{ name: 'wrong', points }] })).toThrow(RangeError);
  });
});
