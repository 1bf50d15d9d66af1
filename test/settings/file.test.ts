import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import type { CofferError } from '../../src/errors.ts';
import { readSettingsFile } from '../../src/settings/file.ts';
import { loadSettings } from '../../src/settings/settings.ts';
import { requirePosix, temporaryFolder } from '../files/facilities.ts';

let folder: string;
let path: string;

beforeEach(() => {
  process.umask(0o077); // as coffer starts
  folder = temporaryFolder();
  path = join(folder, 'settings.json');
});

/** Returns the message about the file, without the path at its start, followed by every fault. */
async function refusal(): Promise<string> {
  const error = await loadSettings(path).then(
    () => undefined,
    (thrown: CofferError) => thrown,
  );
  expect(error?.code).toBe('SETTINGS_INVALID');
  expect(error?.message.startsWith(`${path} `)).toBe(true);
  const faults = error?.cause instanceof AggregateError ? error.cause.errors : [];
  return [error?.message.slice(path.length + 1), ...faults.map((fault: Error) => fault.message)].join('; ');
}

describe('a settings file', () => {
  it.each([
    ['a directory', () => mkdirSync(path), 'is a directory, not a settings file; move it away'],
    ['a pipe', () => execFileSync('mkfifo', [path]), 'is a named pipe, not a settings file; move it away'],
    ['a device', () => symlinkSync('/dev/zero', path), 'is a device, not a settings file; move it away'],
    [
      'a link to nothing',
      () => symlinkSync(join(folder, 'gone'), path),
      'is a link to a missing file; remove it or restore the file',
    ],
    ['a link to itself', () => symlinkSync(path, path), "can't be read: too many symbolic links encountered"],
    [
      'a file too long',
      () => writeFileSync(path, `{}${' '.repeat(1_048_575)}`),
      'is too large for a settings file, over 1 MiB; move it away',
    ],
    [
      'a text in Latin-1',
      () => writeFileSync(path, Buffer.from('{\n  "model": "a/caf\u00e9"\n}', 'latin1')),
      'has a fault; settings: not UTF-8 in line 2',
    ],
    [
      'a text in UTF-16',
      () => writeFileSync(path, Buffer.from('\ufeff{}', 'utf16le')),
      'has a fault; settings: not UTF-8 in line 1',
    ],
    ['nothing', () => writeFileSync(path, ''), 'has a fault; settings: invalid JSON at line 1, column 1'],
    [
      'a comma too many',
      () => writeFileSync(path, '{\n  "tools": true,\n}'),
      'has a fault; settings: invalid JSON at line 3, column 1',
    ],
    [
      'a value with very many levels',
      () => writeFileSync(path, `{"tools": ${'['.repeat(300_000)}${']'.repeat(300_000)}}`),
      'has a fault; settings: nested deeper than 64 levels',
    ],
    [
      'very many levels that do not end',
      () => writeFileSync(path, `{"tools": ${'['.repeat(300_000)}`),
      'has a fault; settings: nested deeper than 64 levels',
    ],
  ])('is refused if it is %s', async (_, make, said) => {
    make();
    expect(await refusal()).toBe(said);
  });

  it('is refused if it is longer than its reported size', async (context) => {
    if (process.platform !== 'linux') context.skip('/proc is a thing of Linux');
    symlinkSync('/proc/kallsyms', path);
    expect(statSync(path)).toMatchObject({ size: 0 });
    expect(await refusal()).toBe('is too large for a settings file, over 1 MiB; move it away');
  });

  it('is refused if it is a socket', async (context) => {
    requirePosix(context);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(path, resolve));
    onTestFinished(() => void server.close());
    expect(await refusal()).toBe("can't be read: no such device or address");
  });

  it.each(['620', '602', '666', '777'])('is refused if others can write it, mode %s', async (octal) => {
    const mode = Number.parseInt(octal, 8);
    writeFileSync(path, '{}');
    chmodSync(path, mode);
    expect(await refusal()).toBe(`can be written by others (mode ${octal}); check it, then run: chmod go-w ${path}`);
    chmodSync(path, mode & ~0o022);
    await expect(loadSettings(path)).resolves.toBeTruthy();
  });

  it('is refused if it belongs to another user, and read if it belongs to root', async (context) => {
    requirePosix(context);
    if (process.getuid?.() !== 0) context.skip('giving a file away needs root');
    writeFileSync(path, '{}');
    chownSync(path, 12_345, 12_345);
    expect(await refusal()).toBe(
      `belongs to another user (uid 12345), who could change it; check it, then run: chown 0 ${path}`,
    );
    // A process of that user may read its own file, and the one that root provides for everyone.
    chmodSync(folder, 0o755);
    chmodSync(path, 0o644);
    const read = (file: string): void => {
      const modules = join(import.meta.dirname, '../../src/settings/file.ts');
      const program = `process.setuid(12345); const { readSettingsFile } = await import(${JSON.stringify(modules)}); await readSettingsFile(${JSON.stringify(file)}, 'own');`;
      execFileSync(process.execPath, ['--input-type=module', '-e', program], { stdio: 'pipe' });
    };
    read(path);
    chownSync(path, 0, 0);
    read(path);
    chownSync(path, 54_321, 54_321);
    expect(() => read(path)).toThrow(/belongs to another user \(uid 54321\)/);
  });

  it('may be a link to another file', async () => {
    writeFileSync(join(folder, 'elsewhere'), '{"maxTurns": 3}');
    symlinkSync(join(folder, 'elsewhere'), path);
    expect(await loadSettings(path)).toMatchObject({ maxTurns: 3 });
  });

  it('of a project is read whoever owns it, but never through a link', async () => {
    writeFileSync(path, '{}', { mode: 0o666 });
    chmodSync(path, 0o666);
    expect(await readSettingsFile(path, 'project')).toEqual({ value: {} });
    const link = join(folder, 'link');
    symlinkSync(path, link);
    await expect(readSettingsFile(link, 'project')).rejects.toMatchObject({
      code: 'SETTINGS_INVALID',
      message: `${link} is a symbolic link, but a project's settings must be a regular file; remove it`,
    });
  });
});
