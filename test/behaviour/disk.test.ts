import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import { appendFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { requirePosix, type Skippable, smallDisk } from '../files/facilities.ts';
import { conversation, makePlace, type Place } from '../support/coffer.ts';
import type { Terminal } from '../support/pty.ts';

beforeEach(requirePosix);

describe('a chat whose disk is full', () => {
  it('continues, says since when nothing is saved, and saves everything when there is room again', async (context) => {
    const disk = smallDisk(context, '1m');
    await using place = await makePlace({ data: join(disk.path, 'data') });
    await expectToGoOn(place, /disk full/, {
      break: () => fill(disk.path),
      mend: () => rm(join(disk.path, 'filler')),
    });
  });

  it('keeps the steps saved before, and if it can save nothing exits with 15 and says what is lost', async (context) => {
    const disk = smallDisk(context, '1m');
    await using place = await makePlace({ data: join(disk.path, 'data') });
    await using chat = await talking(place);
    await fill(disk.path);
    await say(chat, 'two');
    await chat.waitFor(/NOT SAVED since \d\d:\d\d: disk full/);
    chat.enter('/exit');
    await chat.waitFor(/lost: 2 messages since \d\d:\d\d: disk full/);
    expect(await chat.exit).toEqual({ code: 15, signal: null });
    await rm(join(disk.path, 'filler'));
    expect(conversation(await place.exported('1'))).toEqual(['user: one', 'assistant: echo: one']);
  });

  it('says what is lost when a signal ends it, and the parent sees it end by that signal', async (context) => {
    const disk = smallDisk(context, '1m');
    await using place = await makePlace({ data: join(disk.path, 'data') });
    await using chat = await talking(place);
    await fill(disk.path);
    await say(chat, 'two');
    await chat.waitFor(/NOT SAVED since \d\d:\d\d: disk full/);
    chat.kill('SIGTERM');
    await chat.waitFor(/lost: 2 messages since \d\d:\d\d: disk full/);
    expect(await chat.exit).toEqual({ code: null, signal: 'SIGTERM' });
  });

  it('saves a chat that never had room in one file once there is room, and leaves no lock behind', async (context) => {
    const disk = smallDisk(context, '1m');
    await using place = await makePlace({ data: join(disk.path, 'data') });
    expect((await place.run(['--model', 'demo/echo'], { input: 'earlier\n' })).code).toBe(0);
    await fill(disk.path);
    await using chat = place.terminal(['--model', 'demo/echo']);
    await chat.waitFor(/» /);
    for (const word of ['one', 'two']) {
      await say(chat, word);
      await chat.waitFor(/NOT SAVED since \d\d:\d\d: disk full » /);
    }
    await rm(join(disk.path, 'filler'));
    await say(chat, 'three');
    await chat.waitFor(/saved again/);
    await chat.waitFor(/» /);
    const files = [...(await place.sessionFiles()), '_autosave'];
    expect((await readdir(join(place.data, 'sessions'))).sort()).toEqual(files.sort());
    chat.key('ctrl+d');
    expect(await chat.exit).toEqual({ code: 0, signal: null });
    const wanted = ['one', 'two', 'three'].flatMap((word) => [`user: ${word}`, `assistant: echo: ${word}`]);
    expect(conversation(await place.exported('1'))).toEqual(wanted);
    expect(await place.sessionFiles()).toHaveLength(2);
    expect(await readdir(join(place.data, 'locks'))).toEqual(['vault']);
  });

  it('reports a failed /save', async (context) => {
    const disk = smallDisk(context, '1m');
    await using place = await makePlace({ data: join(disk.path, 'data') });
    await using chat = await talking(place);
    await fill(disk.path);
    chat.enter('/save now');
    await chat.waitFor(/disk full/);
    await chat.waitFor(/» /);
    expect(chat.screen()).not.toContain('session saved');
    await rm(join(disk.path, 'filler'));
    chat.enter('/save now');
    await chat.waitFor(/session saved: \S+_now \(2 messages\)/);
  });
});

describe('a chat whose directory becomes read-only', () => {
  it('continues, says since when nothing is saved, and saves everything when it is writable again', async (context) => {
    await using place = await makePlace();
    let lock: Disposable | undefined;
    await expectToGoOn(place, /read-only|not permitted|denied/, {
      break() {
        lock = readOnly(context, place.data);
      },
      mend: () => lock?.[Symbol.dispose](),
    });
  });
});

describe('a vault on a read-only disk', () => {
  it('can be listed, read and checked, and a chat says that nothing is saved', async (context) => {
    await using place = await makePlace();
    expect((await place.run(['--model', 'demo/echo'], { input: 'hello\n' })).code).toBe(0);
    using _ = readOnlyDisk(context, place.data);
    expect((await place.run(['sessions'])).stdout).toContain('saved sessions (1):');
    expect(conversation(await place.exported('1'))).toEqual(['user: hello', 'assistant: echo: hello']);
    expect((await place.run(['resume', '1'], { input: 'more\n' })).code).toBe(15);
    const chat = await place.run(['--model', 'demo/echo'], { input: 'one\n/save now\n' });
    expect(chat).toMatchObject({ code: 15, stdout: 'echo: one\n' });
    expect(chat.stderr).toMatch(/NOT SAVED since \d\d:\d\d: (read-only|permission)/);
    expect(chat.stderr).toMatch(/lost: 2 messages since/);
  });
});

describe('a chat whose directory vanishes', () => {
  it('continues, says since when nothing is saved, and saves everything when it is back', async () => {
    await using place = await makePlace();
    await expectToGoOn(place, /no such|not there|gone/, {
      break: () => rename(place.data, `${place.data}.away`),
      mend: () => rename(`${place.data}.away`, place.data),
    });
  });

  it('also continues if only the sessions folder vanishes', async () => {
    await using place = await makePlace();
    const sessions = join(place.data, 'sessions');
    await expectToGoOn(place, /no such|not there|gone/, {
      break: () => rename(sessions, `${place.data}.sessions`),
      mend: () => rename(`${place.data}.sessions`, sessions),
    });
  });

  it('exits with 15 and says so before any word is lost, if the directory never comes back', async () => {
    await using place = await makePlace();
    await using chat = await talking(place);
    await rm(place.data, { recursive: true });
    await say(chat, 'two');
    await chat.waitFor(/NOT SAVED since/);
    chat.key('ctrl+d');
    await chat.waitFor(/lost: 2 messages since/);
    expect(await chat.exit).toEqual({ code: 15, signal: null });
  });
});

/**
 * Saves a chat, makes saving fail, makes it work again. Expects nothing to be missing at the end,
 * and only one file.
 */
async function expectToGoOn(
  place: Place,
  reason: RegExp,
  cause: { break(): void | Promise<void>; mend(): void | Promise<void> },
): Promise<void> {
  await using chat = await talking(place);
  await cause.break();
  await say(chat, 'two');
  const [, why = ''] = await chat.waitFor(/NOT SAVED since \d\d:\d\d: (.*)/);
  expect(why).toMatch(reason);
  await chat.waitFor(/NOT SAVED since \d\d:\d\d: .*» /);
  await say(chat, 'three');
  await chat.waitFor(/NOT SAVED since \d\d:\d\d: .*» /);
  await cause.mend();
  await say(chat, 'four');
  await chat.waitFor(/saved again/);
  await chat.waitFor(/» /);
  const shown = chat.screen();
  chat.kill('SIGKILL');
  await chat.exit;
  expect(shown.slice(shown.lastIndexOf('saved again'))).not.toContain('NOT SAVED');
  const words = ['one', 'two', 'three', 'four'];
  const wanted = words.flatMap((word) => [`user: ${word}`, `assistant: echo: ${word}`]);
  expect(conversation(await place.exported('1'))).toEqual(wanted);
  expect(await place.sessionFiles()).toHaveLength(1);
  expect((await place.run(['doctor'])).code).toBe(0);
}

describe('a disk with no room for another file', () => {
  const nothingLeft: readonly (readonly [string, (directory: string) => Promise<void>])[] = [
    ['byte', fill],
    ['file', fillInodes],
    [
      'byte or file',
      async (directory) => {
        await fill(directory);
        await fillInodes(directory);
      },
    ],
  ];

  describe.each(nothingLeft)('%s', (_, takeAll) => {
    it.for([
      { name: 'with the lock file of before', prepare: async () => undefined },
      {
        name: 'without any lock file, as in a copy',
        prepare: ({ data }: Place) => rm(join(data, 'locks'), { recursive: true }),
      },
    ])('lets a session be deleted, $name', async ({ prepare }, context) => {
      const disk = smallDisk(context, '1m,nr_inodes=50');
      await using place = await makePlace({ data: join(disk.path, 'data') });
      for (const word of ['kept', 'deleted']) await place.run(['--model', 'demo/echo', '-p', word]);
      await place.run(['sessions', '--search', 'kept']);
      await prepare(place);
      await takeAll(disk.path);
      const ended = await place.run(['delete', '1', '--yes']);
      expect(ended).toMatchObject({ code: 0, stdout: expect.stringMatching(/^deleted /) });
      expect(ended.stderr).not.toContain('done, but');
      const listed = await place.run(['sessions']);
      expect(listed.stderr).not.toContain('removed by something other');
      expect(conversation(await place.exported('1'))).toEqual(['user: kept', 'assistant: echo: kept']);
      expect(await place.sessionFiles()).toHaveLength(1);
      const locks = await readdir(join(place.data, 'locks')).catch(() => []);
      expect(locks.filter((name) => name !== 'vault')).toEqual([]);
    });
  });

  it('refuses to delete an open session, from within another chat too', async (context) => {
    const disk = smallDisk(context, '1m,nr_inodes=50');
    await using place = await makePlace({ data: join(disk.path, 'data') });
    await place.run(['--model', 'demo/echo', '-p', 'earlier']);
    await using chat = await talking(place);
    await fill(disk.path);
    await fillInodes(disk.path);
    expect((await place.run(['delete', '1', '--yes'])).code).toBe(11);
    chat.enter('/delete 1');
    await chat.waitFor(/delete it\? \[y\/N\] /);
    chat.enter('y');
    await chat.waitFor(/deleted /);
    expect(await place.sessionFiles()).toHaveLength(1);
  });
});

/** Starts a chat on a terminal and saves its first exchange. */
async function talking(place: Place): Promise<Terminal> {
  const chat = place.terminal(['--model', 'demo/echo']);
  await chat.waitFor(/» /);
  await say(chat, 'one');
  await chat.waitFor(/» /);
  return chat;
}

async function say(chat: Terminal, word: string): Promise<void> {
  chat.enter(word);
  await chat.waitFor(new RegExp(`echo: ${word}`));
}

/** Fills the disk to the last byte. */
async function fill(directory: string): Promise<void> {
  const filler = join(directory, 'filler');
  await writeFile(filler, '');
  for (const size of [65_536, 4096, 1]) {
    try {
      for (;;) await appendFile(filler, Buffer.alloc(size));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    }
  }
}

/** Uses up every inode. */
async function fillInodes(directory: string): Promise<void> {
  for (let index = 0; ; index++) {
    try {
      await writeFile(join(directory, `file-${index}`), '');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      return;
    }
  }
}

/**
 * Makes a directory read-only until disposed: by its mode, or by {@link readOnlyDisk} if the user
 * may write in spite of the mode.
 */
function readOnly(context: Skippable, directory: string): Disposable {
  if (process.getuid?.() === 0) return readOnlyDisk(context, directory);
  const set = (mode: number): void => {
    for (const path of [directory, join(directory, 'sessions'), join(directory, 'locks')]) chmodSync(path, mode);
  };
  set(0o500);
  return { [Symbol.dispose]: () => set(0o700) };
}

/**
 * Makes a directory read-only until disposed, with a read-only mount of it over itself. Skips the
 * test if mounting is not allowed. Open descriptors are not affected, as with a disk that turns
 * read-only after an error.
 */
function readOnlyDisk(context: Skippable, directory: string): Disposable {
  if (process.platform !== 'linux' || spawnSync('mount', ['--bind', directory, directory]).status !== 0) {
    context.skip('a read-only disk needs root and the right to mount; run with: sudo env "PATH=$PATH" npm test');
  }
  execFileSync('mount', ['-o', 'remount,bind,ro', directory]);
  return { [Symbol.dispose]: () => void execFileSync('umount', ['-l', directory]) };
}
