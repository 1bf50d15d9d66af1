import { randomBytes } from 'node:crypto';
import { truncateSync, writeFileSync } from 'node:fs';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exits } from '../../src/cli/main.ts';
import { type CofferError, openVault, type Row, type Sessions } from '../../src/index.ts';
import { makePlace, type Place } from '../support/coffer.ts';
import { reply, user } from '../support/vault.ts';

/** Offsets of the parts of a sealed file with one small frame (see docs/format.md). */
const offsets = {
  magic: 0,
  version: 8,
  kind: 9,
  flags: 10,
  keyId: 12,
  fileId: 28,
  generation: 44,
  frame: 52,
  chunk: 112,
};

/** Returns the code that opening must throw if the byte at `offset` is changed. */
function codeFor(offset: number): string {
  if (offset === offsets.version) return 'NEWER_VERSION';
  if (offset >= offsets.flags && offset < offsets.keyId) return 'NEWER_VERSION';
  if (offset >= offsets.keyId && offset < offsets.fileId) return 'KEY_OTHER';
  return 'UNAUTHENTIC';
}

describe('a sealed file opened through the library', () => {
  let place: Place;
  let vault: Sessions;
  let row: Row;
  let path: string;
  let good: Buffer;

  beforeAll(async () => {
    place = await makePlace();
    [row] = (await manySessions(place, 1)) as [Row];
    vault = await opened(place);
    path = place.sessionFile(row.fileId);
    good = await readFile(path);
  });

  afterAll(async () => {
    await vault.close();
    await place[Symbol.asyncDispose]();
  });

  it('opens as it was written', async () => {
    await writeFile(path, good);
    expect((await vault.read(row)).state.messageCount).toBe(2);
  });

  it('does not open with any one byte changed, and the error names the file', async () => {
    const wrong: string[] = [];
    for (let offset = 0; offset < good.length; offset++) {
      const bytes = Buffer.from(good);
      bytes[offset] = (bytes[offset] ?? 0) ^ (1 << (offset % 8));
      const code = await opening(bytes);
      if (code !== codeFor(offset)) wrong.push(`byte ${offset}: ${code}`);
    }
    expect(wrong).toEqual([]);
  });

  it('does not open when it is cut off anywhere', async () => {
    const wrong: string[] = [];
    for (let length = 0; length < good.length; length++) {
      const code = await opening(good.subarray(0, length));
      if (code !== 'UNAUTHENTIC') wrong.push(`${length} bytes: ${code}`);
    }
    expect(wrong).toEqual([]);
  });

  it.each([
    ['a line of text', Buffer.from('one line more\n')],
    ['random bytes', randomBytes(400)],
    ['its own first frame again', undefined],
  ])('does not open with %s behind it', async (_, more) => {
    expect(await opening(Buffer.concat([good, more ?? good.subarray(offsets.frame)]))).toBe('UNAUTHENTIC');
  });

  /** Returns the code of the error that reading those bytes throws. */
  async function opening(bytes: Buffer): Promise<string> {
    // Thousands of times, so it is done in place and without promises.
    writeFileSync(path, bytes, { flag: 'r+' });
    truncateSync(path, bytes.length);
    try {
      await vault.read(row);
      return 'opened';
    } catch (error) {
      const { code, message } = error as CofferError;
      return message.includes(row.fileId) ? code : `${code} without the file's name: ${message}`;
    }
  }
});

/** Damage to a file, and the exit code of a command that needs the file. */
const damages: readonly { name: string; code: number; change(bytes: Buffer): Buffer }[] = [
  { name: 'a byte of the magic changed', code: 13, change: flipping(offsets.magic + 1) },
  { name: 'a byte of the version changed', code: 14, change: flipping(offsets.version) },
  { name: 'a byte of the kind changed', code: 13, change: flipping(offsets.kind) },
  { name: 'a byte of the flags changed', code: 14, change: flipping(offsets.flags) },
  { name: 'the other byte of the flags changed', code: 14, change: flipping(offsets.flags + 1) },
  { name: 'a byte of the key id changed', code: 12, change: flipping(offsets.keyId + 5) },
  { name: 'a byte of the file id changed', code: 13, change: flipping(offsets.fileId + 5) },
  { name: 'a byte of the generation changed', code: 13, change: flipping(offsets.generation + 7) },
  { name: 'a byte of the length of its frame changed', code: 13, change: flipping(offsets.frame + 3) },
  { name: 'a byte of the salt changed', code: 13, change: flipping(offsets.frame + 10) },
  { name: 'a byte of the commitment changed', code: 13, change: flipping(offsets.frame + 40) },
  { name: 'a byte of a chunk changed', code: 13, change: flipping(offsets.chunk + 100) },
  { name: 'a byte of the tag changed', code: 13, change: flipping(-1) },
  { name: 'nothing left in it', code: 13, change: (bytes) => bytes.subarray(0, 0) },
  { name: 'a cut inside the header', code: 13, change: (bytes) => bytes.subarray(0, 40) },
  { name: 'a cut behind the header', code: 13, change: (bytes) => bytes.subarray(0, offsets.frame) },
  { name: 'a cut inside the head of its frame', code: 13, change: (bytes) => bytes.subarray(0, 100) },
  { name: 'a cut inside its chunk', code: 13, change: (bytes) => bytes.subarray(0, 3000) },
  { name: 'its last byte cut off', code: 13, change: (bytes) => bytes.subarray(0, -1) },
  { name: 'a line behind it', code: 13, change: (bytes) => Buffer.concat([bytes, Buffer.from('appended\n')]) },
];

