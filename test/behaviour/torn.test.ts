import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openVault, type Sessions } from '../../src/index.ts';
import { conversation, makePlace, type Place } from '../support/coffer.ts';
import { reply, texts, user } from '../support/vault.ts';

const large = 'a line that makes the session too large to rewrite at every step\n'.repeat(4000);

describe('a torn later frame', () => {
  it('costs that step alone, is reported, and the whole file is kept, wherever it was cut off', async () => {
    const places: [string, (from: number, to: number) => number][] = [
      ['inside its chunk', (from, to) => Math.floor((from + to) / 2)],
      ['one byte before its end', (_, to) => to - 1],
      ['one byte behind its head', (from) => from + 61],
      ['inside its head', (from) => from + 30],
      ['behind one byte of its head', (from) => from + 1],
    ];
    await using place = await makePlace();
    const files: { where: string; fileId: string; torn: Buffer }[] = [];
    for (const [where, cut] of places) {
      const { fileId, ends } = await appended(place, ['first', 'second', 'third']);
      const [from = 0, to = 0] = ends.slice(-2);
      const torn = (await readFile(place.sessionFile(fileId))).subarray(0, cut(from, to));
      await writeFile(place.sessionFile(fileId), torn);
      files.push({ where, fileId, torn });
    }
    const [{ fileId: one } = { fileId: '' }, ...others] = files;

    const listed = await place.run(['sessions']);
    expect(listed.code).toBe(0);
    expect(listed.stderr.match(/^\d: step \d+ .*lost/gm)).toHaveLength(files.length);
    expect(conversation(await place.exported(one)).slice(2)).toEqual(['user: first', 'user: second']);
    await using vault = await opened(place);
    for (const { where, fileId, torn } of files) {
      expect([where, ...(await said(vault, fileId))]).toEqual([where, 'first', 'second']);
      expect(await readFile(place.sessionFile(fileId))).toEqual(torn);
    }

    const input = ['fourth', ...others.flatMap(({ fileId }) => [`/resume ${fileId}`, 'fourth'])].join('\n');
    const resumed = await place.run(['resume', one, '--model', 'demo/echo'], { input: `${input}\n` });
    expect(resumed.code).toBe(0);
    expect(resumed.stderr.match(/step \d+ .*lost/g)).toHaveLength(files.length);
    // The earlier prompts were not answered: the model gets all of them as one.
    const answer = expect.stringMatching(/^echo: first\n\nsecond\n\nfourth\s*$/);
    const kept = await quarantined(place);
    for (const { where, fileId, torn } of files) {
      expect([where, ...(await said(vault, fileId))]).toEqual([where, 'first', 'second', 'fourth', answer]);
      expect(kept.filter(({ bytes }) => bytes.equals(torn))).toHaveLength(1);
      expect(kept.some(({ name, bytes }) => name.includes(fileId) && !bytes.equals(torn))).toBe(true);
    }
    expect((await place.run(['sessions'])).stderr).toBe('');
  });

  it('is repaired by no command that only reads', async () => {
    await using place = await makePlace();
    const { fileId, ends } = await appended(place, ['first', 'second']);
    const path = place.sessionFile(fileId);
    const torn = (await readFile(path)).subarray(0, (ends.at(-1) ?? 0) - 1);
    await writeFile(path, torn);
    await place.run(['sessions']);
    await place.run(['export', '1']);
    await place.run(['doctor']);
    await place.run(['resume', '1'], { input: '' });
    await place.run([], { input: '/resume 1\n' });
    expect(await readFile(path)).toEqual(torn);
    expect(await quarantined(place)).toEqual([]);
  });
});

describe('damage in a later frame other than a cut-off end', () => {
  const damages: [string, (bytes: Buffer, ends: number[]) => Buffer][] = [
    ['a byte of the last frame changed', (bytes, ends) => flip(bytes, (ends.at(-2) ?? 0) + 200)],
    ['a byte of a frame between changed', (bytes, ends) => flip(bytes, (ends.at(-3) ?? 0) + 200)],
    ['the length of the last frame changed', (bytes, ends) => flip(bytes, (ends.at(-2) ?? 0) + 3)],
    ['a frame between taken out', (bytes, ends) => without(bytes, ends.at(-3) ?? 0, ends.at(-2) ?? 0)],
    ['the last frame twice', (bytes, ends) => Buffer.concat([bytes, bytes.subarray(ends.at(-2))])],
    ['the first frame cut short', (bytes, ends) => without(bytes, 500, ends[0] ?? 0)],
  ];

  it('is refused as not authentic, exit 13, and the file is unchanged, whatever the damage', async () => {
    await using place = await makePlace();
    const files: { what: string; fileId: string; bytes: Buffer }[] = [];
    for (const [what, damage] of damages) {
      const { fileId, ends } = await appended(place, ['first', 'second', 'third']);
      const bytes = damage(await readFile(place.sessionFile(fileId)), ends);
      await writeFile(place.sessionFile(fileId), bytes);
      files.push({ what, fileId, bytes });
    }
    const refused = await place.run(['resume', files[0]?.fileId ?? ''], { input: 'more\n' });
    expect(refused.code).toBe(13);
    expect(refused.stderr).toContain(files[0]?.fileId);
    await using vault = await opened(place);
    for (const { what, fileId, bytes } of files) {
      const error = vault.resume(await vault.find(fileId));
      await expect(error, what).rejects.toMatchObject({
        code: 'UNAUTHENTIC',
        message: expect.stringContaining(fileId),
      });
      expect(await readFile(place.sessionFile(fileId)), what).toEqual(bytes);
    }
  });
});

/**
 * Makes a session large enough that each of `steps` is a separate frame after the first, in the
 * state a crash leaves. Returns the end offset of each frame.
 */
async function appended(place: Place, steps: readonly string[]): Promise<{ fileId: string; ends: number[] }> {
  const vault = await opened(place);
  const session = vault.begin({ directory: place.project, model: 'demo/echo' });
  await session.append(user(large), reply('much'));
  const path = join(place.data, 'sessions', session.fileId ?? '');
  const ends = [(await readFile(path)).length];
  for (const step of steps) {
    await session.append(user(step));
    ends.push((await readFile(path)).length);
  }
  const crashed = await readFile(path);
  const seen = await readFile(join(place.data, 'seen'));
  const fileId = session.fileId ?? '';
  await session.close();
  await writeFile(path, crashed);
  await writeFile(join(place.data, 'seen'), seen);
  expect(ends).toEqual([...ends].sort((a, b) => a - b));
  expect(new Set(ends).size).toBe(steps.length + 1);
  return { fileId, ends };
}

function opened(place: Place): Promise<Sessions> {
  return openVault({ directory: place.data, env: place.libraryEnv });
}

/** Returns the messages of a session after its first prompt and answer. */
async function said(vault: Sessions, fileId: string): Promise<unknown[]> {
  return texts(await vault.read(await vault.find(fileId))).slice(2);
}

async function quarantined(place: Place): Promise<{ name: string; bytes: Buffer }[]> {
  const folder = join(place.data, 'quarantine');
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  return Promise.all(names.map(async (name) => ({ name, bytes: await readFile(join(folder, name)) })));
}

function flip(bytes: Buffer, at: number): Buffer {
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  return bytes;
}

function without(bytes: Buffer, from: number, to: number): Buffer {
  return Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)]);
}
