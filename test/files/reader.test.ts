import { execFileSync } from 'node:child_process';
import { symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { namesIn, openReader, statsOf } from '../../src/files/reader.ts';
import { replaceFileSync } from '../../src/files/replace/replace.ts';
import { requirePosix, temporaryFolder } from './facilities.ts';

describe('openReader', () => {
  it('reads pieces at any offset, into separate buffers', () => {
    const path = join(temporaryFolder(), 'session');
    writeFileSync(path, 'one two three');
    using reader = openReader(path);
    const piece = reader.at(4, 3);
    expect(piece.toString()).toBe('two');
    expect(piece.buffer.byteLength).toBe(3);
    expect(reader.at(13, 0)).toHaveLength(0);
  });

  it('still reads the old file after an overwrite took its name', (context) => {
    requirePosix(context);
    const path = join(temporaryFolder(), 'session');
    writeFileSync(path, 'old');
    using reader = openReader(path);
    const after = replaceFileSync(path, [Buffer.from('new content')]);
    expect(reader.at(0, 3).toString()).toBe('old');
    expect(reader.stamp.ino).not.toBe(after.ino);
    expect(reader.stamp.size).toBe(3);
  });

  it('throws FAILED if the file ends before the requested bytes', () => {
    const path = join(temporaryFolder(), 'session');
    writeFileSync(path, 'one two three');
    using reader = openReader(path);
    truncateSync(path, 5);
    expect(() => reader.at(4, 3)).toThrow(/unexpectedly ends at byte 5/);
  });

  it('passes ENOENT through unchanged', () => {
    expect(() => openReader(join(temporaryFolder(), 'gone'))).toThrow(expect.objectContaining({ code: 'ENOENT' }));
  });

  it('throws FAILED for a directory', () => {
    expect(() => openReader(temporaryFolder())).toThrow(expect.objectContaining({ code: 'FAILED' }));
  });

  it('throws FAILED for a symbolic link, a pipe and a device without blocking', (context) => {
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
  it('lists a directory, returns an empty list if there is none, and throws FAILED for a file', () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'a'), '');
    expect(namesIn(folder)).toEqual(['a']);
    expect(namesIn(join(folder, 'gone'))).toEqual([]);
    const failed = { code: 'FAILED', message: expect.stringContaining('cannot list') };
    expect(() => namesIn(join(folder, 'a'))).toThrow(expect.objectContaining(failed));
  });
});

describe('statsOf', () => {
  it('returns the stats of a path, of a link itself, and undefined if nothing exists', (context) => {
    requirePosix(context);
    const folder = temporaryFolder();
    symlinkSync('nowhere', join(folder, 'link'));
    expect(statsOf(join(folder, 'link'))?.isSymbolicLink()).toBe(true);
    expect(statsOf(join(folder, 'nothing'))).toBeUndefined();
  });

  it('throws FAILED if the system can’t tell', (context) => {
    requirePosix(context);
    const loop = join(temporaryFolder(), 'loop');
    symlinkSync('loop', loop);
    expect(() => statsOf(join(loop, 'session'))).toThrow(expect.objectContaining({ code: 'FAILED' }));
  });
});
