import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../support/vault.ts';

const root = join(import.meta.dirname, '../..');

/** Prints the address of every module as it is loaded, Node's own left out. */
const hook = `import { registerHooks } from 'node:module';
import { writeSync } from 'node:fs';
registerHooks({ load(url, context, next) { if (url.startsWith('file:')) writeSync(2, url + '\\n'); return next(url, context); } });`;

describe('the start', () => {
  it('of coffer sessions loads what a list needs, and no schemas, models or Markdown', () => {
    const loaded = modulesOf('sessions');
    expect(loaded.some((url) => url.endsWith('/src/session/row.ts'))).toBe(true);
    expect(packagesIn(loaded)).toEqual(['commander', 'env-paths', 'is-safe-filename']);
  });

  it('of coffer --version loads no package at all', () => {
    const loaded = modulesOf('--version');
    expect(loaded.some((url) => url.endsWith('/src/cli/main.ts'))).toBe(true);
    expect(packagesIn(loaded)).toEqual([]);
  });
});

function modulesOf(argument: string): string[] {
  const place = { COFFER_DATA_DIR: join(temporaryFolder(), 'data'), COFFER_CONFIG_DIR: temporaryFolder() };
  const hooked = ['--import', `data:text/javascript,${encodeURIComponent(hook)}`];
  const { status, stderr } = spawnSync(process.execPath, [...hooked, join(root, 'src/cli/main.ts'), argument], {
    env: { PATH: process.env['PATH'], HOME: temporaryFolder(), ...place },
    encoding: 'utf8',
  });
  expect([status, stderr.split('\n').filter((line) => line !== '' && !line.startsWith('file:'))]).toEqual([0, []]);
  return stderr.split('\n').filter((line) => line.startsWith('file:'));
}

function packagesIn(urls: readonly string[]): string[] {
  const names = urls.flatMap((url) => /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1] ?? []);
  return [...new Set(names)].sort();
}