/** One damage of each exit code. Commands that are started run into these. */
const oneOfEach = ['a byte of the version changed', 'a byte of the key id changed', 'a byte of a chunk changed'];
const shown = damages.filter(({ name }) => oneOfEach.includes(name));

describe('a session file with', () => {
  let place: Place;
  let vault: Sessions;
  let ids: string[];
  let other: Row;
  let damaged: Map<string, Buffer>;

  beforeAll(async () => {
    place = await makePlace();
    const rows = await manySessions(place, damages.length + 1);
    other = rows.at(-1) as Row;
    ids = rows.slice(0, -1).map(({ fileId }) => fileId);
    for (const [at, { change }] of damages.entries()) {
      const path = place.sessionFile(ids[at] ?? '');
      await writeFile(path, change(await readFile(path)));
    }
    damaged = await place.sessionBytes();
    damaged.delete(other.fileId);
    vault = await opened(place);
  });

  afterAll(async () => {
    await vault.close();
    await place[Symbol.asyncDispose]();
  });

  it.each(damages)('$name: the error of code $code, one line naming it', async (damage) => {
    const fileId = fileWith(damage);
    const error = await errorOf(vault, fileId);
    expect(exits[error.code]).toBe(damage.code);
    expect(error.message.split('\n')).toHaveLength(1);
    expect(error.message).toContain(fileId);
  });

  it.each(shown)('$name: coffer ends with $code, and one line naming it', async (damage) => {
    const fileId = fileWith(damage);
    const refused = await place.run(['export', fileId]);
    expect(refused).toMatchObject({ code: damage.code, stdout: '' });
    expect(refused.stderr.trim().split('\n')).toHaveLength(1);
    expect(refused.stderr).toContain(fileId);
  });

  it.each(shown)('$name is not resumed either', async (damage) => {
    const fileId = fileWith(damage);
    const refused = await place.run(['resume', fileId], { input: 'never said\n' });
    expect(refused).toMatchObject({ code: damage.code, stdout: '' });
    expect(refused.stderr).toContain(fileId);
  });

  it('any of that is reported once each by sessions and doctor', async () => {
    const listed = await place.run(['sessions']);
    expect(listed.code).toBe(0);
    expect(listed.stdout).toContain(`saved sessions (${damages.length + 1}):`);
    const checked = await place.run(['doctor']);
    expect([12, 13, 14]).toContain(checked.code);
    for (const fileId of ids) {
      expect(linesNaming(listed.stderr, fileId)).toHaveLength(1);
      expect(linesNaming(checked.stdout, fileId)).toHaveLength(1);
    }
  });

  it('any of that leaves the chat running, the others usable, and the file in place', async () => {
    const tries = ids.map((fileId) => `/resume ${fileId}\nafter ${fileId}\n`).join('');
    const input = `here\n${tries}/resume ${other.id}\nand there\n/save kept\n`;
    const chat = await place.run(['--model', 'demo/echo'], { input });
    expect(chat.code).toBe(0);
    for (const fileId of ids) {
      expect(linesNaming(chat.stderr, fileId)).toHaveLength(1);
      expect(chat.stdout).toContain(`echo: after ${fileId}\n`);
    }
    expect(chat.stdout).toMatch(/resumed session \S+ \(2 messages, demo\/echo\)\necho: and there\nsession saved: /);
    const after = await place.sessionBytes();
    for (const [fileId, bytes] of damaged) expect(after.get(fileId)).toEqual(bytes);
  });

  function fileWith(damage: (typeof damages)[number]): string {
    return ids[damages.indexOf(damage)] ?? '';
  }
});

