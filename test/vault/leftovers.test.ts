import { mkdirSync, readdirSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { begin, crashed, type Home, home, texts, user } from '../support/vault.ts';

const RANDOM = '0123456789abcdef';

/** Creates a vault with a session of one step. */
async function used(): Promise<Home> {
  const at = home();
  await using sessions = await at.open();
  await begin(sessions).append(user('one'));
  return at;
}

describe('what a crash left behind', () => {
  it.each([
    ['vault.json', '.'],
    ['seen', '.'],
    ['_autosave', 'sessions'],
  ])('is swept when a session begins, of %s too', async (name, folder) => {
    const at = await used();
    writeFileSync(join(at.directory, folder, `.${name}.${RANDOM}.tmp`), 'half');
    writeFileSync(join(at.directory, folder, `.others.${RANDOM}.tmp`), 'theirs');
    await using sessions = await at.open();
    await begin(sessions).append(user('two'));
    const temps = readdirSync(join(at.directory, folder)).filter((entry) => entry.endsWith('.tmp'));
    expect(temps).toEqual([`.others.${RANDOM}.tmp`]);
  });

  it('is overwritten before an append, if the last process did not fold the file', async () => {
    const at = home();
    const sessions = await at.open();
    const session = begin(sessions);
    await session.append(user(noise()));
    await session.append(user('appended'));
    const after = crashed(at);
    await using next = await after.open();
    const resumed = await next.resume(await next.find('1'));
    const path = after.path(resumed.fileId!);
    const { ino } = statSync(path);
    await resumed.append(user('over'));
    expect(statSync(path).ino).not.toBe(ino);
    const fresh = statSync(path);
    await resumed.append(user('behind'));
    expect(statSync(path)).toMatchObject({ ino: fresh.ino });
    expect(statSync(path).size).toBeGreaterThan(fresh.size);
    await sessions.close();
  });

  it('is folded at the end, even if nothing was added', async () => {
    const at = home();
    const sessions = await at.open();
    const session = begin(sessions);
    await session.append(user(noise()));
    await session.append(user('appended'));
    const after = crashed(at);
    await using next = await after.open();
    const resumed = await next.resume(await next.find('1'));
    const path = after.path(resumed.fileId!);
    const { size } = statSync(path);
    await resumed.close();
    expect(statSync(path).size).toBeLessThan(size);
    await sessions.close();
  });
});

describe('a lease that can’t be released as usual', () => {
  it('is released even without the vault lock', async () => {
    const at = await used();
    await using sessions = await at.open();
    const session = await sessions.resume(await sessions.find('1'));
    await session.append(user('two'));
    const turn = join(at.directory, 'locks', 'vault');
    rmSync(turn);
    mkdirSync(turn);
    await expect(session.close()).rejects.toMatchObject({ code: 'FAILED' });
    rmdirSync(turn);
    const again = await sessions.resume(await sessions.find('1'));
    expect(texts(again)).toEqual(['one', 'two']);
  });

  it('is released even if its files can’t be removed', async () => {
    const at = await used();
    await using sessions = await at.open();
    const session = await sessions.resume(await sessions.find('1'));
    const holder = join(at.directory, 'locks', `${session.fileId}.holder`);
    rmSync(holder);
    mkdirSync(join(holder, 'stays'), { recursive: true });
    await session.append(user('two'));
    await session.close();
    const [row] = await sessions.list();
    expect(row?.held).toBeUndefined();
    rmSync(holder, { recursive: true });
  });
});

/** More text than is rewritten at every step; does not compress. */
function noise(): string {
  return Array.from({ length: 12_000 }, (_, index) => Math.sin(index + 1).toString(36)).join('');
}
