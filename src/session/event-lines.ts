import { isAscii, isUtf8 } from 'node:buffer';
import { CofferError } from '../errors.ts';
import { eachLine } from './each-line.ts';
import type { Event } from './event.ts';
import { isPlainlyEvent } from './event-check.ts';

/** Gives back what is an event, perhaps without fields that no event may have. Throws for whatever is none. */
export type Judge = (value: unknown) => Event;

/**
 * Reads events from NDJSON; what is not plainly an event is left to `judge`. Throws `UNAUTHENTIC` where a line is none: whatever was sealed
 * by us is one, so it can't be believed.
 */
export function readLines(lines: Uint8Array, judge: Judge): Event[] {
  const bytes = Buffer.from(lines.buffer, lines.byteOffset, lines.byteLength);
  const isValid = isUtf8(bytes);
  // A line of ASCII becomes a string, and is parsed, in half the time; of many short lines it is not asked one by one.
  const isPlain = isAscii(bytes);
  const events: Event[] = [];
  eachLine(bytes, (start, end) => events.push(readLine(bytes, start, end, isPlain, isValid, judge, events.length + 1)));
  return events;
}

function readLine(
  bytes: Buffer,
  start: number,
  end: number,
  isPlain: boolean,
  isValid: boolean,
  judge: Judge,
  row: number,
): Event {
  try {
    const value: unknown = JSON.parse(textOf(bytes, start, end, isPlain, isValid));
    return isPlainlyEvent(value) ? value : judge(value);
  } catch (cause) {
    throw new CofferError('UNAUTHENTIC', `event ${row} of the session is not one coffer writes`, { cause });
  }
}

/** Every bit of a byte that is no ASCII would be lost by `toString('latin1')`; what is no UTF-8 would become U+FFFD. */
function textOf(bytes: Buffer, start: number, end: number, isPlain: boolean, isValid: boolean): string {
  if (isPlain) return bytes.toString('latin1', start, end);
  const line = bytes.subarray(start, end);
  if (isAscii(line)) return line.toString('latin1');
  if (!isValid && !isUtf8(line)) throw new TypeError('not UTF-8');
  return line.toString('utf8');
}
