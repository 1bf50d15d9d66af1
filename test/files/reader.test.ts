import { execFileSync } from 'node:child_process';
import { mkdirSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readWhole } from '../../src/files/read.ts';
import { openReader } from '../../src/files/reader.ts';
import { replaceFileSync } from '../../src/files/replace.ts';
import { requirePosix, temporaryFolder } from './facilities.ts';

describe('openReader', () => {
  it('reads pieces at any place, in memory of their own', () => {
    const path = join(temporaryFolder(), 'session');
    writeFileSync(path, 'one two three');
    using reader = openReader(path);
    const piece = reader.at(4, 3);
    expect(piece.toString()).toBe('two');
    expect(piece.buffer.byteLength).toBe(3);
    expect(reader.at(13, 0)).toHaveLength(0);
  });

  it('goes on reading the old file when an overwrite took its name', (context) => {
    requirePosix(context);
    const path = join(temporaryFolder(), 'session');
    writeFileSync(path, 'old');
    using reader = openReader(path);
    const after = replaceFileSync(path, [Buffer.from('new content')]);
    expect(reader.at(0, 3).toString()).toBe('old');
    expect(reader.stamp.ino).not.toBe(after.ino);
    expect(reader.stamp.size).toBe(3);
  });

  it('says FAILED where the file ends before what is asked for', () => {
    const path = join(temporaryFolder(), 'session');
    writeFileSync(path, 'one two three');
    using reader = openReader(path);
    truncateSync(path, 5);
    expect(() => reader.at(4, 3)).toThrow(/ends at 5, before what is to be read/);
  });

  it('passes ENOENT through as it is', () => {
    expect(() => openReader(join(temporaryFolder(), 'gone'))).toThrow(expect.objectContaining({ code: 'ENOENT' }));
  });

  it('says FAILED for a directory', () => {
    expect(() => openReader(temporaryFolder())).toThrow(expect.objectContaining({ code: 'FAILED' }));
  });

  it('says FAILED for a symbolic link, a pipe and a device, and waits for none of them', (context) => {
    requirePosix(context);
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'file'), 'content');
    symlinkSync('file', join(folder, 'link'));
    execFileSync('mkfifo', [join(folder, 'pipe')]);
    const link = { code: 'FAILED', message: expect.stringContaining('a symbolic link is in its place') };
    const other = { code: 'FAILED', message: expect.stringContaining('is not a regular file') };
    expect(() => openReader(join(folder, 'link'))).toThrow(expect.objectContaining(link));
    expect(() => openReader(join(folder, 'pipe'))).toThrow(expect.objectContaining(other));
    expect(() => openReader('/dev/zero')).toThrow(expect.objectContaining(other));
  });
});

describe('readWhole', () => {
  it('reads everything and says which file it was', async () => {
    const path = join(temporaryFolder(), 'session');
    const content = Buffer.alloc(200_000, 'content ');
    writeFileSync(path, content);
    const { bytes, stamp } = await readWhole(path);
    const { dev, ino } = statSync(path, { bigint: true });
    expect(bytes.equals(content)).toBe(true);
    expect(stamp).toEqual({ dev, ino, size: 200_000 });
  });

  it('reads a file of exactly the limit and says FAILED for a longer one', async () => {
    const path = join(temporaryFolder(), 'session');
    writeFileSync(path, '12345');
    expect((await readWhole(path, 5)).bytes.toString()).toBe('12345');
    await expect(readWhole(path, 4)).rejects.toMatchObject({ code: 'FAILED' });
  });

  it('passes ENOENT through as it is, and says FAILED for a directory', async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'directory'));
    await expect(readWhole(join(folder, 'gone'))).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(readWhole(join(folder, 'directory'))).rejects.toMatchObject({ code: 'FAILED' });
  });
});
