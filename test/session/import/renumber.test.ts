import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Event, NewEvent } from '../../../src/session/event/event.ts';
import { renumber } from '../../../src/session/import/renumber.ts';

describe('renumber', () => {
  it('keeps references to the same event, or moves them to the last one before it', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.integer({ min: 1, max: 5 }), fc.nat(60), fc.boolean())), (steps) => {
        const events: (Event | NewEvent)[] = [];
        let id = 0;
        for (const [rise, to, isNew] of steps) {
          if (isNew) events.push({ type: 'status', status: 'failed' });
          id += rise;
          events.push({ id, ts: 7, type: 'rewind', to: Math.min(to, id - 1) });
        }
        const moved = renumber(events, 9);
        expect(moved.map((event) => event.id)).toEqual(moved.map((_, at) => at + 1));
        for (const [at, event] of events.entries()) {
          expect(moved[at]?.ts).toBe('ts' in event ? 7 : 9);
          if (!('to' in event)) continue;
          const meant = events.findLastIndex(
            (one, index) => index < at && 'id' in one && one.id <= (event.to as number),
          );
          expect(moved[at]).toMatchObject({ to: meant + 1 });
        }
      }),
    );
  });
});
