import { describe, expect, it } from 'vitest';
import { CofferError } from '../../../src/errors.ts';
import { gatherEvents } from '../../../src/session/event/decoding.ts';

const plain = { id: 1, ts: 0, type: 'model', model: 'a/b' };
const linesOf = (...events: unknown[]): Buffer => Buffer.from(events.map((event) => JSON.stringify(event)).join('\n'));

describe('gatherEvents', () => {
  it('collects the events of all lines, in order', async () => {
    const { events, more } = await gatherEvents('it', async (onLines) => {
      onLines(linesOf(plain), 0, false);
      onLines(linesOf({ ...plain, id: 2 }, { ...plain, id: 3 }), 0, false);
      return { more: 7 };
    });
    expect(events).toEqual([plain, { ...plain, id: 2 }, { ...plain, id: 3 }]);
    expect(more).toBe(7);
  });

  it('rethrows errors of reading', async () => {
    const gone = new CofferError('SESSION_NOT_FOUND', 'gone');
    let reads = 0;
    const reading = gatherEvents('it', async () => {
      reads++;
      throw gone;
    });
    await expect(reading).rejects.toBe(gone);
    expect(reads).toBe(1);
  });

  it('frees the memory of spare lines only', async () => {
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
    expect(events).toEqual([plain, { ...plain, id: 2 }, { ...plain, id: 3 }]);
    expect([alone.length, shared.length, needed.length]).toEqual([0, 100_000, 100_000]);
  });
});
