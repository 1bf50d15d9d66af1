import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { CofferError } from '../../src/errors.ts';
import { reasonOf } from '../../src/files/reason.ts';
import { createFile, pointLinkSync, replaceFile, replaceFileSync } from '../../src/files/replace/replace.ts';
import { sweepTemps } from '../../src/files/replace/temporary.ts';
import { inChild, requirePosix, temporaryFolder } from './facilities.ts';

const overwrites = [
  { name: 'replaceFile', replace: replaceFile },
  { name: 'replaceFileSync', replace: async (path: string, parts: Uint8Array[]) => replaceFileSync(path, parts) },
];

describe.each(overwrites)('$name', ({ replace }) => {
  it('writes all parts to a file, and returns its stamp', async () => {
    const path = join(temporaryFolder(), 'session');
    const stamp = await replace(path, [Buffer.from('one '), Buffer.alloc(0), Buffer.from('two')]);
    expect(readFileSync(path, 'utf8')).toBe('one two');
    const { dev, ino, size } = statSync(path, { bigint: true });
    expect(stamp).toEqual({ dev, ino, size: Number(size) });
  });

  it('writes parts that are larger than the limit for synchronous writes', async () => {
    const path = join(temporaryFolder(), 'session');
    const large = Buffer.from(Array.from({ length: 300_000 }, (_, index) => index % 251));
    await replace(path, [Buffer.from('head'), large, large]);
    expect(readFileSync(path).equals(Buffer.concat([Buffer.from('head'), large, large]))).toBe(true);
  });

  it('replaces the old file by a new one and leaves no other file behind', async () => {
    const folder = temporaryFolder();
    const path = join(folder, 'session');
    const before = await replace(path, [Buffer.from('the long first content')]);
    const after = await replace(path, [Buffer.from('short')]);
    expect(readFileSync(path, 'utf8')).toBe('short');
    expect(after.ino).not.toBe(before.ino);
    expect(readdirSync(folder)).toEqual(['session']);
  });

  it.each([0o000, 0o077, 0o777])('ends with mode 0600 under umask %o, even over a file with 0644', async (umask) => {
    const path = join(temporaryFolder(), 'session');
    writeFileSync(path, 'old');
    chmodSync(path, 0o644);
    await withUmask(umask, async () => {
      await replace(path, [Buffer.from('new')]);
      await replace(`${path}2`, [Buffer.from('new')]);
    });
    expect(modeOf(path)).toBe(modeOf(`${path}2`));
    expect(modeOf(path)).toBe(process.platform === 'win32' ? 0o666 : 0o600);
  });

  it('replaces a symbolic link and leaves its target alone', async (context) => {
    requirePosix(context);
    const folder = temporaryFolder();
    const [path, target] = [join(folder, 'session'), join(folder, 'elsewhere')];
    writeFileSync(target, 'not ours');
    symlinkSync(target, path);
    await replace(path, [Buffer.from('ours')]);
    expect(lstatSync(path).isFile()).toBe(true);
    expect(readFileSync(target, 'utf8')).toBe('not ours');
  });

  it('leaves a second name of the old file with the old content', async (context) => {
    requirePosix(context);
    const path = join(temporaryFolder(), 'session');
    writeFileSync(path, 'old');
    linkSync(path, `${path}.kept`);
    await replace(path, [Buffer.from('new')]);
    expect(readFileSync(`${path}.kept`, 'utf8')).toBe('old');
  });

  it('throws NOT_SAVED with the reason if the directory is gone', async () => {
    const path = join(temporaryFolder(), 'gone', 'session');
    const error = await replace(path, [Buffer.from('new')]).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'NOT_SAVED', cause: { code: 'ENOENT' } });
    expect(reasonOf(error)).toBe('file or directory is gone');
  });

  it('throws NOT_SAVED and removes the temp if a directory has the name', async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'session', 'inside'), { recursive: true });
    const error = await replace(join(folder, 'session'), [Buffer.from('new')]).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'NOT_SAVED' });
    expect(readdirSync(folder)).toEqual(['session']);
  });
});

