import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { benchDocuments, benchSection, withSection } from '../../tools/docs-bench.ts';
import { temporaryFolder } from '../support/vault.ts';
import { blocked, curve, line, report, run } from './made-up.ts';

const BEGIN = '<!-- bench: npm run docs writes this from docs/bench/last-run.json -->\n';
const END = '<!-- end of bench -->\n';

describe('the part of docs/performance.md about the bench', () => {
  const whole = report([run({ lines: [line('step', 2.5), line('peer', 7), blocked(4)], curves: [curve(0)] })], 'full');
  const section = benchSection(whole, whole.runs[0]?.curves[0]);

  it('has only the rated figures, the date, the machine and a chart', () => {
    expect(section).toContain(
      'Printed by `npm run bench` on 2026-11-21 12:34 UTC (Node 24, 2 × a processor, kernel 6.1; ext4 on /dev/vda',
    );
    expect(section).toContain('| what step is | the floor | 2.50 | ≤ 2 | short |\n');
    expect(section).toContain('| the thread is blocked |  | 4.00 ms | ≤ 5 ms | ok |\n');
    expect(section).toMatch(/\n!\[Cost of a step\]\(bench\/cost\.svg\)\n$/);
    expect(section).not.toContain('peer');
  });

  it('replaces the text between its markers', () => {
    const text = `before\n${BEGIN}old\n${END}after\n`;
    expect(withSection(text, 'new\n')).toBe(`before\n${BEGIN}new\n${END}after\n`);
    expect(withSection(withSection(text, 'new\n'), 'new\n')).toBe(withSection(text, 'new\n'));
    expect(() => withSection(text.replace(END, ''), 'new\n')).toThrow('docs/performance.md has no');
  });

  it('is generated from the kept run, with its page and charts; from none if none was kept', () => {
    const root = temporaryFolder();
    expect(benchDocuments(root)).toEqual([]);
    mkdirSync(join(root, 'docs/bench'), { recursive: true });
    writeFileSync(join(root, 'docs/bench/last-run.json'), JSON.stringify(whole));
    writeFileSync(join(root, 'docs/performance.md'), `before\n${BEGIN}${END}after\n`);
    const documents = new Map(benchDocuments(root));
    expect([...documents.keys()]).toEqual(
      ['docs/bench/last-run.md', 'docs/bench/cost.svg', 'docs/performance.md'].map((path) => join(root, path)),
    );
    expect(documents.get(join(root, 'docs/performance.md'))).toBe(`before\n${BEGIN}${section}${END}after\n`);
    expect(documents.get(join(root, 'docs/bench/last-run.md'))).toContain('# The last run of the bench\n');
    expect(documents.get(join(root, 'docs/bench/cost.svg'))).toMatch(/^<svg .*coffer ∝ x\^0\.00/s);
  });
});
