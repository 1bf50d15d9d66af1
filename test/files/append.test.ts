import {
  existsSync,
  appendFileSync as growSync,
  linkSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, type TestContext } from 'vitest';
import { FileEnd } from '../../src/files/append.ts';
import { reasonOf } from '../../src/files/reason.ts';
import { replaceFile, replaceFileSync } from '../../src/files/replace/replace.ts';
import { appendOnce, appendOnceSync } from './appends.ts';
import { requirePosix, temporaryFolder } from './facilities.ts';

const appends = [
  { name: 'append', append: appendOnce },
  { name: 'appendSync', append: async (...args: Parameters<typeof appendOnce>) => appendOnceSync(...args) },
];

describe.each(appends)('$name', ({ append }) => {
  it('adds bytes at the end of the same file, again and again', async () => {
    const path = join(temporaryFolder(), 'session');
    const first = await replaceFile(path, [Buffer.from('one ')]);
    const second = await append(path, first, Buffer.from('two '));
    const third = await append(path, second, Buffer.from('three'));
    expect(readFileSync(path, 'utf8')).toBe('one two three');
    expect(third).toEqual({ ...first, size: 13 });
    expect(statSync(path, { bigint: true }).ino).toBe(first.ino);
  });

  it('appends more than is written synchronously', async () => {
    const path = join(temporaryFolder(), 'session');
    const stamp = await replaceFile(path, [Buffer.from('one ')]);
    await append(path, stamp, Buffer.alloc(300_000, 'x'));
    expect(readFileSync(path, 'utf8')).toBe(`one ${'x'.repeat(300_000)}`);
  });

  it.each([
    { what: 'longer', change: (path: string) => growSync(path, '!') },
    { what: 'shorter', change: (path: string) => writeFileSync(path, 'on') },
    { what: 'another file', change: (path: string) => replaceFileSync(path, [Buffer.from('one ')]) },
  ])('refuses a file that has been $what and leaves it alone', async ({ change }) => {
    const path = join(temporaryFolder(), 'session');
    const stamp = await replaceFile(path, [Buffer.from('one ')]);
    change(path);
    const found = readFileSync(path, 'utf8');
    const error = await append(path, stamp, Buffer.from('two')).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'NOT_SAVED' });
    expect(reasonOf(error)).toBe('changed by something else');
    expect(readFileSync(path, 'utf8')).toBe(found);
  });

  it('refuses if the file is gone, and does not create it', async () => {
    const path = join(temporaryFolder(), 'session');
    const stamp = await replaceFile(path, [Buffer.from('one ')]);
    rmSync(path);
    const error = await append(path, stamp, Buffer.from('two')).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'NOT_SAVED', cause: { code: 'ENOENT' } });
    expect(() => statSync(path)).toThrow('ENOENT');
  });

  it('does not follow a symbolic link, even to the same file', async (context) => {
    requirePosix(context);
    const path = join(temporaryFolder(), 'session');
    const stamp = await replaceFile(path, [Buffer.from('one ')]);
    renameSync(path, `${path}.moved`);
    symlinkSync(`${path}.moved`, path);
    const error = await append(path, stamp, Buffer.from('two')).catch((thrown: unknown) => thrown);
    expect(reasonOf(error)).toBe('a symbolic link is in its place');
    expect(readFileSync(path, 'utf8')).toBe('one ');
  });
});

describe('append in progress', () => {
  it('throws NOT_SAVED if its file loses its name before the append is done', async (context) => {
    requirePosix(context);
    const path = join(temporaryFolder(), 'session');
    const stamp = await replaceFile(path, [Buffer.from('one ')]);
    linkSync(path, `${path}.kept`);
    const pending = appendOnce(path, stamp, Buffer.from('two'));
    replaceFileSync(path, [Buffer.from('final')]);
    await expect(pending).rejects.toMatchObject({ code: 'NOT_SAVED', cause: { message: 'changed by something else' } });
    expect(readFileSync(path, 'utf8')).toBe('final');
    // The append went to a file that nothing will read: without the check it would be reported as
    // saved.
    expect(readFileSync(`${path}.kept`, 'utf8')).toBe('one two');
  });

  it('throws NOT_SAVED if something else appends meanwhile', async () => {
    const path = join(temporaryFolder(), 'session');
    const stamp = await replaceFile(path, [Buffer.from('one ')]);
    const pending = appendOnce(path, stamp, Buffer.from('two'));
    growSync(path, '!');
    await expect(pending).rejects.toMatchObject({ code: 'NOT_SAVED' });
  });
});

