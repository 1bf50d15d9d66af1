import { constants, zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { eventsOf, Transcript } from '../../bench/transcript.ts';
import { fillVast, realistic } from './vast.ts';
import { home } from './vault.ts';

describe('fillVast', () => {
  it('writes sessions as coffer does, each with a rollback mark', async () => {
    const at = home();
    await fillVast({ ...at, sessions: 3, events: realistic(5000) });
    await using sessions = await at.open();
    const rows = await sessions.list();
    expect(rows.map(({ messages, status, unreadable }) => [messages > 1, status, unreadable])).toEqual(
      Array(3).fill([true, 'completed', undefined]),
    );
    expect(sessions.upkeep.seen).toEqual({ state: 'good', removed: [] });
    for (const row of rows) expect((await sessions.read(row)).row.rolledBack).toBeUndefined();
    await using resumed = await sessions.resume(await sessions.find('2'));
    expect(resumed.state.messages.length).toBeGreaterThan(1);
  });
});

describe('a made-up transcript', () => {
  it('is the same for the same seed', () => {
    const [one, two, other] = [7, 7, 8].map((seed) => JSON.stringify(eventsOf(new Transcript(seed), 20_000)));
    expect(two).toBe(one);
    expect(other).not.toBe(one);
  });

  it('shrinks as genuine transcripts do', () => {
    const lines = eventsOf(new Transcript(1), 1_000_000).map((event) => `${JSON.stringify(event)}\n`);
    const plain = Buffer.from(lines.join(''));
    const packed = zstdCompressSync(plain, { params: { [constants.ZSTD_c_compressionLevel]: 3 } });
    expect(plain.length / packed.length).toBeGreaterThan(3);
    expect(plain.length / packed.length).toBeLessThan(4);
  });
});
