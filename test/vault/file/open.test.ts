import { execFileSync, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { begin, crashed, type Home, home, reply, texts, user } from '../../support/vault.ts';

/** Creates a vault with one small session, and returns its file's bytes. */
async function small(): Promise<{ at: Home; path: string; bytes: Buffer }> {
  const at = home();
  await using sessions = await at.open();
  const session = begin(sessions);
  await session.append(user('one'), reply('two'));
  const path = at.path(session.fileId!);
  await session.close();
  return { at, path, bytes: readFileSync(path) };
}

/** Leaves a socket without a listener, as a killed process does. */
function leaveSocket(path: string): void {
  const script = "require('net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))";
  spawnSync(process.execPath, ['-e', script, path]);
}

/**
 * Creates a vault with one session of several frames, `last` being its last step, and returns the
 * offset of that frame.
 */
async function large(): Promise<{ at: Home; path: string; before: number; bytes: Buffer }> {
  const at = home();
  const sessions = await at.open();
  const session = begin(sessions);
  await session.append(user('x'.repeat(200_000)));
  await session.append(user('kept'));
  const before = readFileSync(at.path(session.fileId!)).length;
  await session.append(user('last'));
  const left = crashed(at);
  await sessions.close();
  const path = left.path(session.fileId!);
  return { at: left, path, before, bytes: readFileSync(path) };
}

async function codeOf(at: Home): Promise<{ listed: string; read: string }> {
  await using sessions = await at.open();
  const [row] = await sessions.list();
  const read = await sessions.read(row!).then(
    () => 'readable',
    (error) => error.code,
  );
  return { listed: row!.unreadable?.code ?? 'readable', read };
}

describe('openSealedFile', () => {
  it('rejects a file with any byte flipped, without changing it', async () => {
    const { at, path, bytes } = await small();
    await using sessions = await at.open();
    const [row] = await sessions.list();
    const expected = (offset: number): string => {
      if (offset >= 8 && offset < 12 && offset !== 9) return 'NEWER_VERSION';
      return offset >= 12 && offset < 28 ? 'KEY_OTHER' : 'UNAUTHENTIC';
    };
    for (let offset = 0; offset < bytes.length; offset++) {
      const changed = Buffer.from(bytes);
      changed[offset]! ^= 1 << (offset % 8);
      writeFileSync(path, changed);
      const error = await sessions.read(row!).catch((reason) => reason);
      expect([offset, error.code]).toEqual([offset, offset === 9 ? error.code : expected(offset)]);
      if (offset === 9) expect(['NEWER_VERSION', 'UNAUTHENTIC']).toContain(error.code);
      expect(error.message).toContain(row!.fileId);
      expect(readFileSync(path).equals(changed)).toBe(true);
    }
    writeFileSync(path, bytes);
    expect(texts(await sessions.read(row!))).toEqual(['one', 'two']);
  });

  it('rejects a file cut off anywhere in its first frame', async () => {
    const { at, path, bytes } = await small();
    await using sessions = await at.open();
    const [row] = await sessions.list();
    for (let length = 0; length < bytes.length; length += length < 200 ? 1 : 37) {
      writeFileSync(path, bytes.subarray(0, length));
      await expect(sessions.read(row!)).rejects.toMatchObject({ code: 'UNAUTHENTIC' });
    }
  });

  it('rejects foreign bytes appended to a file', async () => {
    const { at, path } = await small();
    appendFileSync(path, 'x'.repeat(100));
    expect(await codeOf(at)).toEqual({ listed: 'UNAUTHENTIC', read: 'UNAUTHENTIC' });
  });

  it('treats a few bytes after the last frame as a torn head only if they could begin one', async () => {
    const { at, path, bytes } = await small();
    for (const [more, code] of [
      ['x', 'UNAUTHENTIC'],
      ['xxxxxxxxxx', 'UNAUTHENTIC'],
      ['\u0000\u0000\u0010', 'readable'],
      ['\u0000\u0000\u0010\u0000abcdef', 'readable'],
    ] as const) {
      writeFileSync(path, Buffer.concat([bytes, Buffer.from(more)]));
      expect([more, (await codeOf(at)).read]).toEqual([more, code]);
    }
  });

  it('rejects two files whose names were swapped', async () => {
    const at = home();
    const sessions = await at.open();
    const one = begin(sessions);
    await one.append(user('one'));
    const two = begin(sessions);
    await two.append(user('two'));
    const [a, b] = [at.path(one.fileId!), at.path(two.fileId!)];
    await sessions.close();
    renameSync(a, `${a}.x`);
    renameSync(b, a);
    renameSync(`${a}.x`, b);
    const rows = await (await at.open()).list();
    expect(rows.map((row) => row.unreadable?.code)).toEqual(['UNAUTHENTIC', 'UNAUTHENTIC']);
    expect(rows[0]!.unreadable?.message).toContain('belongs under another name');
  });

  it.each([
    ['a link', (path: string) => symlinkSync('/etc/hostname', path)],
    ['a link to nothing', (path: string) => symlinkSync('/nowhere', path)],
    ['a directory', (path: string) => mkdirSync(path)],
    ['a pipe', (path: string) => execFileSync('mkfifo', [path])],
    ['a socket', leaveSocket],
  ])("lists %s in a file's place as unreadable, and opens it never", async (_, make) => {
    const { at } = await small();
    make(join(at.directory, 'sessions', 'a'.repeat(32)));
    await using sessions = await at.open();
    const rows = await sessions.list();
    expect(rows.map((row) => row.unreadable?.code)).toEqual([undefined, 'UNAUTHENTIC']);
    await expect(sessions.resume(rows[1]!)).rejects.toMatchObject({ code: 'UNAUTHENTIC' });
    expect(texts(await sessions.read(rows[0]!))).toEqual(['one', 'two']);
  });

  it('keeps the other sessions usable if one is unreadable, which is listed last', async () => {
    const { at, path } = await small();
    copyFileSync(path, join(at.directory, 'sessions', '0'.repeat(32)));
    await using sessions = await at.open();
    const rows = await sessions.list();
    expect(rows.map((row) => row.unreadable?.code)).toEqual([undefined, 'UNAUTHENTIC']);
    expect(texts(await sessions.resume(rows[0]!))).toEqual(['one', 'two']);
  });

  it('loses only the torn step, at every length of its frame, and reports it', async () => {
    const { at, path, before, bytes } = await large();
    for (let length = before + 1; length < bytes.length; length += length < before + 70 ? 1 : 97) {
      writeFileSync(path, bytes.subarray(0, length));
      await using sessions = await at.open();
      const [row] = await sessions.list();
      expect([length, row!.torn]).toEqual([length, expect.stringContaining('lost')]);
      expect(texts(await sessions.read(row!)).slice(1)).toEqual(['kept']);
    }
  });

  it('treats a head of zeros after the first frame as torn', async () => {
    const { at, path, before, bytes } = await large();
    writeFileSync(path, Buffer.concat([bytes.subarray(0, before), Buffer.alloc(bytes.length - before)]));
    const [row] = await (await at.open()).list();
    expect(row!.torn).toContain('lost');
  });

  it('rejects a later frame that was changed instead of torn', async () => {
    const { at, path, before, bytes } = await large();
    for (const offset of [before + 4, before + 40, before + 70, bytes.length - 1]) {
      const changed = Buffer.from(bytes);
      changed[offset]! ^= 1;
      writeFileSync(path, changed);
      expect((await codeOf(at)).read).toBe('UNAUTHENTIC');
    }
  });

  it('repairs a torn file only with the next step, and keeps the file as it was found', async () => {
    const { at, path, bytes } = await large();
    truncateSync(path, bytes.length - 5);
    const torn = readFileSync(path);
    const quarantine = join(at.directory, 'quarantine');
    await using sessions = await at.open();
    const session = await sessions.resume((await sessions.list())[0]!);
    expect(session.lost).toContain('lost');
    expect(readFileSync(path).equals(torn)).toBe(true);
    await session.append(user('new'));
    expect(texts(session).slice(1)).toEqual(['kept', 'new']);
    const kept = readdirSync(quarantine).sort();
    expect(kept).toHaveLength(2);
    expect(readFileSync(join(quarantine, kept[0]!)).equals(torn)).toBe(true);
    expect(readFileSync(join(quarantine, kept[1]!), 'utf8')).toContain('being written when');
    expect((await sessions.list())[0]!.torn).toBeUndefined();
  });
});
