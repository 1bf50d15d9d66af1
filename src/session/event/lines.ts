import { isAscii, isUtf8 } from 'node:buffer';
import { faultIn, faultInType, isEventId, isEventTime } from './check.ts';
import { eachLine } from './each-line.ts';
import { type Event, isObject, NO_ID, NO_TIME, type UnknownEvent } from './event.ts';
import { DEEPEST, isTooDeep } from './json.ts';

/**
 * Parses events from NDJSON. The bytes are authenticated, so no line is ever rejected: a line that
 * doesn't match the schema is preserved in an event of type `unknown`. An event without a valid id
 * or time gets {@link NO_ID} or {@link NO_TIME} until `MergedEvents` assigns one.
 */
export function readLines(lines: Uint8Array): Event[] {
  const bytes = Buffer.from(lines.buffer, lines.byteOffset, lines.byteLength);
  const isValid = isUtf8(bytes);
  // ASCII lines decode and parse in half the time; checking all lines at once saves one check each.
  const isPlain = isAscii(bytes);
  const events: Event[] = [];
  eachLine(bytes, (start, end) => events.push(readLine(bytes, start, end, isPlain, isValid)));
  return events;
}

/** Keeps a line that isn't UTF-8 as base64 `bytes`: decoding would replace bytes with U+FFFD. */
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
 * Parses the line that an event of type `unknown` holds: this version may know what the version
 * that preserved it did not. The event keeps its id and time. Code that imports events must
 * validate the returned event: it is what will be read once the event is saved.
 */
export function reread(event: Event): Event {
  const place = placeOf(event);
  let read = event;
  // The line may itself hold an `unknown` event; each is shorter than the one that contains it.
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

/** Parses JSON. Returns undefined if the text isn't JSON or is nested too deeply. */
function parse(json: string): unknown {
  try {
    const value: unknown = JSON.parse(json);
    return json.length > DEEPEST && isTooDeep(value) ? undefined : value;
  } catch {
    return undefined; // never the value of valid JSON
  }
}

/** The type of an event that preserves a line unchanged. */
const UNKNOWN = 'unknown';
