import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { NewEvent } from '../../src/session/event/event.ts';
import { makePlace, type Place } from '../support/coffer.ts';
import { fillVast, realistic } from '../support/vast.ts';

const LINE =
  /^(coffer: )?(. can't be counted: )?session 2026-01-01_00-\d\d needs more memory than a session may use \(\d+ MiB\); try again with NODE_OPTIONS=--max-old-space-size=\d+$/m;

/** How `--trace-gc` shows a collection that a program asked for. */
const FORCED = /\btesting;/;

/**
 * Tiny events need many times the memory of their plaintext, realistic ones little more. The last
 * session fits into any heap.
 */
const sessions: readonly (() => readonly NewEvent[])[] = [
  () => realistic(80_000_000)(0),
  () => Array.from({ length: 600_000 }, () => ({ type: 'message', message: { role: 'user', content: '' } })),
  () => [{ type: 'message', message: { role: 'user', content: 'é€'.repeat(12_000_000) } }],
  () => [{ type: 'message', message: { role: 'user', content: 'small' } }],
];

/** Size of the heap in MiB. */
const heap = 70;
const large = ['2026-01-01_00-00', '2026-01-01_00-01', '2026-01-01_00-02'];

describe('a session that is too large for the heap', () => {
  let place: Place;

  beforeAll(async () => {
    place = await makePlace();
    const events = (number: number): readonly NewEvent[] => sessions[number]?.() ?? [];
    await fillVast({ directory: place.data, env: place.libraryEnv, sessions: sessions.length, events });
    return () => place[Symbol.asyncDispose]();
  });

  it.each([
    ...large.map((row) => ['logs', row]),
    ['export', '2026-01-01_00-00'],
    ['fork', '2026-01-01_00-01', '1'],
    ['resume', '2026-01-01_00-02', '--prompt', 'hi'],
  ])('ends coffer %s %s with a one-line error', async (...args) => {
    const { code, signal, stderr } = await place.run(args, { env: withHeap(heap) });
    expect({ signal, stderr }).toEqual({ signal: null, stderr: expect.stringMatching(LINE) });
    expect(code).toBe(1);
  });

  it('does not prevent stats from counting the others', async () => {
    const { code, stdout, stderr } = await place.run(['stats'], { env: withHeap(heap) });
    expect(stdout).toMatch(/^sessions +1$/m);
    expect(stdout).toMatch(/^unreadable +3$/m);
    expect(stderr.match(new RegExp(LINE, 'gm'))).toHaveLength(3);
    expect(code).toBe(0);
  });

  it('is unchanged, and opens with a larger heap', async () => {
    for (const row of large) {
      const { code, stdout } = await place.run(['logs', row], { env: withHeap(900) });
      expect([row, code]).toEqual([row, 0]);
      expect(stdout).toMatch(/status completed\n$/);
    }
  });

  it('would crash the process without the guard', () => {
    // The text of the third is so large that Node keeps it off-heap, which the guard can't rely on.
    for (const row of large.slice(0, 2)) {
      const { signal, stderr } = runScript('room-unguarded.ts', [place.data, row], place.libraryEnv);
      expect({ row, signal }).toEqual({ row, signal: 'SIGABRT' });
      expect(stderr).toContain('heap out of memory');
    }
  });
});

describe('a program whose heap is nearly full', () => {
  it.each(['garbage', 'kept'])('can open a small session, and no collection is forced: %s', (filling) => {
    const { stdout, ...ended } = runScript('room-host.ts', [filling, 'small'], {}, ['--trace-gc']);
    expect(ended).toEqual({ signal: null, stderr: '' });
    expect(stdout).toContain('opened');
    expect(stdout).not.toMatch(FORCED);
  });

  it('cannot open a session that grows beyond its share', () => {
    expect(runScript('room-host.ts', ['garbage', 'growing']).stderr).toContain('TOO_LARGE');
  });

  it('would show a collection that is forced', () => {
    const { stdout } = runScript('room-host.ts', ['garbage', 'forced'], {}, ['--trace-gc', '--expose-gc']);
    expect(stdout).toMatch(FORCED);
  });
});

function runScript(
  name: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  flags: readonly string[] = [],
): { signal: NodeJS.Signals | null; stdout: string; stderr: string } {
  const options = [`--max-old-space-size=${heap}`, ...flags, join(import.meta.dirname, name), ...args];
  const { signal, stdout, stderr } = spawnSync(process.execPath, options, { env: { ...process.env, ...env } });
  return { signal, stdout: String(stdout), stderr: String(stderr) };
}

function withHeap(mebibytes: number): Record<string, string> {
  return { NODE_OPTIONS: `--max-old-space-size=${mebibytes}` };
}
