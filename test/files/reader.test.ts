import { execFileSync } from 'node:child_process';
import { symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { namesIn, openReader, statsOf } from '../../src/files/reader.ts';
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

describe('namesIn', () => {
  it('lists a directory, gives nothing where there is none, and says FAILED where a file is in its place', () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'a'), '');
    expect(namesIn(folder)).toEqual(['a']);
    expect(namesIn(join(folder, 'gone'))).toEqual([]);
    const failed = { code: 'FAILED', message: expect.stringContaining('cannot list') };
    expect(() => namesIn(join(folder, 'a'))).toThrow(expect.objectContaining(failed));
  });
});

describe('statsOf', () => {
  it('looks at what has a name, at a link itself, and knows when nothing has it', (context) => {
    requirePosix(context);
    const folder = temporaryFolder();
    symlinkSync('nowhere', join(folder, 'link'));
    expect(statsOf(join(folder, 'link'))?.isSymbolicLink()).toBe(true);
    expect(statsOf(join(folder, 'nothing'))).toBeUndefined();
  });

  it('says FAILED where that can’t be told', (context) => {
    requirePosix(context);
    const loop = join(temporaryFolder(), 'loop');
    symlinkSync('loop', loop);
    expect(() => statsOf(join(loop, 'session'))).toThrow(expect.objectContaining({ code: 'FAILED' }));
  });
});