describe('_autosave that points to a file with', () => {
  let place: Place;
  let vault: Sessions;
  let good: Buffer;
  let fileId: string;
  let other: Row;

  beforeAll(async () => {
    place = await makePlace();
    const [last, first] = (await manySessions(place, 2)) as [Row, Row];
    ({ fileId } = last);
    other = first;
    good = await readFile(place.sessionFile(fileId));
    vault = await opened(place);
  });

  afterAll(async () => {
    await vault.close();
    await place[Symbol.asyncDispose]();
  });

  it.each(damages)('$name: the error of code $code, naming the file, and its row remains', async ({ code, change }) => {
    await writeFile(place.sessionFile(fileId), change(Buffer.from(good)));
    const error = await errorOf(vault, '_autosave');
    expect(exits[error.code]).toBe(code);
    expect(error.message).toContain(fileId);
    const [row] = await vault.list();
    expect(row).toMatchObject({ number: 1, label: '_autosave', fileId });
    expect(row?.unreadable?.message).toContain(`file ${fileId}: `);
  });

  it.each(shown)('$name: coffer ends with $code, naming the file, and lists its row', async ({ code, change }) => {
    await writeFile(place.sessionFile(fileId), change(Buffer.from(good)));
    const refused = await place.run(['export', '_autosave']);
    expect(refused).toMatchObject({ code, stdout: '' });
    expect(linesNaming(refused.stderr, fileId)).toHaveLength(1);
    const listed = await place.run(['sessions']);
    expect(listed.stdout).toMatch(/^ {2}1\) _autosave$/m);
    expect(listed.stderr).toMatch(new RegExp(`^1 can't be opened: file ${fileId}: `, 'm'));
  });

  it.each([
    ['resume', '_autosave'],
    ['export', '1'],
    ['status', '_autosave'],
    ['logs', '_autosave'],
    ['fork', '_autosave'],
    ['rename', '_autosave', 'x'],
    ['save', '_autosave'],
    ['permissions', '_autosave'],
  ])('a byte of a chunk changed: %s %s says so', async (...args) => {
    await writeFile(place.sessionFile(fileId), flipping(offsets.chunk + 100)(Buffer.from(good)));
    const refused = await place.run(args, { input: 'never said\n' });
    expect(refused).toMatchObject({ code: 13, stdout: '' });
    expect(refused.stderr).toContain(fileId);
  });

  it('any of that is skipped by last, and can be deleted', async () => {
    await writeFile(place.sessionFile(fileId), flipping(offsets.chunk + 100)(Buffer.from(good)));
    const found = await place.run(['export', 'last', '--format', 'json']);
    expect(JSON.parse(found.stdout)).toMatchObject({ id: other.id });
    expect((await place.run(['delete', '_autosave', '--yes'])).code).toBe(0);
    expect(await place.sessionFiles()).toEqual([other.fileId]);
    expect((await place.run(['export', '_autosave'])).code).toBe(10);
  });
});

describe('two session files', () => {
  it('whose names were swapped are both refused and kept, and open once they are swapped back', async () => {
    await using place = await makePlace();
    const [one, two] = (await manySessions(place, 2)) as [Row, Row];
    await exchange(place, one.fileId, two.fileId);
    const before = await place.sessionBytes();
    for (const { fileId } of [one, two]) {
      const refused = await place.run(['export', fileId]);
      expect(refused.code).toBe(13);
      expect(linesNaming(refused.stderr, fileId)).toHaveLength(1);
    }
    const chat = await place.run(['--model', 'demo/echo'], { input: 'still here\n' });
    expect(chat).toMatchObject({ code: 0, stdout: 'echo: still here\n' });
    const after = await place.sessionBytes();
    for (const [fileId, bytes] of before) expect(after.get(fileId)).toEqual(bytes);
    await exchange(place, one.fileId, two.fileId);
    await using vault = await opened(place);
    for (const row of [one, two]) expect((await vault.read(await vault.find(row.id))).state.messageCount).toBe(2);
  });
});

function opened(place: Place): Promise<Sessions> {
  return openVault({ directory: place.data, env: place.libraryEnv });
}

/** Saves sessions with one exchange each, and returns their rows. */
async function manySessions(place: Place, count: number): Promise<Row[]> {
  await using vault = await opened(place);
  for (let at = 0; at < count; at++) {
    await using session = vault.begin({ directory: place.project, model: 'demo/echo' });
    await session.append(user(`word ${at}`), reply(`echo: word ${at}`));
  }
  return vault.list();
}

/** Returns the error that finding and reading a session throws. */
async function errorOf(vault: Sessions, which: string): Promise<CofferError> {
  return await vault
    .find(which)
    .then((row) => vault.read(row).then(() => expect.fail(`${which} opened`)))
    .catch((error: CofferError) => error);
}

async function exchange(place: Place, one: string, two: string): Promise<void> {
  const aside = join(place.root, 'aside');
  await rename(place.sessionFile(one), aside);
  await rename(place.sessionFile(two), place.sessionFile(one));
  await rename(aside, place.sessionFile(two));
}

function flipping(offset: number): (bytes: Buffer) => Buffer {
  return (bytes) => {
    const at = offset < 0 ? bytes.length + offset : offset;
    bytes[at] = (bytes[at] ?? 0) ^ 0x40;
    return bytes;
  };
}

function linesNaming(text: string, fileId: string): string[] {
  return text.split('\n').filter((line) => line.includes(fileId));
}