describe('a naive writer', () => {
  it('fails the checks on mode and links that ours pass', async (context) => {
    requirePosix(context);
    const folder = temporaryFolder();
    const [path, target] = [join(folder, 'session'), join(folder, 'elsewhere')];
    await withUmask(0, async () => writeFileSync(target, 'not ours', { mode: 0o644 }));
    symlinkSync(target, path);
    writeFileSync(path, 'ours', { mode: 0o600 });
    expect(modeOf(path)).toBe(0o644);
    expect(lstatSync(path).isSymbolicLink()).toBe(true);
    expect(readFileSync(target, 'utf8')).toBe('ours');
  });
});

describe('replaceFile, overtaken by a later save', () => {
  it('does not replace a final save that landed meanwhile', async () => {
    const folder = temporaryFolder();
    const path = join(folder, 'session');
    let saves = 0;
    const older = replaceFile(path, [Buffer.from('older')], { abandoned: () => saves > 0 });
    replaceFileSync(path, [Buffer.from('final')]);
    saves++;
    await expect(older).rejects.toMatchObject({ code: 'NOT_SAVED', cause: { message: 'overtaken by a later save' } });
    expect(readFileSync(path, 'utf8')).toBe('final');
    expect(readdirSync(folder)).toEqual(['session']);
  });

  it('replaces it if there is no guard (why the guard exists)', async () => {
    const path = join(temporaryFolder(), 'session');
    const older = replaceFile(path, [Buffer.from('older')]);
    replaceFileSync(path, [Buffer.from('final')]);
    await older;
    expect(readFileSync(path, 'utf8')).toBe('older');
  });

  it('lands if the guard returns false', async () => {
    const path = join(temporaryFolder(), 'session');
    await replaceFile(path, [Buffer.from('new')], { abandoned: () => false });
    expect(readFileSync(path, 'utf8')).toBe('new');
  });

  it('names a temp that it could not remove', async () => {
    const folder = temporaryFolder();
    const abandoned = (): boolean => {
      for (const entry of readdirSync(folder)) rmSync(join(folder, entry));
      return true;
    };
    const error = await replaceFile(join(folder, 'session'), [Buffer.from('new')], { abandoned }).catch(String);
    expect(error).toMatch(/overtaken by a later save; .*\.session\.[0-9a-f]{16}\.tmp is left behind/);
  });
});

