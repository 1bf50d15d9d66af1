import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { FileLock } from '../../src/files/lock.ts';
import { Lease } from '../../src/vault/lease.ts';
import { Child, temporaryFolder } from '../files/facilities.ts';
import { begin, home, texts, user } from '../support/vault.ts';

describe('a lease', () => {
  it('locks out a second writer, and names the first', async () => {
    const at = home();
    await using first = await at.open();
    await begin(first).append(user('one'));
    await using second = await at.open();
    const [row] = await second.list();
    expect(row!.held).toMatchObject({ pid: process.pid });
    await expect(second.resume(row!)).rejects.toMatchObject({
      code: 'SESSION_IN_USE',
      message: expect.stringContaining(`process ${process.pid} since`),
      holder: row!.held,
      advice: 'close it there or start a new one',
    });
    await expect(second.delete(row!)).rejects.toMatchObject({ code: 'SESSION_IN_USE', holder: row!.held });
    await expect(second.change(row!, async () => undefined)).rejects.toMatchObject({
      code: 'SESSION_IN_USE',
      holder: row!.held,
      advice: `close it there; ${row!.id} is unchanged`,
    });
    expect(texts(await second.read(row!))).toEqual(['one']);
  });

  it('ends with the session, and leaves no lock file', async () => {
    const at = home();
    const first = await at.open();
    const session = begin(first);
    await session.append(user('one'));
    const locks = join(at.directory, 'locks');
    expect(readdirSync(locks).sort()).toEqual([session.fileId, `${session.fileId}.holder`, 'vault'].sort());
    for (const name of readdirSync(locks)) expect(statSync(join(locks, name)).mode & 0o777).toBe(0o600);
    await session.close();
    expect(readdirSync(locks)).toEqual(['vault']);
    const second = await at.open();
    const [row] = await second.list();
    expect(row!.held).toBeUndefined();
    const resumed = await second.resume(row!);
    await resumed.append(user('two'));
    await second.close();
  });

  it('ends with a final save, and after a crash with the next conversation', async () => {
    const at = home();
    const sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('one'));
    const locks = join(at.directory, 'locks');
    session.finalSave();
    expect(readdirSync(locks)).toEqual(['vault']);
    await using second = await at.open();
    await second.resume(await second.find('1'));
    const taken = readdirSync(locks);
    await session.close();
    expect(readdirSync(locks)).toEqual(taken);
    await second.close();
    for (const name of ['a'.repeat(32), `${'a'.repeat(32)}.holder`]) writeFileSync(join(locks, name), '');
    const live = begin(sessions);
    await live.append(user('two'));
    expect(readdirSync(locks).sort()).toEqual([live.fileId, `${live.fileId}.holder`, 'vault'].sort());
    await sessions.close();
  });

  it('is taken while a dying process tests it, and refused while it is held or tested forever', async () => {
    const locks = temporaryFolder();
    const fileId = 'a'.repeat(32);
    Lease.take(locks, fileId).abandon();
    await using looker = new Child('look', { path: join(locks, fileId) });
    expect(await looker.line()).toBe('looking');
    expect(() => Lease.take(locks, fileId)).toThrow(expect.objectContaining({ code: 'SESSION_IN_USE' }));
    const { tryTake } = FileLock;
    const tries = vi.spyOn(FileLock, 'tryTake').mockImplementation((path) => {
      const lock = tryTake.call(FileLock, path);
      if (!lock) looker.process.kill('SIGKILL');
      return lock;
    });
    try {
      const lease = Lease.take(locks, fileId);
      expect(tries.mock.results[0]?.value).toBeUndefined();
      expect(() => Lease.take(locks, fileId)).toThrow(expect.objectContaining({ code: 'SESSION_IN_USE' }));
      lease.release();
    } finally {
      tries.mockRestore();
    }
  });

  it('is held by a thousand sessions of one process at once', async () => {
    const at = home();
    await using sessions = await at.open();
    const open = Array.from({ length: 1000 }, () => begin(sessions));
    for (const session of open) await session.append(user('one'));
    for (const session of open) await session.append(user('two'));
    expect(at.files()).toHaveLength(1000);
    expect(new Set(open.map((session) => session.id)).size).toBe(1000);
  }, 600_000);
});

describe('delete', () => {
  it('removes the file, and _autosave if it points there', async () => {
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('one'));
    await session.close();
    await sessions.delete(await sessions.find('_autosave'));
    expect(readdirSync(join(at.directory, 'sessions'))).toEqual([]);
    expect(await sessions.list()).toEqual([]);
  });

  it('rejects a file that is not in the vault', async () => {
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('one'));
    await session.close();
    const row = await sessions.find('1');
    const before = readFileSync(at.path(row.fileId));
    await expect(sessions.delete({ ...row, fileId: '0'.repeat(32) })).rejects.toMatchObject({
      code: 'SESSION_NOT_FOUND',
    });
    expect(readFileSync(at.path(row.fileId))).toEqual(before);
  });
});