describe('FileEnd', () => {
  it.skipIf(process.platform !== 'linux')('is opened once for any number of appends', async () => {
    const path = join(temporaryFolder(), 'session');
    const stamp = await replaceFile(path, [Buffer.from('one ')]);
    const before = descriptors();
    const end = new FileEnd(path, stamp);
    await end.append(Buffer.from('two '));
    expect(end.appendSync(Buffer.from('three'))).toEqual({ ...stamp, size: 13 });
    expect(descriptors() - before).toBe(1);
    end[Symbol.dispose]();
    expect(descriptors()).toBe(before);
    expect(readFileSync(path, 'utf8')).toBe('one two three');
  });

  it.skipIf(process.platform !== 'linux')(
    'keeps its descriptor from becoming another file’s while an append is in flight',
    async () => {
      const path = join(temporaryFolder(), 'session');
      const stamp = await replaceFile(path, [Buffer.from('one ')]);
      const before = descriptors();
      const end = new FileEnd(path, stamp);
      const pending = end.append(Buffer.alloc(300_000, 'x'));
      end[Symbol.dispose]();
      expect(descriptors() - before).toBe(1);
      expect(await pending).toMatchObject({ size: 300_004 });
      expect(descriptors()).toBe(before);
    },
  );

  it('flushes on another thread until the disk proves quick, and always for long appends', async (context) => {
    const path = join(inMemory(context), 'session');
    using end = new FileEnd(path, await replaceFile(path, [Buffer.from('one ')]));
    const aside: boolean[] = [];
    for (let at = 0; at < 60; at++) aside.push(await waits(end.append(Buffer.from('more '))));
    expect(aside.slice(0, 4)).toEqual(Array(4).fill(true));
    expect(aside).toContain(false);
    expect(await waits(end.append(Buffer.alloc(100_000)))).toBe(true);
  });

  it('takes over the pace that the previous FileEnd measured', async (context) => {
    const path = join(inMemory(context), 'session');
    let stamp = await replaceFile(path, [Buffer.from('one ')]);
    const pace = { quick: 0 };
    const aside: boolean[] = [];
    for (let at = 0; at < 60; at++) {
      using end = new FileEnd(path, stamp, pace);
      const appended = end.append(Buffer.from('more '));
      aside.push(await waits(appended));
      stamp = await appended;
    }
    expect(aside[0]).toBe(true);
    expect(aside).toContain(false);
  });

  it('appends nothing more after a failure or when closed', async () => {
    const path = join(temporaryFolder(), 'session');
    const stamp = await replaceFile(path, [Buffer.from('one ')]);
    expect(() => new FileEnd(path, { ...stamp, size: 3 })).toThrow('changed by something else');
    const [failed, closed] = [new FileEnd(path, stamp), new FileEnd(path, stamp)];
    growSync(path, '!');
    await expect(failed.append(Buffer.from('two'))).rejects.toMatchObject({ code: 'NOT_SAVED' });
    closed[Symbol.dispose]();
    for (const end of [failed, closed]) {
      await expect(end.append(Buffer.from('two'))).rejects.toMatchObject({ code: 'NOT_SAVED' });
      expect(() => end.appendSync(Buffer.from('two'))).toThrow('not open for appending');
    }
    expect(readFileSync(path, 'utf8')).toBe('one !');
  });
});

/** Returns a folder where a flush takes no time. */
function inMemory(context: TestContext): string {
  const memory = '/dev/shm';
  if (!existsSync(memory)) context.skip('there is no file system in memory');
  const folder = mkdtempSync(join(memory, 'coffer-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

/**
 * Returns whether a promise needs the event loop, which is the only way to learn about another
 * thread's work.
 */
async function waits(done: Promise<unknown>): Promise<boolean> {
  let isDone = false;
  const noted = done.then(() => {
    isDone = true;
  });
  for (let at = 0; at < 50; at++) await Promise.resolve();
  const waited = !isDone;
  await noted;
  return waited;
}

/** Returns the number of descriptors that this process has open. */
function descriptors(): number {
  return readdirSync('/proc/self/fd').length;
}
