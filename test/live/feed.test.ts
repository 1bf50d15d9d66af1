import { describe, expect, it } from 'vitest';
import { Feed } from '../../src/live/feed.ts';
import type { LiveEvent } from '../../src/live/live.ts';
import type { Event } from '../../src/session/event/event.ts';

describe('a feed', () => {
  it('yields no recorded event before its save has settled', async () => {
    const { feed, read } = at(3);
    feed.settle(2);
    feed.publish({ type: 'thinking' });
    expect(await read()).toEqual([1, 2, 'thinking']);
    feed.settle(3);
    expect(await read()).toEqual([3]);
  });

  it('never goes back, whatever order saves settle in', async () => {
    const { feed, read } = at(2);
    feed.settle(2);
    feed.settle(1);
    expect(feed.settled).toBe(2);
    expect(await read()).toEqual([1, 2]);
  });

  it('joins the pieces of a reply for a client that is behind, however many they are', async () => {
    const { feed, read } = at(0);
    for (let piece = 0; piece < 1000; piece++) feed.publish({ type: 'delta', at: piece, text: 'x' });
    expect(await read()).toEqual([`0: ${'x'.repeat(1000)}`]);
  });

  it('joins no pieces of two replies', async () => {
    const { feed, read } = at(0);
    feed.publish({ type: 'delta', at: 0, text: 'one' });
    feed.publish({ type: 'delta', at: 0, text: 'two' });
    expect(await read()).toEqual(['0: one', '0: two']);
  });

  it('skips what a redaction removed', async () => {
    const { feed, read, events } = at(3);
    events.splice(1, 2);
    feed.settle(3);
    feed.publish({ type: 'rewritten' });
    expect(await read()).toEqual([1, 'rewritten']);
  });

  it('yields nothing unsettled behind what a redaction removed', async () => {
    const { feed, read, events } = at(4);
    events.splice(1, 2);
    feed.settle(3);
    expect(await read()).toEqual([1]);
    feed.settle(4);
    expect(await read()).toEqual([4]);
  });

  it('yields nothing to a client that has left before it reads', async () => {
    const { feed } = at(1);
    const events = feed.subscribe(0, AbortSignal.abort());
    feed.settle(1);
    for await (const event of events) expect.unreachable(event.type);
  });
});

/** A feed of a session with `count` events, and what its one client reads until nothing more has come. */
function at(count: number): { feed: Feed; events: Event[]; read(): Promise<unknown[]> } {
  const events = Array.from(
    { length: count },
    (_, index): Event => ({ id: index + 1, ts: 0, type: 'status' }) as Event,
  );
  const feed = new Feed(() => ({ events, isDurable: () => true }), 0);
  const client = feed.subscribe(0, undefined)[Symbol.asyncIterator]();
  return {
    feed,
    events,
    async read() {
      feed.publish({ type: 'lagged' }); // stands for the end of what has come so far
      const seen: LiveEvent[] = [];
      for (;;) {
        const { value, done } = await client.next();
        if (done === true || value.type === 'lagged') return seen.map(outline);
        seen.push(value);
      }
    },
  };
}

function outline(event: LiveEvent): unknown {
  if (event.type === 'recorded') return event.event.id;
  return event.type === 'delta' ? `${event.at}: ${event.text}` : event.type;
}
