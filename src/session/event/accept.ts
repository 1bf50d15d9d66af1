import { isCofferError } from '../../errors.ts';
import { type Fault, faultIn, faultInType } from './check.ts';
import { type Event, isObject, knownTypes, type NewEvent } from './event.ts';
import { copyJson } from './json.ts';
import { checkName, checkTagBytes } from './name.ts';

/*
 * Validates events before they are recorded: whatever is accepted here is later read back
 * unchanged. The session assigns each event its id and time.
 */

/**
 * Validates and copies the events of a step, so that later changes by the caller have no effect.
 * Drops any `id` and `ts` they carry. Throws TypeError naming the event (counted from 1) and the
 * field.
 */
export function acceptStep(events: readonly NewEvent[]): NewEvent[] {
  return events.map((event, index) => accepted(event, `event ${index + 1} of the step`));
}

/** Validates and copies a draft. Throws TypeError naming the field, or if it isn't a message. */
export function acceptDraft(draft: NewEvent): NewEvent {
  const event = accepted(draft, 'the draft');
  if (event.type !== 'message') throw new TypeError('the draft must be a message');
  return event;
}

/**
 * Validates and copies events that already have an id and a time. Events in `kept` are used as they
 * are. Throws TypeError naming the event and the field.
 */
export function acceptRecord(events: readonly Event[], kept: ReadonlySet<Event> = new Set()): Event[] {
  let last = 0;
  return events.map((event, index) => {
    const accepted = kept.has(event) ? event : (copied(event, `event ${index + 1}`, faultIn) as Event);
    if (accepted.id <= last) throw new TypeError(`event ${index + 1}: id must be above ${last}, the one before`);
    last = accepted.id;
    return accepted;
  });
}

function accepted(event: NewEvent, what: string): NewEvent {
  const { id: _, ts: __, ...copy } = copied(event, what, faultInType) as NewEvent & Partial<Event>;
  const type: string = copy.type;
  if (!Object.hasOwn(knownTypes, type)) throw new TypeError(`${what}: type is not a known event type`);
  if (type === 'begin') throw new TypeError(`${what}: begin is recorded only when a session begins`);
  if (copy.type === 'name') requireValid(`${what}: name`, () => checkName(copy.name));
  if (copy.type === 'tags') requireTags(copy.tags, what);
  return copy as NewEvent;
}

function copied(event: unknown, what: string, fault: (value: Record<string, unknown>) => Fault | undefined): unknown {
  const copy = named(what, () => copyJson(event));
  if (!isObject(copy)) throw new TypeError(`${what} must be an object`);
  const { field, must } = fault(copy) ?? {};
  if (field !== undefined) throw new TypeError(`${what}: ${field} must ${must}`);
  return copy;
}

function named<T>(what: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause;
    throw new TypeError(`${what}: ${cause.message}`, { cause });
  }
}

function requireTags(tags: readonly string[], what: string): void {
  for (const [index, tag] of tags.entries()) requireValid(`${what}: tags[${index}]`, () => checkName(tag));
  requireValid(what, () => checkTagBytes(tags));
}

function requireValid(what: string, check: () => void): void {
  try {
    check();
  } catch (cause) {
    if (!isCofferError(cause, 'NAME_INVALID')) throw cause;
    throw new TypeError(`${what}: ${cause.message}`, { cause });
  }
}
