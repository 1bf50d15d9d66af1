import { statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { makePlace, type Place } from '../support/coffer.ts';
import { requireMemory } from './room.ts';
import { SCALE } from './scale.ts';
import { growBySteps } from './steps.ts';

const PATIENCE = 1_200_000;

describe('a message of a hundred megabytes, or of ten', () => {
  it('that is typed is saved, listed, exported and resumed', async (context) => {
    requireMemory(context, 4);
    await using place = await makePlace();
    const input = `needle ${'all work and no play '.repeat(4_800_000 / SCALE)}`;
    await expectFine(place, ['--model', 'demo/eliza', '--prompt', '-'], input);
    await expectWhole(place, input.length);
  });

  it('that a program appends is durable, listed, exported and resumed', async (context) => {
    requireMemory(context, 4);
    await using place = await makePlace();
    const size = 100_000_000 / SCALE;
    await growBySteps(place, { events: 1, atOnce: 1, size });
    await expectWhole(place, size);
  });

  it('is refused in a line if it is longer than a string can be', async (context) => {
    requireMemory(context, 4);
    await using place = await makePlace();
    // This process can't make a string of this many characters either, so it is written in pieces.
    const { code, stderr } = await place.run(['--prompt', '-'], {
      input: Buffer.alloc(600_000_000, 'a'),
      patience: PATIENCE,
    });
    expect({ code, stderr }).toEqual({
      code: expect.any(Number),
      stderr: expect.stringMatching(/^coffer: .*too long.*$/m),
    });
    expect(stderr).not.toContain('this is a bug');
    expect(code).toBeGreaterThan(0);
  });
});

describe('a session of many tiny events', () => {
  it('of which there are a million, or a twentieth of that, is opened, listed, searched, counted and exported', async (context) => {
    requireMemory(context, 4);
    await using place = await makePlace();
    const events = SCALE === 1 ? 1_000_000 : 50_000;
    await growBySteps(place, { events, atOnce: 25_000 });
    const rows = await place.listed();
    expect(rows).toMatchObject([{ messages: events }]);
    const found = await place.run(['sessions', '--search', `event ${events - 1}`], { patience: PATIENCE });
    expect(found).toMatchObject({ code: 0, stdout: expect.stringContaining(`event ${events - 1}`) });
    const stats = await place.run(['stats', '--json'], { patience: PATIENCE });
    expect(JSON.parse(stats.stdout)).toMatchObject({ messages: events });
    const file = join(place.root, 'exported.jsonl');
    await expectFine(place, ['export', '1', '--format', 'jsonl', '-o', file]);
    expect(statSync(file).size).toBeGreaterThan(events * 80);
    await expectFine(place, ['resume', '1', '--prompt', 'hello']);
  });
});

/** Expects the only session to return its message of that many bytes, and to accept another one. */
async function expectWhole(place: Place, bytes: number): Promise<void> {
  expect(await place.listed()).toMatchObject([{ messages: expect.any(Number) }]);
  const file = join(place.root, 'exported.jsonl');
  await expectFine(place, ['export', '1', '--format', 'jsonl', '-o', file]);
  expect(statSync(file).size).toBeGreaterThan(bytes);
  await expectFine(place, ['--model', 'demo/eliza', '--resume', '1', '--prompt', 'hello']);
}

async function expectFine(place: Place, args: readonly string[], input = ''): Promise<void> {
  const { code, signal, stderr } = await place.run(args, { input, patience: PATIENCE });
  const told = { args, code, signal, stderr: code === 0 ? '' : stderr.slice(0, 600) };
  expect(told).toEqual({ args, code: 0, signal: null, stderr: '' });
}
