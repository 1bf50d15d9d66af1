import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { measureAll, type Plan } from '../../bench/main.ts';
import { runPart } from '../../bench/part-run.ts';
import { failuresOf } from '../../bench/report.ts';
import { format } from '../../bench/report-text.ts';
import { temporaryFolder } from '../support/vault.ts';
import { thresholds } from './made-up.ts';

const module = join(import.meta.dirname, 'fake-parts.ts');

function plan(names: readonly string[]): Plan {
  return { module, names, size: 'short', parent: temporaryFolder(), thresholds, build: 'none' };
}

describe('a part', () => {
  it('runs in a separate process and an empty folder, which is removed afterwards', async () => {
    const folder = temporaryFolder();
    const { notes, lines } = await runPart('part', { module, folder, size: 'short', deadline: 30_000 });
    const [own = '', size, pid, held] = notes;
    expect([size, held]).toEqual(['short', '[]']);
    expect(own.startsWith(folder)).toBe(true);
    expect(existsSync(own)).toBe(false);
    expect(pid).not.toBe(`${process.pid}`);
    expect(lines[0]?.against?.ratio).toBeNaN();
  });

  it.each([
    ['throws', /^RangeError: this part throws\n/],
    ['dies', /^ended with SIGABRT before it returned a result$/],
    ['leaves', /^ended with 3 before it returned a result$/],
    ['unloadable', /^SyntaxError: this part does not load/],
    ['unknown', /^RangeError: the bench has no part unknown\n/],
  ])('that %s is reported with the reason', async (name, error) => {
    const found = await runPart(name, { module, folder: temporaryFolder(), size: 'short', deadline: 30_000 });
    expect(found).toMatchObject({ name, lines: [], error: expect.stringMatching(error) });
  });

  it('that hangs is killed', async () => {
    const found = await runPart('hangs', { module, folder: temporaryFolder(), size: 'short', deadline: 50 });
    expect(found.error).toBe('killed after 0.05 s, the limit for a part');
  });
});

describe('the bench', () => {
  it('continues after a part that fails, reports it, fails, and leaves no files behind', async () => {
    const progress: string[] = [];
    const planned = { ...plan(['throws', 'part']), onProgress: (line: string) => progress.push(line) };
    const report = await measureAll(planned);
    expect(report.runs.map(({ name, error }) => [name, error === undefined])).toEqual([
      ['throws', false],
      ['part', true],
    ]);
    expect(progress).toEqual(['throws (1 of 2)', 'part (2 of 2)']);
    expect(failuresOf(report, thresholds)).toEqual(['the part throws failed', 'step is NaN; the limit is 3']);
    expect(format(report)).toContain('RangeError: this part throws');
    expect(readdirSync(planned.parent)).toEqual([]);
  });

  it('reports what it did not measure, how well its data shrinks, and the machine', async () => {
    const { notes, machine, date } = await measureAll(plan(['part']));
    expect(notes).toContain('not measured: blocked');
    const factor = notes.map((note) => /^zstd -3 shrinks .* (\d\.\d+) times$/.exec(note)?.[1]).find(Boolean);
    expect(Number(factor)).toBeGreaterThanOrEqual(3);
    expect(Number(factor)).toBeLessThanOrEqual(4);
    expect(machine).toMatchObject({ node: expect.stringContaining(process.versions.node) });
    expect(machine.disk).toMatch(process.platform === 'linux' ? /^\w+ on \S/ : /./);
    expect(new Date(date).toISOString()).toBe(date);
  });

  it.each([
    [['--only', 'steps,stops'], /^bench: no part stops; parts are steps, /],
    [['steps'], /^bench: Unexpected argument 'steps'.*; options are --short, /],
    [['--longer'], /^bench: Unknown option '--longer'.*; options are --short, /],
    [['--write', '--short'], /^bench: --write keeps a whole run; /],
    [['--write', '--only', 'steps'], /^bench: --write keeps a whole run; /],
  ])('rejects %j in one line before it measures anything', (args, line) => {
    const main = join(import.meta.dirname, '../../bench/main.ts');
    const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' });
    expect([status, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(line);
    expect(stderr.trimEnd()).not.toContain('\n');
  });
});
