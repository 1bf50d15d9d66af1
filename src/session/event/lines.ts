import { isAscii, isUtf8 } from 'node:buffer';
import { faultIn, faultInType, isEventId, isEventTime, isObject } from './check.ts';
import { eachLine } from './each-line.ts';
import { type Event, NO_ID, NO_TIME, type UnknownEvent } from './event.ts';
import { DEEPEST, isTooDeep } from './json.ts';

/**
 * Reads events from NDJSON whose bytes are authenticated, which is never refused: a line that does not fit the schema is kept as it
 * is, in an event of the type `unknown`. An event without a possible id or time has
 * {@link NO_ID} and {@link NO_TIME} there until `MergedEvents` gives it one.
 */
export function readLines(lines: Uint8Array): Event[] {
  const bytes = Buffer.from(lines.buffer, lines.byteOffset, lines.byteLength);
  const isValid = isUtf8(bytes);
  // A line of ASCII becomes a string, and is parsed, in half the time; of many short lines it is not asked one by one.
  const isPlain = isAscii(bytes);
  const events: Event[] = [];
  eachLine(bytes, (start, end) => events.push(readLine(bytes, start, end, isPlain, isValid)));
  return events;
}

/** What is not UTF-8 is kept as `bytes`, in base64: decoded, a byte would become U+FFFD and be lost. */
function readLine(bytes: Buffer, start: number, end: number, isPlain: boolean, isValid: boolean): Event {
  if (isPlain) return eventIn(bytes.toString('latin1', start, end));
  const line = bytes.subarray(start, end);
  if (isAscii(line)) return eventIn(line.toString('latin1'));
  return isValid || isUtf8(line)
    ? eventIn(line.toString('utf8'))
    : { ...placeOf(undefined), type: UNKNOWN, bytes: line.toString('base64') };
}

function eventIn(line: string): Event {
  return reread(judged(parse(line), line));
}

/**
 * Reads the line that an event of the type `unknown` holds: this version may know what the one that kept it did not. The event's place
 * stays. Whoever takes in events of others must look at what is returned: it is what will be read of them once they are written.
 */
export function reread(event: Event): Event {
  const place = placeOf(event);
  let read = event;
  // The line may be one of the same kind; each is shorter than the one around it.
  for (let line = lineIn(read); line !== undefined; ) {
    read = { ...judged(parse(line), line), ...place };
    const inner = lineIn(read);
    line = inner === line ? undefined : inner;
  }
  return read;
}

function lineIn(event: Event): string | undefined {
  const { type, line } = event as UnknownEvent;
  return type === UNKNOWN && typeof line === 'string' ? line : undefined;
}

function judged(value: unknown, line: string): Event {
  if (faultIn(value) === undefined) return value as Event;
  if (isObject(value) && faultInType(value) === undefined) return { ...value, ...placeOf(value) } as Event;
  return { ...placeOf(value), type: UNKNOWN, line };
}

function placeOf(value: unknown): { id: number; ts: number } {
  const { id, ts } = isObject(value) ? value : {};
  return { id: isEventId(id) ? id : NO_ID, ts: isEventTime(ts) ? ts : NO_TIME };
}

/** Parses JSON; undefined if the text is not JSON or is nested too deep. */
function parse(json: string): unknown {
  try {
    const value: unknown = JSON.parse(json);
    return json.length > DEEPEST && isTooDeep(value) ? undefined : value;
  } catch {
    return undefined; // never the value of valid JSON
  }
}

/** The type of an event that holds a line as it was found. */
const UNKNOWN = 'unknown';
