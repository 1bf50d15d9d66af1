import { spawnSync } from 'node:child_process';
import { chmodSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import writeFileAtomic from 'write-file-atomic';
import { FileLock } from '../../src/files/lock.ts';
import { makeDirectory } from '../../src/files/paths.ts';
import { reasonOf } from '../../src/files/reason.ts';
import { createFile, replaceFile, replaceFileSync } from '../../src/files/replace/replace.ts';
import { appendOnce, appendOnceSync } from './appends.ts';
import { inChild, requirePosix, type Skippable, smallDisk, temporaryFolder, withLimit } from './facilities.ts';

const KB = 1024;

const overwrites = [
  { name: 'replaceFile', replace: replaceFile },
  { name: 'replaceFileSync', replace: async (path: string, parts: Uint8Array[]) => replaceFileSync(path, parts) },
];

const appends = [
  { name: 'append', append: appendOnce },
  { name: 'appendSync', append: async (...args: Parameters<typeof appendOnce>) => appendOnceSync(...args) },
];

describe('a disk that fills up', () => {
  it.for(overwrites)(
    'keeps the old copy with $name, which works again once there is space',
    async ({ replace }, context) => {
      const disk = smallDisk(context, '1m');
      const path = join(disk.path, 'session');
      const old = Buffer.alloc(400 * KB, 'old');
      await replace(path, [old]);
      const parts = [Buffer.alloc(300 * KB, 'new'), Buffer.alloc(400 * KB, 'new')];
      const error = await replace(path, parts).catch(thrown);
      expect(error).toMatchObject({ code: 'NOT_SAVED', message: expect.stringContaining('disk full') });
      expect(reasonOf(error)).toBe('disk full');
      expect(readFileSync(path).equals(old)).toBe(true);
      expect(readdirSync(disk.path)).toEqual(['session']);
      rmSync(path);
      await replace(path, parts);
      expect(readFileSync(path).equals(Buffer.concat(parts))).toBe(true);
    },
  );

  it('catches the widely used writer that renames a truncated file over the good one', async (context) => {
    const disk = smallDisk(context, '1m');
    const path = join(disk.path, 'session');
    writeFileSync(path, Buffer.alloc(400 * KB, 'old'));
    await writeFileAtomic(path, Buffer.alloc(700 * KB, 'new'));
    expect(statSync(path).size).toBeLessThan(700 * KB);
  });

  it('catches a writer that does not check how much was written', async (context) => {
    const disk = smallDisk(context, '1m');
    const path = join(disk.path, 'session');
    writeFileSync(path, Buffer.alloc(400 * KB, 'old'));
    expect((await inChild('unchecked', { path, size: 700 * KB, fill: 'new' })).error).toBeUndefined();
    expect(statSync(path).size).toBeLessThan(700 * KB);
  });

  it.for(appends)('is reported by $name, which changes nothing before the end', async ({ append }, context) => {
    const disk = smallDisk(context, '1m');
    const path = join(disk.path, 'session');
    const old = Buffer.alloc(400 * KB, 'old');
    const stamp = await replaceFile(path, [old]);
    const error = await append(path, stamp, Buffer.alloc(700 * KB, 'new')).catch(thrown);
    expect(error).toMatchObject({ code: 'NOT_SAVED', message: expect.stringContaining('disk full') });
    expect(readFileSync(path).subarray(0, old.length).equals(old)).toBe(true);
    const again = await append(path, stamp, Buffer.from('small')).catch(thrown);
    expect(reasonOf(again)).toBe('changed by something else');
  });

  it('is reported if no more files can be created', async (context) => {
    const disk = smallDisk(context, '1m,nr_inodes=3');
    await replaceFile(join(disk.path, 'one'), [Buffer.from('1')]);
    await replaceFile(join(disk.path, 'two'), [Buffer.from('2')]);
    const full = { code: 'NOT_SAVED', message: expect.stringContaining('disk full') };
    await expect(replaceFile(join(disk.path, 'one'), [Buffer.from('3')])).rejects.toMatchObject(full);
    await expect(createFile(join(disk.path, 'three'), [Buffer.from('3')])).rejects.toMatchObject(full);
    expect(() => makeDirectory(join(disk.path, 'directory'))).toThrow(expect.objectContaining(full));
    expect(() => FileLock.tryTake(join(disk.path, 'lock'))).toThrow(expect.objectContaining(full));
    expect(readFileSync(join(disk.path, 'one'), 'utf8')).toBe('1');
  });
});

describe('a limit on the size of files', () => {
  it.for(['replace', 'replaceSync'] as const)('keeps the old copy with %s', async (verb, context) => {
    requirePosix(context);
    const folder = temporaryFolder();
    const path = join(folder, 'session');
    writeFileSync(path, 'old');
    // In blocks of 512 bytes according to POSIX, of 1024 in some shells: 51,200 or 102,400 bytes.
    const outcome = await inChild(verb, { path, size: 200 * KB, fill: 'new' }, withLimit('-f 100'));
    expect(outcome.error).toMatchObject({ code: 'NOT_SAVED', reason: 'file size limit reached' });
    expect(readFileSync(path, 'utf8')).toBe('old');
    expect(readdirSync(folder)).toEqual(['session']);
  });

  it.for(['append', 'appendSync'] as const)('is reported by %s', async (verb, context) => {
    requirePosix(context);
    const path = join(temporaryFolder(), 'session');
    writeFileSync(path, 'old');
    const outcome = await inChild(verb, { path, size: 200 * KB, fill: 'new' }, withLimit('-f 100'));
    expect(outcome.error).toMatchObject({ code: 'NOT_SAVED', reason: 'file size limit reached' });
    expect(readFileSync(path, 'utf8').slice(0, 3)).toBe('old');
  });
});

describe('a file system that turns read-only', () => {
  it.for(overwrites)('keeps the old copy with $name, which works again later', async ({ replace }, context) => {
    const disk = smallDisk(context, '1m');
    const path = join(disk.path, 'session');
    await replace(path, [Buffer.from('old')]);
    disk.remount('ro');
    const error = await replace(path, [Buffer.from('new')]).catch(thrown);
    expect(error).toMatchObject({ code: 'NOT_SAVED', message: expect.stringContaining(`cannot write to ${path}`) });
    expect(reasonOf(error)).toBe('read-only file system');
    disk.remount('rw');
    expect(readFileSync(path, 'utf8')).toBe('old');
    await replace(path, [Buffer.from('new')]);
    expect(readdirSync(disk.path)).toEqual(['session']);
  });

  it('is reported by an append and a lock too', async (context) => {
    const disk = smallDisk(context, '1m');
    const path = join(disk.path, 'session');
    const stamp = await replaceFile(path, [Buffer.from('old')]);
    FileLock.tryTake(join(disk.path, 'lock'))?.release();
    disk.remount('ro');
    const refused = { code: 'NOT_SAVED', cause: expect.objectContaining({ code: 'EROFS' }) };
    await expect(appendOnce(path, stamp, Buffer.from('new'))).rejects.toMatchObject(refused);
    expect(() => FileLock.tryTake(join(disk.path, 'lock'))).toThrow(expect.objectContaining(refused));
    expect(FileLock.isHeld(join(disk.path, 'lock'))).toBe(false);
    disk.remount('rw');
  });
});

describe('a directory in which nothing can be created', () => {
  it.for(overwrites)('keeps the old copy with $name', async ({ replace }, context) => {
    const folder = temporaryFolder();
    const path = join(folder, 'session');
    await replace(path, [Buffer.from('old')]);
    forbidChanges(context, folder);
    const error = await replace(path, [Buffer.from('new')]).catch(thrown);
    expect(error).toMatchObject({ code: 'NOT_SAVED', message: expect.stringContaining(`cannot write to ${path}`) });
    expect(reasonOf(error)).toBe('permission denied');
    expect(readFileSync(path, 'utf8')).toBe('old');
    expect(readdirSync(folder)).toEqual(['session']);
  });
});

describe('a limit on open files', () => {
  it('is reported, with the old copy in place', async (context) => {
    requirePosix(context);
    const path = join(temporaryFolder(), 'session');
    writeFileSync(path, 'old');
    const outcome = await inChild('replaceLast', { path, size: 10, fill: 'new' }, withLimit('-n 40'));
    expect(outcome.error).toMatchObject({ code: 'NOT_SAVED', reason: 'too many open files' });
    expect(readFileSync(path, 'utf8')).toBe('old');
  });
});

/** Makes a folder immutable: by its mode, which root ignores, or by the flag that root obeys. */
function forbidChanges(context: Skippable, folder: string): void {
  requirePosix(context);
  if (process.geteuid?.() !== 0) {
    chmodSync(folder, 0o500);
    onTestFinished(() => chmodSync(folder, 0o700));
    return;
  }
  const done = spawnSync('chattr', ['+i', folder]);
  if (done.status !== 0)
    context.skip('chattr +i does not work here; run as another user than root: su nobody -c "npm test"');
  onTestFinished(() => void spawnSync('chattr', ['-i', folder]));
}

function thrown(error: unknown): unknown {
  return error;
}
