import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../support/vault.ts';

const script = join(import.meta.dirname, '../../tools/suite.ts');

/**
 * A stand-in for npm: records its arguments, and installs an empty node_modules; fails if a file
 * `fail` exists.
 */
const NPM = `
const { appendFileSync, existsSync, mkdirSync, rmSync } = require('node:fs');
appendFileSync('calls', process.argv.slice(2).join(' ') + '\\n');
rmSync('node_modules', { recursive: true, force: true });
mkdirSync('node_modules');
console.log('added 0 packages');
if (existsSync('fail')) process.exit(7);
`;

function makeSuite(): { folder: string; npm: string; calls(): string } {
  const folder = join(temporaryFolder(), 'suite');
  mkdirSync(folder);
  const npm = join(folder, 'npm.cjs');
  writeFileSync(npm, NPM);
  writeFileSync(join(folder, 'package-lock.json'), '{ "lockfileVersion": 3 }\n');
  const calls = join(folder, 'calls');
  return { folder, npm, calls: () => (existsSync(calls) ? readFileSync(calls, 'utf8') : '') };
}

function install(folder: string, npm: string | undefined): { status: number | null; stdout: string; stderr: string } {
  const { npm_execpath: _, npm_node_execpath: __, ...env } = process.env;
  return spawnSync(process.execPath, [script, folder], {
    encoding: 'utf8',
    env: npm === undefined ? env : { ...env, npm_execpath: npm },
  });
}

describe('suite', () => {
  it('installs without install scripts once, and prints nothing on standard output', () => {
    const { folder, npm, calls } = makeSuite();
    expect(install(folder, npm)).toMatchObject({ status: 0, stdout: '', stderr: expect.stringContaining(folder) });
    expect(calls()).toBe('ci --ignore-scripts\n');
    expect(install(folder, npm)).toMatchObject({ status: 0, stdout: '', stderr: '' });
    expect(calls()).toBe('ci --ignore-scripts\n');
  });

  it('installs again after the lock changed', () => {
    const { folder, npm, calls } = makeSuite();
    install(folder, npm);
    writeFileSync(join(folder, 'package-lock.json'), '{ "lockfileVersion": 3, "packages": {} }\n');
    expect(install(folder, npm).status).toBe(0);
    expect(calls().split('\n')).toHaveLength(3);
  });

  it('fails if npm fails, and installs again the next time', () => {
    const { folder, npm, calls } = makeSuite();
    writeFileSync(join(folder, 'fail'), '');
    for (const times of [1, 2]) {
      expect(install(folder, npm)).toMatchObject({ status: 1, stderr: expect.stringMatching(/failed with 7\n$/) });
      expect(calls()).toBe('ci --ignore-scripts\n'.repeat(times));
    }
  });

  it.each([
    ['outside of an npm script', (folder: string) => install(folder, undefined), /npm_execpath/],
    ['without a lock', (_: string, npm: string) => install(temporaryFolder(), npm), /ENOENT.*package-lock\.json/],
  ])('fails %s', (_, run, message) => {
    const { folder, npm, calls } = makeSuite();
    const { status, stderr } = run(folder, npm);
    expect([status, calls()]).toEqual([1, '']);
    expect(stderr).toMatch(message);
  });
});
