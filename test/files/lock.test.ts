import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FileLock, takeLock } from '../../src/files/lock.ts';
import type { Request, Verb } from './child.ts';
import { Child, inChild, requirePosix, temporaryFolder, withLimit } from './facilities.ts';

describe('FileLock', () => {
  it('is taken once, by the first process', async () => {
    const path = join(temporaryFolder(), 'lock');
    using lock = FileLock.tryTake(path);
    expect(lock).toBeInstanceOf(FileLock);
    expect(FileLock.tryTake(path)).toBeUndefined();
    expect(await inChild('tryTake', { path })).toEqual({ value: false });
    lock?.release();
    expect(await inChild('tryTake', { path })).toEqual({ value: true });
  });

  it('throws NOT_SAVED if the system can’t tell whether it is held', (context) => {
    requirePosix(context);
    const loop = join(temporaryFolder(), 'loop');
    symlinkSync('loop', loop);
    expect(() => FileLock.isHeld(join(loop, 'lock'))).toThrow(expect.objectContaining({ code: 'NOT_SAVED' }));
  });

  it('is released immediately when its holder is killed', async () => {
    const path = join(temporaryFolder(), 'lock');
    await using holder = new Child('hold', { path });
    expect(await holder.line()).toBe('held');
    expect(FileLock.tryTake(path)).toBeUndefined();
    expect(FileLock.isHeld(path)).toBe(true);
    await holder.kill('SIGKILL');
    expect(FileLock.isHeld(path)).toBe(false);
    using lock = FileLock.tryTake(path);
    expect(lock).toBeInstanceOf(FileLock);
  });

  it('stays held while its holder is stopped', async (context) => {
    requirePosix(context);
    const path = join(temporaryFolder(), 'lock');
    await using holder = new Child('hold', { path });
    await holder.line();
    holder.process.kill('SIGSTOP');
    expect(FileLock.tryTake(path)).toBeUndefined();
  });

  it('reads as held without losing the lock, by its own name and by another', async (context) => {
    requirePosix(context);
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'locks'));
    symlinkSync('locks', join(folder, 'alias'));
    const path = join(folder, 'locks', 'lock');
    using _lock = FileLock.tryTake(path);
    expect(FileLock.isHeld(path)).toBe(true);
    expect(FileLock.isHeld(join(folder, 'alias', 'lock'))).toBe(true);
    expect(FileLock.tryTake(join(folder, 'alias', 'lock'))).toBeUndefined();
    expect(await inChild('isHeld', { path })).toEqual({ value: true });
    expect(await inChild('tryTake', { path })).toEqual({ value: false });
  });

  it('is lost if the holder reads its file (why the class forbids it)', async (context) => {
    if (process.platform !== 'linux') context.skip('what closing a descriptor does to a lock differs by system');
    const path = join(temporaryFolder(), 'lock');
    using _lock = FileLock.tryTake(path);
    readFileSync(path);
    expect(await inChild('tryTake', { path })).toEqual({ value: true });
  });

  it('is not held if no process took it, and checking creates no file', () => {
    const folder = temporaryFolder();
    expect(FileLock.isHeld(join(folder, 'lock'))).toBe(false);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('is released only once', () => {
    const path = join(temporaryFolder(), 'lock');
    const first = FileLock.tryTake(path);
    first?.release();
    using second = FileLock.tryTake(path);
    first?.release();
    expect(second).toBeInstanceOf(FileLock);
    expect(FileLock.tryTake(path)).toBeUndefined();
  });

  it.each([0o000, 0o777])('is a single empty file with mode 0600 under umask %o', async (umask) => {
    const folder = temporaryFolder();
    const path = join(folder, 'a lock?#%ü');
    await using holder = new Child('hold', { path, umask });
    expect(await holder.line()).toBe('held');
    expect(readdirSync(folder)).toEqual(['a lock?#%ü']);
    expect(statSync(path).size).toBe(0);
    if (process.platform !== 'win32') expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('writes nothing to the terminal (no warning that node:sqlite is experimental)', async () => {
    const path = join(temporaryFolder(), 'lock');
    await using holder = new Child('hold', { path });
    await holder.line();
    holder.send('end');
    await holder.ended();
    expect(holder.stderr).toBe('');
  });

  it('holds a thousand at once although the shell allows 256 open files', async (context) => {
    requirePosix(context);
    const allowed = execFileSync('sh', ['-c', 'ulimit -Hn'], { encoding: 'utf8' }).trim();
    if (Number(allowed) < 1100) context.skip(`needs 1100 open files; run with: ulimit -Hn 4096 (now ${allowed})`);
    const folder = temporaryFolder();
    await using holder = new Child('holdMany', { path: folder, count: 1000 }, withLimit('-Sn 256'));
    expect(await holder.line()).toBe('held');
    const names = readdirSync(folder);
    expect(names).toHaveLength(1000);
    expect(names.filter((name) => !FileLock.isHeld(join(folder, name)))).toEqual([]);
    holder.send('end');
    expect(await holder.outcome()).toEqual({ value: 1000 });
    expect(names.filter((name) => FileLock.isHeld(join(folder, name)))).toEqual([]);
  });

  it('throws NOT_SAVED if the file can’t be created or opened', async (context) => {
    requirePosix(context);
    const folder = temporaryFolder();
    const refused = { code: 'NOT_SAVED', message: expect.stringContaining('cannot lock') };
    expect(() => FileLock.tryTake(join(folder, 'gone', 'lock'))).toThrow(expect.objectContaining(refused));
    const outcome = await inChild('holdMany', { path: folder, count: 30 }, withLimit('-n 24'));
    expect(outcome.error).toMatchObject(refused);
  });

  it('refuses a file that isn’t a lock file, and leaves it alone', () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'file'), 'content');
    mkdirSync(join(folder, 'directory'));
    for (const name of ['file', 'directory']) {
      expect(() => FileLock.tryTake(join(folder, name))).toThrow(expect.objectContaining({ code: 'FAILED' }));
      expect(() => FileLock.isHeld(join(folder, name))).toThrow(expect.objectContaining({ code: 'FAILED' }));
    }
    expect(readFileSync(join(folder, 'file'), 'utf8')).toBe('content');
  });

  it('refuses a symbolic link, and neither follows it nor creates its target', (context) => {
    requirePosix(context);
    const folder = temporaryFolder();
    symlinkSync('nowhere', join(folder, 'lock'));
    expect(() => FileLock.tryTake(join(folder, 'lock'))).toThrow(expect.objectContaining({ code: 'FAILED' }));
    expect(readdirSync(folder)).toEqual(['lock']);
  });
});

