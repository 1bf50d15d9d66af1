import { chmod, lstat, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { requirePosix } from '../files/facilities.ts';
import { makePlace, type Place } from '../support/coffer.ts';

describe('permissions', () => {
  it.for(['0', '0777'])('are 0600 and 0700 under umask %s', async (umask, context) => {
    requirePosix(context);
    await using place = await makePlace();
    const input = 'one\n/save a snapshot\n/new\ntwo\n/resume 2\nthree\n';
    expect((await place.run(['--model', 'demo/echo'], { umask, input })).code).toBe(0);
    expect(await place.sessionFiles()).toHaveLength(3);
    expect(await tooOpen(place)).toEqual([]);
    expect((await place.run(['doctor'], { umask })).code).toBe(0);
  });

  it('of an export to a file are 0600 under umask 0', async (context) => {
    requirePosix(context);
    await using place = await makePlace();
    await place.run(['--model', 'demo/echo'], { umask: '0', input: 'one\n' });
    expect((await place.run(['export', '1', '-o', 'export.md'], { umask: '0' })).code).toBe(0);
    expect((await stat(join(place.project, 'export.md'))).mode & 0o777).toBe(0o600);
  });

  it('that were loosened are reported by doctor, and tightened by the next save', async (context) => {
    requirePosix(context);
    await using place = await makePlace();
    await place.run(['--model', 'demo/echo'], { input: 'one\n' });
    const [name = ''] = await place.sessionFiles();
    await chmod(place.sessionFile(name), 0o644);
    const checked = await place.run(['doctor']);
    expect(checked.code).not.toBe(0);
    expect(checked.stdout).toContain(place.sessionFile(name));
    expect((await place.run(['resume', '1'], { input: 'two\n' })).code).toBe(0);
    expect(await tooOpen(place)).toEqual([]);
  });
});

/** Lists everything in the data directory that is not 0600, or 0700 for a folder. */
async function tooOpen(place: Place): Promise<string[]> {
  const found: string[] = [];
  for (const name of ['.', ...(await readdir(place.data, { recursive: true }))]) {
    const stats = await lstat(join(place.data, name));
    if (stats.isSymbolicLink()) continue;
    const mode = stats.mode & 0o777;
    if (mode !== (stats.isDirectory() ? 0o700 : 0o600)) found.push(`${name}: ${mode.toString(8)}`);
  }
  return found;
}
