import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { dataDirectory, makeDirectory } from '../../src/files/paths.ts';
import { inChild, requirePosix, temporaryFolder } from './facilities.ts';

const PATHS = join(import.meta.dirname, '..', '..', 'src', 'files', 'paths.ts');

describe('dataDirectory', () => {
  it('prefers the option, then COFFER_DATA_DIR, then the platform’s default', () => {
    expect(dataDirectory({ COFFER_DATA_DIR: '/from/env' }, '/from/option')).toBe(resolve('/from/option'));
    expect(dataDirectory({ COFFER_DATA_DIR: '/from/env' })).toBe(resolve('/from/env'));
    expect(dataDirectory({})).toMatch(/coffer/);
    expect(dataDirectory({})).not.toMatch(/nodejs/);
  });

  it('ignores an empty string, and is always absolute', () => {
    expect(dataDirectory({ COFFER_DATA_DIR: '' }, '')).toBe(dataDirectory({}));
    expect(dataDirectory({}, 'here')).toBe(resolve('here'));
    expect(isAbsolute(dataDirectory({}))).toBe(true);
  });
});

describe('dataDirectory in an environment that coffer did not settle', () => {
  const directory = (env: Record<string, string>): string => {
    const script = `console.log((await import(${JSON.stringify(PATHS)})).dataDirectory({}))`;
    const told = spawnSync(process.execPath, ['--input-type=module', '-e', script], { env, encoding: 'utf8' });
    return told.stdout.trim();
  };

  it.each(['', '.', 'here', './here', '../here', '~/here'])('ignores %j for HOME and XDG_DATA_HOME', (relative) => {
    expect(directory({ HOME: '/h', XDG_DATA_HOME: relative })).toBe('/h/.local/share/coffer');
    expect(directory({ HOME: relative })).toBe(join(userInfo().homedir, '.local/share/coffer'));
  });

  it('uses an absolute path', () => {
    expect(directory({ HOME: '/h' })).toBe('/h/.local/share/coffer');
    expect(directory({ HOME: 'here', XDG_DATA_HOME: '/x' })).toBe('/x/coffer');
  });
});

describe('makeDirectory', () => {
  it.each([0o000, 0o022, 0o777])('creates every missing level with mode 0700 under umask %o', async (umask) => {
    const folder = temporaryFolder();
    const { error } = await inChild('makeDirectory', { path: join(folder, 'a', 'b', 'c'), umask });
    expect(error).toBeUndefined();
    const modes = ['a', 'a/b', 'a/b/c'].map((level) => statSync(join(folder, level)).mode & 0o777);
    if (process.platform !== 'win32') expect(modes).toEqual([0o700, 0o700, 0o700]);
  });

  it('sets an existing one to 0700 and leaves its parents alone', async (context) => {
    requirePosix(context);
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'above', 'vault'), { recursive: true });
    chmodSync(join(folder, 'above'), 0o755);
    chmodSync(join(folder, 'above', 'vault'), 0o755);
    makeDirectory(join(folder, 'above', 'vault'));
    expect(statSync(join(folder, 'above')).mode & 0o777).toBe(0o755);
    expect(statSync(join(folder, 'above', 'vault')).mode & 0o777).toBe(0o700);
  });

  it('follows a link in a parent', async (context) => {
    requirePosix(context);
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'real'));
    symlinkSync('real', join(folder, 'link'));
    makeDirectory(join(folder, 'link', 'vault'));
    expect(existsSync(join(folder, 'real', 'vault'))).toBe(true);
  });

  it('refuses a file, a link and a dangling link at the path', async (context) => {
    requirePosix(context);
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'real'), { mode: 0o755 });
    writeFileSync(join(folder, 'file'), 'content');
    symlinkSync('real', join(folder, 'link'));
    symlinkSync('nowhere', join(folder, 'dangling'));
    const file = { code: 'FAILED', message: expect.stringContaining('is a file') };
    const link = { code: 'FAILED', message: expect.stringContaining('is a symbolic link') };
    expect(() => makeDirectory(join(folder, 'file'))).toThrow(expect.objectContaining(file));
    expect(() => makeDirectory(join(folder, 'link'))).toThrow(expect.objectContaining(link));
    expect(() => makeDirectory(`${join(folder, 'link')}/`)).toThrow(expect.objectContaining(link));
    expect(() => makeDirectory(join(folder, 'dangling'))).toThrow(expect.objectContaining(link));
    expect(readFileSync(join(folder, 'file'), 'utf8')).toBe('content');
    expect(existsSync(join(folder, 'nowhere'))).toBe(false);
  });

  it('throws NOT_SAVED if the system refuses', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'file'), '');
    expect(() => makeDirectory(join(folder, 'file', 'vault'))).toThrow(expect.objectContaining({ code: 'NOT_SAVED' }));
  });

  it('works when eight processes do it at once', async () => {
    const path = join(temporaryFolder(), 'a', 'b', 'c');
    const outcomes = await Promise.all(Array.from({ length: 8 }, () => inChild('makeDirectory', { path })));
    expect(outcomes.filter(({ error }) => error)).toEqual([]);
  });
});
