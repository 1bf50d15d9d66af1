import { CofferError } from '../errors.ts';
import type { Event } from './event.ts';
import { readLines } from './event-lines.ts';

/** Reads events back from NDJSON. */
export type Decode = (lines: Uint8Array) => Event[];

/**
 * Reads the events of sealed files, with the schema only where one is not plainly an event: nearly always that is never, and loading the
 * schema takes longer than reading a session does. `read` may be called twice, and must begin anew then.
 */
export async function withEvents<T>(read: (decode: Decode) => Promise<T>): Promise<T> {
  try {
    return await read((lines) => readLines(lines, doubt));
  } catch (error) {
    if (!(error instanceof CofferError) || !(error.cause instanceof Doubt)) throw error;
  }
  const { decodeEvents } = await import('./event-schema.ts');
  return read(decodeEvents);
}

/** Something that is not plainly an event. */
class Doubt extends Error {}

function doubt(): never {
  throw new Doubt();
}
