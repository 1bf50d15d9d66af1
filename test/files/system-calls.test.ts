import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { sweepTemps } from '../../src/files/replace/temporary.ts';
import { requireStrace, temporaryFolder } from './facilities.ts';
import { type Call, traced } from './trace.ts';

const OLD = 'old '.repeat(500);
const NEW = 'new '.repeat(2500);
const CREATED = /O_WRONLY\|O_CREAT\|O_EXCL\|O_NOFOLLOW(\|O_CLOEXEC)?, 0600$/;

describe('the order of system calls', () => {
  it.for(['replace', 'replaceSync'] as const)(
    'is the one that makes an overwrite durable, in %s',
    async (verb, context) => {
      requireStrace(context);
      const { path, folder } = oldFile();
      const { calls, outcome } = await traced(verb, { path, size: NEW.length, fill: NEW });
      expect(outcome?.error).toBeUndefined();
      expect(stepsIn(folder, calls)).toEqual([
        'open directory',
        'create temp',
        'write temp',
        'fsync temp',
        'close temp',
        'rename temp',
        'fsync directory',
        'close directory',
      ]);
      const opened = calls.find(({ name, args }) => name === 'openat' && args.includes('.tmp'));
      expect(opened?.args).toMatch(CREATED);
      expect(opened?.args).toMatch(/\.session\.[0-9a-f]{16}\.tmp"/);
      expect(overlapping(folder, calls)).toEqual([]);
    },
  );

  it('is wrong in a writer that renames without flushing', async (context) => {
    requireStrace(context);
    const { path, folder } = oldFile();
    const { calls } = await traced('unflushed', { path, size: NEW.length, fill: NEW });
    expect(stepsIn(folder, calls)).toEqual(['create temp', 'write temp', 'close temp', 'rename temp']);
    expect(calls.find(({ args }) => args.includes('.tmp'))?.args).not.toMatch(CREATED);
  });

  it.for(['append', 'appendSync'] as const)('makes an append durable, in %s', async (verb, context) => {
    requireStrace(context);
    const { path, folder } = oldFile();
    const { calls, outcome } = await traced(verb, { path, size: NEW.length, fill: NEW });
    expect(outcome?.error).toBeUndefined();
    const steps = stepsIn(folder, calls);
    // The first two are the test reading the file's stamp.
    expect(steps).toEqual(['open file', 'close file', 'open file', 'write file', 'fdatasync file', 'close file']);
    expect(overlapping(folder, calls)).toEqual([]);
  });

  it('flushes the directory for the loser of a race to create too', async (context) => {
    requireStrace(context);
    const { path, folder } = oldFile();
    const { calls, outcome } = await traced('create', { path, size: NEW.length, fill: NEW });
    expect(outcome).toEqual({});
    const steps = stepsIn(folder, calls);
    expect(steps.slice(steps.indexOf('link temp'))).toEqual([
      'link temp',
      'unlink temp',
      'fsync directory',
      'close directory',
    ]);
  });

  it('flushes the entry of each new level of a directory', async (context) => {
    requireStrace(context);
    const folder = temporaryFolder();
    const { calls } = await traced('makeDirectory', { path: join(folder, 'a', 'b') });
    const flushed = calls.filter(({ name }) => name === 'fsync').map(({ args }) => args.replace(/^\d+<|>$/g, ''));
    expect(flushed).toEqual([folder, join(folder, 'a')]);
  });
});

const failures = [
  { at: 'fchmod:error=EPERM:when=1', reason: 'permission denied' },
  { at: 'pwrite64:error=ENOSPC:when=1', reason: 'disk full' },
  { at: 'pwrite64:retval=0:when=1', reason: 'the system wrote nothing and reported no error' },
  { at: 'fsync:error=EIO:when=1', reason: 'disk error' },
  { at: 'rename,renameat,renameat2:error=EIO:when=1', reason: 'disk error' },
];

describe.each(['replace', 'replaceSync'] as const)('%s, when a system call fails', (verb) => {
  it.for(failures)('throws NOT_SAVED and keeps the old copy: $at', async ({ at, reason }, context) => {
    requireStrace(context);
    const { path, folder } = oldFile();
    const { outcome } = await traced(verb, { path, size: NEW.length, fill: NEW }, [at]);
    expect(outcome?.error).toMatchObject({ code: 'NOT_SAVED', reason });
    expect(readFileSync(path, 'utf8')).toBe(OLD);
    expect(readdirSync(folder)).toEqual(['session']);
  });

  it('throws NOT_SAVED if a write is cut short and the flush reports no error', async (context) => {
    requireStrace(context);
    const { path } = oldFile();
    // The call is not made, but claims that everything was written.
    const { outcome } = await traced(verb, { path, size: 2000, fill: NEW }, ['pwrite64:retval=2000:when=1']);
    expect(outcome?.error).toMatchObject({ code: 'NOT_SAVED', reason: '0 of 2000 bytes were written' });
    expect(readFileSync(path, 'utf8')).toBe(OLD);
  });

  it('throws NOT_SAVED if closing the new copy fails', async (context) => {
    requireStrace(context);
    const { path, folder } = oldFile();
    const { outcome, calls } = await traced(verb, { path, size: 2000, fill: NEW }, ['close:error=EIO:when=1']);
    expect(calls.find(({ name }) => name === 'close')?.args).toContain('.tmp');
    expect(outcome?.error).toMatchObject({ code: 'NOT_SAVED', reason: 'disk error' });
    expect(readFileSync(path, 'utf8')).toBe(OLD);
    expect(readdirSync(folder)).toEqual(['session']);
  });

  it('succeeds even if closing the directory fails', async (context) => {
    requireStrace(context);
    const { path, folder } = oldFile();
    const { outcome, calls } = await traced(verb, { path, size: NEW.length, fill: NEW }, ['close:error=EIO:when=2']);
    expect(calls.filter(({ name }) => name === 'close')[1]).toMatchObject({
      args: expect.stringContaining(`${folder}>`),
    });
    expect(outcome?.error).toBeUndefined();
    expect(readFileSync(path, 'utf8')).toBe(NEW);
  });

  it('names the temp if it can’t be removed, and it is swept later', async (context) => {
    requireStrace(context);
    const { path, folder } = oldFile();
    const faults = ['fsync:error=EIO:when=1', 'unlink,unlinkat:error=EIO:when=1'];
    const { outcome } = await traced(verb, { path, size: 2000, fill: NEW }, faults);
    expect(outcome?.error?.message).toMatch(/\.session\.[0-9a-f]{16}\.tmp is left behind \(disk error\)/);
    expect(outcome?.error).toMatchObject({ code: 'NOT_SAVED', reason: 'disk error' });
    expect(sweepTemps(folder, (name) => name === 'session')).toBe(1);
    expect(readdirSync(folder)).toEqual(['session']);
  });

  it('throws DURABILITY_UNKNOWN if only flushing the directory fails', async (context) => {
    requireStrace(context);
    const { path } = oldFile();
    const { outcome } = await traced(verb, { path, size: NEW.length, fill: NEW }, ['fsync:error=EIO:when=2']);
    expect(outcome?.error).toMatchObject({ code: 'DURABILITY_UNKNOWN', reason: 'disk error' });
    expect(readFileSync(path, 'utf8')).toBe(NEW);
  });
});

describe('createFile, when a system call fails', () => {
  it('throws NOT_SAVED if there are no hard links', async (context) => {
    requireStrace(context);
    const folder = temporaryFolder();
    const path = join(folder, 'vault.json');
    const { outcome } = await traced('create', { path, size: 10, fill: NEW }, ['link,linkat:error=EPERM:when=1']);
    expect(outcome?.error).toMatchObject({ code: 'NOT_SAVED', reason: 'permission denied' });
    expect(readdirSync(folder)).toEqual([]);
  });

  it('throws DURABILITY_UNKNOWN if the file exists and its temp stays', async (context) => {
    requireStrace(context);
    const path = join(temporaryFolder(), 'vault.json');
    const { outcome } = await traced('create', { path, size: 10, fill: 'x' }, ['unlink,unlinkat:error=EIO:when=1']);
    expect(outcome?.error).toMatchObject({ code: 'DURABILITY_UNKNOWN', reason: 'disk error' });
    expect(readFileSync(path, 'utf8')).toBe('x'.repeat(10));
  });
});

describe.each(['append', 'appendSync'] as const)('%s, when a system call fails', (verb) => {
  it.for([
    { at: 'pwrite64:error=EIO:when=1', flushes: 0 },
    { at: 'fdatasync:error=EIO:when=1', flushes: 1 },
  ])('throws NOT_SAVED and never retries: $at', async ({ at, flushes }, context) => {
    requireStrace(context);
    const { path } = oldFile();
    const { outcome, calls } = await traced(verb, { path, size: NEW.length, fill: NEW }, [at]);
    expect(outcome?.error).toMatchObject({ code: 'NOT_SAVED', reason: 'disk error' });
    expect(calls.filter(({ name }) => name === 'pwrite64')).toHaveLength(1);
    expect(calls.filter(({ name }) => name === 'fdatasync')).toHaveLength(flushes);
  });

  it('writes the rest after a short write', async (context) => {
    requireStrace(context);
    const { path } = oldFile();
    // The first call is not made but claims 2,000 bytes: only the other 8,000 are written, after a
    // hole.
    const { calls } = await traced(verb, { path, size: 10_000, fill: 'n' }, ['pwrite64:retval=2000:when=1']);
    expect(calls.filter(({ name }) => name === 'pwrite64')).toHaveLength(2);
    expect(readFileSync(path, 'utf8')).toBe(`${OLD}${'\0'.repeat(2000)}${'n'.repeat(8000)}`);
  });
});

describe('a kill at any system call', () => {
  it.for(['replace', 'replaceSync'] as const)(
    'leaves the old copy or the new one, whole, by %s',
    async (verb, context) => {
      requireStrace(context);
      const seen = new Set<string>();
      for (const call of ['openat', 'pwrite64', 'fsync', 'fchmod', 'rename', 'close']) {
        for (let when = 1, killed = true; killed; when++) {
          const { path, folder } = oldFile();
          const { outcome } = await traced(verb, { path, size: NEW.length, fill: NEW }, [
            `${call}:signal=KILL:when=${when}`,
          ]);
          killed = outcome === undefined;
          const content = readFileSync(path, 'utf8');
          expect([OLD, NEW]).toContain(content);
          seen.add(killed ? `killed, ${content.slice(0, 3)}` : content.slice(0, 3));
          sweepTemps(folder, (name) => name === 'session');
          expect(readdirSync(folder)).toEqual(['session']);
        }
      }
      expect([...seen].toSorted()).toEqual(['killed, new', 'killed, old', 'new']);
    },
  );

  it('leaves all or nothing of a new file', async (context) => {
    requireStrace(context);
    const seen = new Set<string>();
    for (const call of ['pwrite64', 'fsync', 'link', 'unlink']) {
      for (let when = 1, killed = true; killed; when++) {
        const path = join(temporaryFolder(), 'vault.json');
        const { outcome } = await traced('create', { path, size: NEW.length, fill: NEW }, [
          `${call}:signal=KILL:when=${when}`,
        ]);
        killed = outcome === undefined;
        seen.add(existsSync(path) ? readFileSync(path, 'utf8') : 'nothing');
      }
    }
    expect([...seen].toSorted()).toEqual([NEW, 'nothing']);
  });

  it('leaves the content from before an append', async (context) => {
    requireStrace(context);
    for (const call of ['openat', 'pwrite64', 'fdatasync']) {
      for (let when = 1, killed = true; killed; when++) {
        const { path } = oldFile();
        const { outcome } = await traced('append', { path, size: NEW.length, fill: NEW }, [
          `${call}:signal=KILL:when=${when}`,
        ]);
        killed = outcome === undefined;
        expect([OLD, OLD + NEW]).toContain(readFileSync(path, 'utf8'));
      }
    }
  });

  it('leaves neither with a writer that overwrites in place', async (context) => {
    requireStrace(context);
    const { path } = oldFile();
    const { outcome } = await traced('inPlace', { path, size: NEW.length, fill: NEW }, [
      'write,pwrite64:signal=KILL:when=1',
    ]);
    expect(outcome).toBeUndefined();
    expect([OLD, NEW]).not.toContain(readFileSync(path, 'utf8'));
  });
});

function oldFile(): { path: string; folder: string } {
  const folder = temporaryFolder();
  const path = join(folder, 'session');
  writeFileSync(path, OLD);
  return { path, folder };
}

/** Returns the calls that touch `folder`, as words. */
function stepsIn(folder: string, calls: readonly Call[]): string[] {
  return touching(folder, calls).map(({ name, args }) => {
    const thing = args.includes('.tmp') ? 'temp' : args.includes(`${folder}/`) ? 'file' : 'directory';
    if (name === 'openat') return args.includes('O_CREAT') ? `create ${thing}` : `open ${thing}`;
    return `${name.replace('pwrite64', 'write').replace(/^(rename|link|unlink)at2?$/, '$1')} ${thing}`;
  });
}

/** Returns the calls on `folder` that began before the previous one ended. There must be none. */
function overlapping(folder: string, calls: readonly Call[]): Call[] {
  const ours = touching(folder, calls);
  return ours.filter(({ began }, index) => index > 0 && began < ours[index - 1]!.ended);
}

function touching(folder: string, calls: readonly Call[]): Call[] {
  return calls.filter(({ name, args }) => args.includes(folder) && name !== 'fchmod');
}
