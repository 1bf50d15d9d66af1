import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { makePlace, type Place, type Result } from '../support/coffer.ts';
import type { Huge } from './huge.ts';
import { requireMemory } from './room.ts';
import { SCALE } from './scale.ts';

const PATIENCE = 1_200_000;
const SIZE = 1_000_000_000 / SCALE;
/** Heap limit in MiB, too small for the session. */
const HEAP = SCALE === 1 ? 256 : 64;

describe('a session of a gigabyte, or a tenth of one', () => {
  it('is opened, or refused in a line about memory, and never ends in a crash', async (context) => {
    requireMemory(context, 8);
    await using place = await makePlace();
    const { bytes } = fill(place, SIZE);
    expect(bytes).toBeGreaterThanOrEqual(SIZE);
    const file = join(place.root, 'exported.jsonl');
    const commands: Record<string, string[]> = {
      list: ['sessions'],
      search: ['sessions', '--search', 'the end of it'],
      export: ['export', '1', '--format', 'jsonl', '-o', file],
      resume: ['resume', '1', '--prompt', 'hello'],
    };
    for (const [name, args] of Object.entries(commands)) {
      const result = await place.run(args, { patience: PATIENCE });
      if (result.code !== 0) expectTold(name, result);
    }
    // With a heap too small for it the memory of the machine does not help: it prints one line, and
    // changes nothing.
    const env = { NODE_OPTIONS: `--max-old-space-size=${HEAP}` };
    const refused: string[] = [];
    for (const [name, args] of Object.entries({ ...commands, logs: ['logs', '1'], stats: ['stats'] })) {
      const result = await place.run(args, { env, patience: PATIENCE });
      if (result.code === 0) continue;
      expectTold(`${name}, with a small heap`, result);
      refused.push(name);
    }
    expect(refused).toContain('resume');
    expect((await place.run(['sessions'])).stdout).toContain('saved sessions (1):');
  });
});

/** Fills the vault in a separate process, so that its memory is not taken from the tests. */
function fill(place: Place, bytes: number): Huge {
  const script = join(import.meta.dirname, 'huge.ts');
  const env = { ...process.env, ...place.libraryEnv };
  return JSON.parse(execFileSync(process.execPath, [script, place.data, String(bytes)], { env }).toString()) as Huge;
}

/** Expects the command to exit normally, with one line that says what it is about. */
function expectTold(name: string, { code, signal, stderr }: Result): void {
  const told = { name, signal, stderr: stderr.slice(0, 600) };
  expect(told).toMatchObject({ signal: null, stderr: expect.stringMatching(/^coffer: .*memory.*$/m) });
  expect(told).toMatchObject({ stderr: expect.not.stringContaining('this is a bug') });
  expect(
    stderr
      .trimEnd()
      .split('\n')
      .filter((line) => line.startsWith('coffer: ')),
  ).toHaveLength(1);
  expect(code).toBeGreaterThan(0);
}
