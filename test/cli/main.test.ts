import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { exits } from '../../src/cli/main.ts';
import { errorSchema } from '../../src/cli/schemas.ts';

const root = join(import.meta.dirname, '../..');
const program = join(root, 'src/cli/main.ts');

function run(
  args: string[],
  options: { before?: string; env?: NodeJS.ProcessEnv } = {},
): {
  code: number | null;
  out: string;
  err: string;
} {
  const before = options.before === undefined ? [] : ['--import', `data:text/javascript,${options.before}`];
  const env = { PATH: process.env['PATH'], COFFER_CONFIG_DIR: '/nowhere', COFFER_KEYCHAIN: 'memory', ...options.env };
  const { status, stdout, stderr } = spawnSync(process.execPath, [...before, program, ...args], {
    encoding: 'utf8',
    env,
    input: '',
  });
  return { code: status, out: stdout, err: stderr };
}

describe('exits', () => {
  it('has the exit code that the table of error codes names for every one of them', () => {
    const documented = new Map<string, number>();
    const source = readFileSync(join(root, 'src/errors.ts'), 'utf8');
    for (const [, code, names = ''] of source.matchAll(/^ \* \| (\d+) \| (.*) \|$/gm)) {
      for (const [, name = ''] of names.matchAll(/`(\w+)`/g)) documented.set(name, Number(code));
    }
    expect(documented.size).toBeGreaterThan(25);
    expect(new Map(Object.entries(exits))).toEqual(documented);
  });
});

describe('main', () => {
  it('shows the version of the package', () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    expect(run(['--version'])).toEqual({ code: 0, out: `${version}\n`, err: '' });
  });

  it.each(['20.20.2', '22.22.0', '24.14.9'])('refuses Node %s in one line', (version) => {
    const before = `Object.defineProperty(process,'versions',{value:{...process.versions,node:'${version}'}})`;
    const err = `coffer: needs Node 24.15 or newer, but this is ${version}\n`;
    expect(run(['--version'], { before })).toEqual({ code: 1, out: '', err });
  });

  it.each(['24.15.0', '25.0.0', '100.1.0'])('takes Node %s', (version) => {
    const before = `Object.defineProperty(process,'versions',{value:{...process.versions,node:'${version}'}})`;
    expect(run(['--version'], { before }).code).toBe(0);
  });

  it('prints one line for an unexpected error, and a stack only when asked', () => {
    const before = `process.umask=()=>{throw new RangeError('unforeseen')}`;
    const line = 'coffer: unforeseen; this is a bug, please report it (COFFER_DEBUG=1 shows where)\n';
    expect(run(['sessions'], { before })).toEqual({ code: 1, out: '', err: line });
    const loud = run(['sessions'], { before, env: { COFFER_DEBUG: '1' } });
    expect(loud.err).toMatch(/^RangeError: unforeseen\n {4}at /);
    expect(loud.err.endsWith(line)).toBe(true);
  });

  it('prints one line for an unhandled rejection', () => {
    const before = `process.stdin.once('resume',()=>{throw new RangeError('unforeseen')})`;
    const { code, err } = run(['--model', 'demo/echo'], { before });
    expect(code).toBe(1);
    expect(err).toMatch(/^coffer: unforeseen; this is a bug/m);
    expect(err).not.toMatch(/^ {4}at /m);
  });

  it('prints an error as JSON with --json, and nothing else', () => {
    const { code, out, err } = run(['sessions', '--json', '--data-dir', '/dev/null/no\u009bwhere']);
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).not.toContain('\u009b');
    const told = errorSchema.parse(JSON.parse(err)) as { error: { code: string; exit: number } };
    expect(told.error).toMatchObject({ code: 'FAILED', exit: 1 });
    expect(run(['sessions', '--json', '--frob']).err).toMatch(/^\{"error":\{"code":"USAGE",.*"exit":2/);
  });

  it('opens no inspector on SIGUSR1', () => {
    const before = `process.stdin.once('resume',()=>process.kill(process.pid,'SIGUSR1'))`;
    const { code, err } = run(['--model', 'demo/echo'], { before });
    expect(code).toBe(0);
    expect(err).not.toMatch(/[Dd]ebugger/);
  });
});
