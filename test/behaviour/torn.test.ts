import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type NewEvent, openVault } from '../../src/index.ts';
import { conversation, makePlace, type Place } from '../support/coffer.ts';

const large = 'a line that makes the session too large to rewrite at every step\n'.repeat(4000);

describe('a torn later frame', () => {
  it.each([
    ['inside its chunk', (from: number, to: number) => Math.floor((from + to) / 2)],
    ['one byte before its end', (_: number, to: number) => to - 1],
    ['one byte behind its head', (from: number) => from + 61],
    ['inside its head', (from: number) => from + 30],
    ['behind one byte of its head', (from: number) => from + 1],
  ])('cut off %s costs that step alone, is reported, and the whole file is kept', async (_, where) => {
    await using place = await makePlace();
    const { fileId, ends } = await appended(place, ['first', 'second', 'third']);
    const path = place.sessionFile(fileId);
    const [from = 0, to = 0] = ends.slice(-2);
    const torn = (await readFile(path)).subarray(0, where(from, to));
    await writeFile(path, torn);

    const listed = await place.run(['sessions']);
    expect(listed.code).toBe(0);
    expect(listed.stderr).toMatch(/step \d+ .*lost/);
    const read = conversation(await place.exported('1'));
    expect(read.slice(1)).toEqual(['user: first', 'user: second']);
    expect(await readFile(path)).toEqual(torn);

    const resumed = await place.run(['resume', '1', '--model', 'demo/echo'], { input: 'fourth\n' });
    expect(resumed.code).toBe(0);
    expect(resumed.stderr).toMatch(/step \d+ .*lost/);
    expect(conversation(await place.exported('1')).slice(1)).toEqual([
      'user: first',
      'user: second',
      'user: fourth',
      // The earlier prompts were not answered: the model gets all of them as one.
      expect.stringMatching(/^assistant: echo: .*first\n\nsecond\n\nfourth$/s),
    ]);
    const kept = await quarantined(place);
    expect(kept.filter(({ bytes }) => bytes.equals(torn))).toHaveLength(1);
    expect(kept.some(({ name, bytes }) => name.includes(fileId) && !bytes.equals(torn))).toBe(true);
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
  it.each([
    ['a byte of the last frame changed', (bytes: Buffer, ends: number[]) => flip(bytes, (ends.at(-2) ?? 0) + 200)],
    ['a byte of a frame between changed', (bytes: Buffer, ends: number[]) => flip(bytes, (ends.at(-3) ?? 0) + 200)],
    ['the length of the last frame changed', (bytes: Buffer, ends: number[]) => flip(bytes, (ends.at(-2) ?? 0) + 3)],
    [
      'a frame between taken out',
      (bytes: Buffer, ends: number[]) => without(bytes, ends.at(-3) ?? 0, ends.at(-2) ?? 0),
    ],
    ['the last frame twice', (bytes: Buffer, ends: number[]) => Buffer.concat([bytes, bytes.subarray(ends.at(-2))])],
    ['the first frame cut short', (bytes: Buffer, ends: number[]) => without(bytes, 500, ends[0] ?? 0)],
  ])('%s: exit 13, and the file is unchanged', async (_, damage) => {
    await using place = await makePlace();
    const { fileId, ends } = await appended(place, ['first', 'second', 'third']);
    const bytes = damage(await readFile(place.sessionFile(fileId)), ends);
    await writeFile(place.sessionFile(fileId), bytes);
    const refused = await place.run(['resume', '1'], { input: 'more\n' });
    expect(refused.code).toBe(13);
    expect(refused.stderr).toContain(fileId);
    expect(await readFile(place.sessionFile(fileId))).toEqual(bytes);
  });
});

/**
 * Makes a session large enough that each of `steps` is a separate frame after the first, in the
 * state a crash leaves. Returns the end offset of each frame.
 */
async function appended(place: Place, steps: readonly string[]): Promise<{ fileId: string; ends: number[] }> {
  const vault = await openVault({ directory: place.data, env: place.libraryEnv });
  const session = vault.begin({ directory: place.project, model: 'demo/echo' });
  await session.append(said(large));
  const path = join(place.data, 'sessions', session.fileId ?? '');
  const ends = [(await readFile(path)).length];
  for (const step of steps) {
    await session.append(said(step));
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

function said(content: string): NewEvent {
  return { type: 'message', message: { role: 'user', content } };
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