describe('takeLock', () => {
  it('waits until the holder releases the lock', async () => {
    const path = join(temporaryFolder(), 'lock');
    const first = await takeLock(path, 0);
    const second = takeLock(path, 60_000);
    first.release();
    using lock = await second;
    expect(lock).toBeInstanceOf(FileLock);
  });

  it('throws VAULT_BUSY if the wait is over', async () => {
    const path = join(temporaryFolder(), 'lock');
    using _lock = await takeLock(path, 0);
    await expect(takeLock(path, 20)).rejects.toMatchObject({ code: 'VAULT_BUSY' });
  });

  it('lets one process in at a time, even after a holder was killed', async () => {
    const path = temporaryFolder();
    await using holder = new Child('hold', { path: join(path, 'lock') });
    expect(await holder.line()).toBe('held');
    const met = together('takeTurns', { path, count: 40 });
    await holder.kill('SIGKILL');
    expect(await met).toEqual([0, 0, 0, 0]);
  });

  it('is necessary: without it the processes meet', async () => {
    const met = await together('takeNoTurns', { path: temporaryFolder(), count: 400 });
    expect(Math.max(...met)).toBeGreaterThan(0);
  });
});

/** Runs four processes that start at the same moment; returns how often each met another. */
async function together(verb: Verb, request: Request): Promise<number[]> {
  await using children = new AsyncDisposableStack();
  const four = Array.from({ length: 4 }, () => children.use(new Child(verb, { ...request, wait: true })));
  for (const child of four) expect(await child.line()).toBe('ready');
  for (const child of four) child.send('go');
  return await Promise.all(four.map(async (child) => Number((await child.outcome()).value)));
}