describe('createFile', () => {
  it('creates a file with mode 0600 and leaves no temp', async () => {
    const folder = temporaryFolder();
    const path = join(folder, 'vault.json');
    const stamp = await createFile(path, [Buffer.from('{}')]);
    const { dev, ino, nlink } = statSync(path, { bigint: true });
    expect(stamp).toEqual({ dev, ino, size: 2 });
    expect(nlink).toBe(1n);
    expect(readdirSync(folder)).toEqual(['vault.json']);
  });

  it('returns undefined and changes nothing if the name is taken, even by a dangling link', async (context) => {
    requirePosix(context);
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'vault.json'), 'first');
    symlinkSync('nowhere', join(folder, 'link'));
    expect(await createFile(join(folder, 'vault.json'), [Buffer.from('second')])).toBeUndefined();
    expect(await createFile(join(folder, 'link'), [Buffer.from('second')])).toBeUndefined();
    expect(readFileSync(join(folder, 'vault.json'), 'utf8')).toBe('first');
    expect(readdirSync(folder).toSorted()).toEqual(['link', 'vault.json']);
  });

  it('has one winner among eight processes, and the file is the winner’s', async () => {
    const path = join(temporaryFolder(), 'vault.json');
    const outcomes = await Promise.all(
      Array.from('abcdefgh', (fill) =>
        inChild('create', { path, size: 5000, fill }).then(({ value }) => ({ fill, value })),
      ),
    );
    const winners = outcomes.filter(({ value }) => value !== undefined);
    expect(winners).toHaveLength(1);
    expect(readFileSync(path, 'utf8')).toBe(winners[0]!.fill.repeat(5000));
  });

  it('throws NOT_SAVED if the system refuses the name', async () => {
    const folder = temporaryFolder();
    const error = await createFile(join(folder, 'x'.repeat(300)), [Buffer.from('{}')]).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ code: 'NOT_SAVED' });
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('pointLinkSync', () => {
  it('creates a link and points it elsewhere later', (context) => {
    requirePosix(context);
    const folder = temporaryFolder();
    const path = join(folder, '_autosave');
    pointLinkSync(path, 'first');
    pointLinkSync(path, 'second');
    expect(readlinkSync(path)).toBe('second');
    expect(readdirSync(folder)).toEqual(['_autosave']);
  });

  it('throws NOT_SAVED and leaves nothing if a directory has the name or nothing can be created', (context) => {
    requirePosix(context);
    const folder = temporaryFolder();
    mkdirSync(join(folder, '_autosave'));
    expect(() => pointLinkSync(join(folder, '_autosave'), 'first')).toThrow(
      expect.objectContaining({ code: 'NOT_SAVED' }),
    );
    expect(() => pointLinkSync(join(folder, 'link'), '')).toThrow(expect.objectContaining({ code: 'NOT_SAVED' }));
    expect(readdirSync(folder)).toEqual(['_autosave']);
  });
});

describe('sweepTemps', () => {
  it('removes the temps of one name and nothing else', () => {
    const folder = temporaryFolder();
    const kept = ['.ab.0123456789abcdef.tmp', '.a.0123456789abcde.tmp', '.a.b.0123456789abcdef.tmp', 'a', '.a.tmp'];
    for (const name of [...kept, '.a.0123456789abcdef.tmp', '.a.fedcba9876543210.tmp']) {
      writeFileSync(join(folder, name), '');
    }
    expect(sweepTemps(folder, (name) => name === 'a')).toBe(2);
    expect(readdirSync(folder).toSorted()).toEqual(kept.toSorted());
  });

  it('throws FAILED if the directory can’t be read', () => {
    const file = join(temporaryFolder(), 'file');
    writeFileSync(file, '');
    expect(() => sweepTemps(file, () => true)).toThrow(expect.objectContaining({ code: 'FAILED' }));
  });

  it('does nothing if the directory doesn’t exist yet', () => {
    expect(sweepTemps(join(temporaryFolder(), 'gone'), () => true)).toBe(0);
  });
});

describe('reasonOf', () => {
  it('returns the reason of the failed system call', () => {
    const system = Object.assign(new Error('x'), { code: 'ENOSPC', errno: -28, syscall: 'write' });
    expect(reasonOf(system)).toBe('disk full');
    expect(reasonOf(new CofferError('NOT_SAVED', 'outer', { reason: 'disk full' }))).toBe('disk full');
    expect(reasonOf(new SuppressedError(new Error('later'), system))).toBe('disk full');
  });

  it('falls back to the system’s own words, then to the message, then to what was thrown', () => {
    const rare = Object.assign(new Error('x'), { code: 'EXDEV', errno: -18, syscall: 'rename' });
    expect(reasonOf(rare)).toBe('cross-device link not permitted');
    expect(reasonOf(new CofferError('KEY_LOCKED', 'the keychain is locked', { cause: rare }))).toBe(
      'the keychain is locked',
    );
    expect(reasonOf(new CofferError('NOT_SAVED', 'without a cause'))).toBe('without a cause');
    expect(reasonOf('text')).toBe('text');
  });
});

async function withUmask(umask: number, work: () => Promise<void>): Promise<void> {
  const before = process.umask(umask);
  onTestFinished(() => void process.umask(before));
  await work();
  process.umask(before);
}

function modeOf(path: string): number {
  return statSync(path).mode & 0o777;
}
