import { describe, expect, it } from 'vitest';
import { benchSection, withSection } from '../../tools/docs-bench.ts';
import { blocked, curve, line, report, run } from './made-up.ts';

const BEGIN = '<!-- bench: npm run docs writes this from docs/bench/last-run.json -->\n';
const END = '<!-- end of bench -->\n';

describe("README's part about the bench", () => {
  const whole = report([run({ lines: [line('step', 2.5), line('peer', 7), blocked(4)], curves: [curve(0)] })], 'full');
  const section = benchSection(whole, whole.runs[0]?.curves[0]);

  it('has what is rated and no more, when and on what it was measured, and a picture', () => {
    expect(section).toContain(
      'printed on 2026-11-21 12:34 UTC (Node 24, 2 × a processor, kernel 6.1; ext4 on /dev/vda',
    );
    expect(section).toContain('| what step is | the floor | 2.50 | ≤ 2 | short |\n');
    expect(section).toContain('| the thread is blocked |  | 4.00 ms | ≤ 5 ms | ok |\n');
    expect(section).toMatch(/\n!\[Cost of a step\]\(docs\/bench\/cost\.svg\)\n$/);
    expect(section).not.toContain('peer');
  });

  it('stands between its markers, in place of what was there', () => {
    const text = `before\n${BEGIN}old\n${END}after\n`;
    expect(withSection(text, 'new\n')).toBe(`before\n${BEGIN}new\n${END}after\n`);
    expect(withSection(withSection(text, 'new\n'), 'new\n')).toBe(withSection(text, 'new\n'));
    expect(() => withSection(text.replace(END, ''), 'new\n')).toThrow('README.md has no');
  });
});
