import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { keepCopy } from '../../src/files/keep.ts';
import { removeFile } from '../../src/files/remove.ts';
import { replaceFileSync } from '../../src/files/replace/replace.ts';
import { requirePosix, temporaryFolder } from './facilities.ts';

describe('keepCopy', () => {
  it('keeps the bytes under a new name with a note, whatever replaces the original', (context) => {
    requirePosix(context);
    const folder = temporaryFolder();
    const path = join(folder, 'session');
    writeFileSync(path, 'torn');
    const kept = keepCopy(path, join(folder, 'quarantine'), 'session', 'why it is here');
    replaceFileSync(path, [Buffer.from('mended')]);
    expect(readFileSync(kept, 'utf8')).toBe('torn');
    expect(readFileSync(`${kept}.txt`, 'utf8')).toBe('why it is here');
    expect(statSync(join(folder, 'quarantine')).mode & 0o777).toBe(0o700);
    expect(statSync(`${kept}.txt`).mode & 0o777).toBe(0o600);
  });

  it('never overwrites an earlier copy', () => {
    const folder = temporaryFolder();
    const path = join(folder, 'session');
    writeFileSync(path, 'torn');
    const names = [1, 2].map(() => keepCopy(path, join(folder, 'quarantine'), 'session', ''));
    expect(new Set(names).size).toBe(2);
    expect(readdirSync(join(folder, 'quarantine'))).toHaveLength(4);
  });

  it('keeps nothing if the note can’t be written', (context) => {
    requirePosix(context);
    const folder = temporaryFolder();
    const path = join(folder, 'session');
    writeFileSync(path, 'torn');
    // The longest name that fits with the random suffix; the suffix of a note makes it too long.
    const name = 's'.repeat(255 - '.01234567'.length);
    const keep = (): string => keepCopy(path, join(folder, 'quarantine'), name, 'why it is here');
    expect(keep).toThrow(expect.objectContaining({ code: 'NOT_SAVED' }));
    expect(readdirSync(join(folder, 'quarantine'))).toEqual([]);
    expect(readFileSync(path, 'utf8')).toBe('torn');
  });

  it('throws NOT_SAVED if there is nothing to keep', () => {
    const folder = temporaryFolder();
    const keep = (): string => keepCopy(join(folder, 'gone'), join(folder, 'quarantine'), 'gone', '');
    expect(keep).toThrow(expect.objectContaining({ code: 'NOT_SAVED' }));
  });
});

describe('removeFile', () => {
  it('removes a file, and throws NOT_SAVED if it doesn’t exist', () => {
    const path = join(temporaryFolder(), 'session');
    writeFileSync(path, '');
    removeFile(path);
    expect(() => statSync(path)).toThrow('ENOENT');
    expect(() => removeFile(path)).toThrow(expect.objectContaining({ code: 'NOT_SAVED' }));
  });
});
