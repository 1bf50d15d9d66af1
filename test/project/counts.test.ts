import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'coffer-counts-'));
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'), 'junction');
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('the summary of a test run', () => {
  it('counts passed, failed and skipped tests on its last line', async () => {
    const text =
      "it('a', () => {});\nit('b', () => {});\nit('c', () => { throw new Error(); });\nit('d', (t) => t.skip());";
    const { line, file, code } = await run({ 'some.test.ts': text });
    expect(line).toBe('2 passed, 1 failed, 1 skipped');
    expect(file).toBe(`${line}\n`);
    expect(code).not.toBe(0);
  });

  it('lists skipped tests by name under the reason', async () => {
    const text =
      "it('a', (t) => t.skip('install b'));\nit('c', (t) => t.skip('install b'));\nit('d', (t) => t.skip());";
    const { before } = await run({ 'some.test.ts': text });
    expect(before).toContain('skipped, install b\n  some.test.ts: a\n  some.test.ts: c\n');
    expect(before).toContain('skipped, without a reason\n  some.test.ts: d\n');
  });

  it('lists failed tests with the first line of the error', async () => {
    const text = "it('a', () => {\n  throw new Error('first\\nsecond');\n});";
    const { before } = await run({ 'some.test.ts': text, 'bad.test.ts': "throw new Error('not even that');" });
    expect(before).toContain('failed, some.test.ts: a: first\n');
    expect(before).toContain('failed, bad.test.ts: not even that\n');
  });

  it('counts a file that does not load as a failure', async () => {
    const { line } = await run({ 'good.test.ts': "it('a', () => {});", 'bad.test.ts': 'throw new Error();' });
    expect(line).toBe('1 passed, 1 failed');
  });

  it('counts an error that no test caught as a failure', async () => {
    const text = "it('a', async () => {\n  void Promise.reject(new Error());\n  await new Promise(setImmediate);\n});";
    const { line } = await run({ 'some.test.ts': text });
    expect(line).toBe('1 passed, 1 failed');
  });

  it('reports that nothing ran, and exits with an error', async () => {
    const { line, code } = await run({});
    expect(line).toBe('0 passed, 0 failed');
    expect(code).not.toBe(0);
  });
});

describe('the slowest files of a test run', () => {
  it('are listed before the counts, slowest first, at most ten', async () => {
    const quick = Array.from({ length: 10 }, (_, at) => [`quick-${at}.test.ts`, "it('a', () => {});"]);
    const text = "it('a', () => new Promise((resolve) => setTimeout(resolve, 3000)));";
    const { before, line } = await run({ ...Object.fromEntries(quick), 'slow.test.ts': text });
    const [, listed = ''] = /slowest files\n((?: .*\n)+)/.exec(before) ?? [];
    const rows = listed.trimEnd().split('\n');
    expect(rows).toHaveLength(10);
    expect(rows.some((row) => /^ +[3-9][\d.]* s {2}slow\.test\.ts$/.test(row))).toBe(true);
    const seconds = rows.map((row) => Number.parseFloat(row));
    expect(seconds).toEqual([...seconds].sort((one, other) => other - one));
    expect(before.trimEnd().endsWith(line)).toBe(true);
    expect(line).toBe('11 passed, 0 failed');
  });
});

describe('tools/counts.ts', () => {
  it('adds up the counts of several runs', () => {
    expect(sum('2 passed, 0 failed, 1 skipped', '40 passed, 0 failed')).toEqual([
      '42 passed, 0 failed, 1 skipped\n',
      0,
    ]);
  });

  it('exits with 1 if a test failed', () => {
    expect(sum('2 passed, 1 failed', '40 passed, 0 failed')).toEqual(['42 passed, 1 failed\n', 1]);
  });

  it('exits with 1 if one of the runs passed no test', () => {
    expect(sum('0 passed, 0 failed', '40 passed, 0 failed')).toEqual(['40 passed, 0 failed\n', 1]);
    expect(sum()).toEqual(['0 passed, 0 failed\n', 1]);
  });

  it('exits with 1 if a file has no counts', () => {
    expect(sum('')).toEqual(['', 1]);
  });
});

/** Adds up count files; returns the output and the exit code. */
function sum(...counts: readonly string[]): [string, number | null] {
  const files = counts.map((line, at) => {
    const file = join(folder, `${at}.counts`);
    writeFileSync(file, `${line}\n`);
    return file;
  });
  const { stdout, status } = spawnSync(process.execPath, [join(root, 'tools/counts.ts'), ...files], {
    encoding: 'utf8',
  });
  return [stdout, status];
}

/** Runs test files in a separate folder with our reporter alone. */
async function run(
  files: Record<string, string>,
): Promise<{ line: string; before: string; file: string; code: number }> {
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(folder, name), `import { it } from 'vitest';\n${text}\n`);
  }
  const counts = join(folder, 'counts');
  const reporter = join(root, 'tools/counts-reporter.ts');
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  const args = [vitest, 'run', '--root', folder, '--reporter', reporter];
  const env = { ...process.env, COFFER_TEST_COUNTS: counts };
  return new Promise((resolve) => {
    execFile(process.execPath, args, { cwd: folder, env }, (error, stdout) => {
      const code = typeof error?.code === 'number' ? error.code : 0;
      const file = existsSync(counts) ? readFileSync(counts, 'utf8') : '';
      resolve({ line: stdout.trimEnd().split('\n').at(-1) ?? '', before: stdout, file, code });
    });
  });
}
