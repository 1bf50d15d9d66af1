import { describe, expect, it } from 'vitest';
import { CofferError } from '../../src/errors.ts';
import { gatherEvents } from '../../src/session/decoding.ts';

const plain = { id: 1, ts: 0, type: 'model', model: 'a/b' };
/** No version 4, and yet what the schema takes for a UUID. */
const odd = { id: 2, ts: 0, type: 'begin', uuid: 'ffffffff-ffff-ffff-ffff-ffffffffffff', directory: '/x' };
const linesOf = (...events: unknown[]): Buffer => Buffer.from(events.map((event) => JSON.stringify(event)).join('\n'));

describe('gatherEvents', () => {
  it('reads once where every event is plainly one', async () => {
    let reads = 0;
    const { events } = await gatherEvents('it', async (onLines) => {
      reads++;
      onLines(linesOf(plain), 0, false);
      return {};
    });
    expect(events).toEqual([plain]);
    expect(reads).toBe(1);
  });

  it('reads again with the schema where one is not', async () => {
    let reads = 0;
    const { events } = await gatherEvents('it', async (onLines) => {
      reads++;
      onLines(linesOf(plain), 0, false);
      onLines(linesOf(odd), 0, false);
      return {};
    });
    expect(events).toEqual([plain, odd]);
    expect(reads).toBe(2);
  });

  it.each([
    ['no event', linesOf(plain, { ...odd, uuid: 'x' }), 'event 2'],
    ['no JSON', Buffer.from('{'), 'event 1'],
  ])('refuses what is %s', async (_, lines, where) => {
    const reading = gatherEvents('it', async (onLines) => ({ nothing: onLines(lines, 0, false) }));
    await expect(reading).rejects.toThrow(expect.objectContaining({ code: 'UNAUTHENTIC' }));
    await expect(reading).rejects.toThrow(where);
  });

  it('passes on what reading throws', async () => {
    const gone = new CofferError('SESSION_NOT_FOUND', 'gone');
    let reads = 0;
    const reading = gatherEvents('it', async () => {
      reads++;
      throw gone;
    });
    await expect(reading).rejects.toBe(gone);
    expect(reads).toBe(1);
  });

  it('gives back the memory of what nobody needs, and of nothing else', async () => {
    const alone = Buffer.from(linesOf(plain).toString().padEnd(100_000, ' '));
    const shared = Buffer.from(new Uint8Array(200_000).buffer, 0, 100_000);
    alone.copy(shared);
    const needed = Buffer.from(alone);
    const { events } = await gatherEvents('it', async (onLines) => {
      for (const [lines, spare] of [
        [alone, true],
        [shared, true],
        [needed, false],
      ] as const)
        onLines(lines, 0, spare);
      return {};
    });
    expect(events).toEqual([plain]);
    expect([alone.length, shared.length, needed.length]).toEqual([0, 100_000, 100_000]);
  });
});
