import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { conversation, type Listed, makePlace, type Place, type Result } from '../support/coffer.ts';
import { idOf } from '../support/vast.ts';
import { SCALE } from './scale.ts';
import { fillSessions, PROJECTS, titleOf } from './vast.ts';

const SESSIONS = 100_000 / SCALE;
const PATIENCE = 1_200_000;
const NEWEST = SESSIONS - 1;
/** The newest session that was begun in the directory in which coffer is started. */
const NEWEST_HERE = SESSIONS - PROJECTS + 7;

describe('a vault of a hundred thousand sessions, or a tenth of them', () => {
  let place: Place;

  beforeAll(async () => {
    place = await makePlace();
    await fillSessions(place, SESSIONS);
  }, 900_000);

  afterAll(() => place[Symbol.asyncDispose]());

  it('is listed completely, without a cache and with one', async () => {
    const titles = Array.from({ length: SESSIONS }, (_, at) => titleOf(NEWEST - at));
    for (const time of ['without', 'with']) {
      expect(existsSync(join(place.data, 'index'))).toBe(time === 'with');
      const rows = await all();
      expect([time, rows.length, new Set(rows.map(({ fileId }) => fileId)).size]).toEqual([time, SESSIONS, SESSIONS]);
      expect(rows.every(({ number }, at) => number === at + 1)).toBe(true);
      expect(rows.every(({ title }, at) => title === titles[at])).toBe(true);
    }
    const { stdout } = await fine(['sessions']);
    expect(stdout).toMatch(new RegExp(`^saved sessions \\(${SESSIONS}\\):$`, 'm'));
    expect(stdout).toMatch(new RegExp(`^ *1\\) ${idOf(NEWEST)}`, 'm'));
    expect(stdout).toMatch(new RegExp(`^ *2\\) ${idOf(NEWEST - 1)}`, 'm'));
  });

  it('resumes the last session, and begins a new one', async () => {
    // The prompt there was not answered: the model gets both as one.
    const answer = `echo: ${titleOf(NEWEST_HERE)}\n\nhello`;
    expect((await fine(['-c', '--prompt', 'hello'])).stdout).toBe(`${answer}\n`);
    const continued = await place.exported('_autosave', { patience: PATIENCE });
    expect([continued.id, ...conversation(continued)]).toEqual([
      idOf(NEWEST_HERE),
      `user: ${titleOf(NEWEST_HERE)}`,
      'user: hello',
      `assistant: ${answer}`,
    ]);
    await fine(['--model', 'demo/echo', '--prompt', 'a new one']);
    const begun = await place.exported('_autosave', { patience: PATIENCE });
    expect(conversation(begun)).toEqual(['user: a new one', 'assistant: echo: a new one']);
  });

  it('finds each of them by its number, its id and a prefix of its uuid', async () => {
    const rows = await all();
    expect(rows.length).toBeGreaterThanOrEqual(SESSIONS); // one more if a session was begun above
    const row = rows[0.7 * SESSIONS]!;
    for (const which of [String(row.number), row.id, row.uuid.slice(0, 18)]) {
      expect([which, (await place.exported(which, { patience: PATIENCE })).uuid]).toEqual([which, row.uuid]);
    }
  });

  async function all(): Promise<(Listed & { title: string; uuid: string })[]> {
    const { stdout } = await fine(['sessions', '--json', '--all']);
    return JSON.parse(stdout) as (Listed & { title: string; uuid: string })[];
  }

  async function fine(args: readonly string[]): Promise<Result> {
    const result = await place.run(args, { patience: PATIENCE });
    const { code, signal, stderr } = result;
    expect({ args, code, signal, stderr: code === 0 ? '' : stderr }).toEqual({
      args,
      code: 0,
      signal: null,
      stderr: '',
    });
    return result;
  }
});
