import type { Event, NewEvent } from '../event/event.ts';

/**
 * Renumbers events from 1. Ids of `events` must increase; events without id and time get one, with
 * the time `ts`. References to an event id still refer to the same event, or if that is lost to the
 * last one before it.
 */
export function renumber(events: readonly (Event | NewEvent)[], ts: number): Event[] {
  const before: number[] = [];
  const now: number[] = [];
  const idOf = (old: number): number => now[lastUpTo(before, old)] ?? 0;
  return events.map((event, index) => {
    const id = index + 1;
    const moved = { ts, ...event, id } as Event;
    if (event.type === 'rewind' && 'to' in event) Object.assign(moved, { to: idOf(event.to as number) });
    if (event.type === 'compaction' && 'through' in event)
      Object.assign(moved, { through: idOf(event.through as number) });
    if ('id' in event) {
      before.push(event.id);
      now.push(id);
    }
    return moved;
  });
}

/** Returns the index of the last id not above `old` in increasing ids; -1 if there is none. */
function lastUpTo(ids: readonly number[], old: number): number {
  let low = -1;
  let high = ids.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((ids[middle] ?? 0) <= old) low = middle;
    else high = middle;
  }
  return low;
}
