import { randomBytes } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CofferError, openVault, type Row, type Sessions } from '../../src/index.ts';
import { makePlace, type Place } from '../support/coffer.ts';

/** Where the parts of a sealed file with one small frame begin; docs/format.md has the offsets. */
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

/** The code of what opening must throw where the byte at `offset` is another. */
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
    await place.run(['--model', 'demo/echo'], { input: 'hello\n' });
    vault = await openVault({ directory: place.data, env: place.libraryEnv });
    [row] = (await vault.list()) as [Row];
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

  it('does not open with any one byte changed, and the reason names the file', async () => {
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

  /** The code of what reading those bytes throws. */
  async function opening(bytes: Buffer): Promise<string> {
    await writeFile(path, bytes);
    try {
      await vault.read(row);
      return 'opened';
    } catch (error) {
      const { code, message } = error as CofferError;
      return message.includes(row.fileId) ? code : `${code} without the file's name: ${message}`;
    }
  }
});

describe('a damaged session file', () => {
  it.each([
    ['the magic', offsets.magic + 1, 13],
    ['the version', offsets.version, 14],
    ['the kind', offsets.kind, 13],
    ['the flags', offsets.flags, 14],
    ['the flags, second byte', offsets.flags + 1, 14],
    ['the key id', offsets.keyId + 5, 12],
    ['the file id', offsets.fileId + 5, 13],
    ['the generation', offsets.generation + 7, 13],
    ['the length of the frame', offsets.frame + 3, 13],
    ['the salt', offsets.frame + 10, 13],
    ['the commitment', offsets.frame + 40, 13],
    ['a chunk', offsets.chunk + 100, 13],
    ['the tag', -1, 13],
  ])('with a byte of %s changed: one line names it, it is kept, the other stays usable', async (_, offset, code) => {
    await using place = await makePlace();
    await expectRefused(place, code, (bytes) => {
      const at = offset < 0 ? bytes.length + offset : offset;
      bytes[at] = (bytes[at] ?? 0) ^ 0x40;
      return bytes;
    });
  });

  it.each([
    ['emptied', (bytes: Buffer) => bytes.subarray(0, 0)],
    ['cut off inside the header', (bytes: Buffer) => bytes.subarray(0, 40)],
    ['cut off behind the header', (bytes: Buffer) => bytes.subarray(0, offsets.frame)],
    ['cut off inside the head of its frame', (bytes: Buffer) => bytes.subarray(0, 100)],
    ['cut off inside its chunk', (bytes: Buffer) => bytes.subarray(0, 3000)],
    ['cut off by one byte', (bytes: Buffer) => bytes.subarray(0, -1)],
    ['with a line behind it', (bytes: Buffer) => Buffer.concat([bytes, Buffer.from('appended by somebody\n')])],
  ])('%s: one line names it, it is kept, the other stays usable', async (_, change) => {
    await using place = await makePlace();
    await expectRefused(place, 13, change);
  });

  it('under the name of another: both are refused, both are kept, and back in place both open', async () => {
    await using place = await makePlace();
    const [one, two] = await twoSessions(place);
    const exchange = async (): Promise<void> => {
      const aside = `${place.sessionFile(one)}.aside`;
      await rename(place.sessionFile(one), aside);
      await rename(place.sessionFile(two), place.sessionFile(one));
      await rename(aside, place.sessionFile(two));
    };
    await exchange();
    const before = await place.sessionBytes();
    for (const fileId of [one, two]) {
      const refused = await place.run(['export', fileId]);
      expect(refused.code).toBe(13);
      expect(linesNaming(refused.stderr, fileId)).toHaveLength(1);
    }
    const chat = await place.run(['--model', 'demo/echo'], { input: 'still here\n' });
    expect(chat).toMatchObject({ code: 0, stdout: 'echo: still here\n' });
    const after = await place.sessionBytes();
    for (const [name, bytes] of before) expect(after.get(name)).toEqual(bytes);
    await exchange();
    expect((await place.run(['export', one])).code).toBe(0);
    expect((await place.run(['export', two])).code).toBe(0);
  });
});

/** Damages one of two sessions and goes through everything that meets it. */
async function expectRefused(place: Place, code: number, change: (bytes: Buffer) => Buffer): Promise<void> {
  const [damaged, other] = await twoSessions(place);
  const bytes = change(await readFile(place.sessionFile(damaged)));
  await writeFile(place.sessionFile(damaged), bytes);

  for (const command of ['export', 'resume']) {
    const refused = await place.run([command, damaged]);
    expect(refused.code).toBe(code);
    expect(refused.stderr.trim().split('\n')).toHaveLength(1);
    expect(refused.stderr).toContain(damaged);
  }
  const listed = await place.run(['sessions']);
  expect(listed.code).toBe(0);
  const checked = await place.run(['doctor']);
  expect(checked.code).toBe(code);
  expect(linesNaming(checked.stdout, damaged)).toHaveLength(1);

  expect((await place.run(['export', other])).stdout).toContain('echo: second');
  const input = `here\n/resume ${damaged}\nstill here\n/resume ${other}\nand there\n`;
  const chat = await place.run(['--model', 'demo/echo'], { input });
  expect(chat.code).toBe(0);
  expect(linesNaming(chat.stderr, damaged).length).toBeGreaterThan(0);
  expect(chat.stdout).toMatch(
    /echo: here\necho: still here\nresumed session .* \(2 messages, demo\/echo\)\necho: and there\n/,
  );
  expect(await readFile(place.sessionFile(damaged))).toEqual(bytes);
}

/** The file ids of two sessions with one exchange each. */
async function twoSessions(place: Place): Promise<[string, string]> {
  const ids: string[] = [];
  for (const word of ['first', 'second']) {
    expect((await place.run(['--model', 'demo/echo'], { input: `${word}\n` })).code).toBe(0);
    ids.push(...(await place.sessionFiles()).filter((name) => !ids.includes(name)));
  }
  return ids as [string, string];
}

function linesNaming(text: string, fileId: string): string[] {
  return text.split('\n').filter((line) => line.includes(fileId));
}
