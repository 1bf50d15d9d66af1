import type { Event, NewEvent } from './event.ts';

/**
 * Numbers events anew from 1 on; those that have no place yet get one, with the time `ts`. What refers to an event by its id goes
 * on referring to the same one, or where that is lost to the last one before it.
 */
export function renumber(events: readonly (Event | NewEvent)[], ts: number): Event[] {
  const before: number[] = [];
  const now: number[] = [];
  const idOf = (old: number): number => now[before.findLastIndex((id) => id <= old)] ?? 0;
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
