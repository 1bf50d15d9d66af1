import { TextDecoder } from 'node:util';
import { z } from 'zod';
import { CofferError } from '../errors.ts';

/*
 * An event is one recorded fact of a session, and the events are the file: state is folded from them.
 * Messages carry the AI SDK's ModelMessage names. What a newer version wrote is kept as it came:
 * unknown fields stay on the objects, unknown types stay in their row.
 */

/** One part of a message's content, as the AI SDK's `ModelMessage` names it. */
export type Part =
  | { type: 'text'; text: string }
  | { type: 'reasoning'; text: string }
  | { type: 'file'; mediaType: string; data: string; filename?: string | undefined }
  | { type: 'tool-call'; toolCallId: string; toolName: string; input?: unknown }
  | { type: 'tool-result'; toolCallId: string; toolName: string; output?: unknown };

/** A message as the AI SDK's `ModelMessage` has it. */
export type Message =
  | { role: 'system'; content: string }
  | { role: 'user'; content: string | Extract<Part, { type: 'text' | 'file' }>[] }
  | { role: 'assistant'; content: string | Extract<Part, { type: 'text' | 'reasoning' | 'file' | 'tool-call' }>[] }
  | { role: 'tool'; content: Extract<Part, { type: 'tool-result' }>[] };

/** Tokens and cost (US dollars) of one request to a model; null is "not known", never 0. */
export interface Usage {
  inputTokens: number | null;
  outputTokens: number | null;
  cost: number | null;
}

/** How far a session has come. */
export type Status = 'running' | 'completed' | 'cancelled' | 'failed';

/** Where a session came from: the conversation or snapshot it goes on from. */
export interface Parent {
  uuid: string;
  id: string;
  reason: string;
}

/** What happened, without its place: the input of an append. Models are named `provider/model`. */
export type NewEvent =
  | { type: 'begin'; uuid: string; directory: string; branch?: string | undefined; parent?: Parent | undefined }
  /** `partial` marks a reply that was cut short; `model` is who wrote it. */
  | { type: 'message'; message: Message; model?: string | undefined; partial?: true | undefined }
  | { type: 'usage'; model: string; usage: Usage }
  | { type: 'model'; model: string }
  | { type: 'name'; name: string }
  | { type: 'status'; status: Status; reason?: string | undefined }
  | { type: 'error'; code: string; message: string };

/** An event's place: `id` rises by one within a session, across resumes; `ts` is milliseconds since 1970. */
export interface Place {
  id: number;
  ts: number;
}

/** An event of a type this version knows. */
export type KnownEvent = NewEvent & Place;

/** What a newer version recorded, kept as it came. */
export type UnknownEvent = Place & { type: string; [field: string]: unknown };

/** One recorded fact of a session. Tell the two apart with {@link isKnown}. */
export type Event = KnownEvent | UnknownEvent;

/** Tells whether an event is of a type this version knows. */
export function isKnown(event: Event): event is KnownEvent {
  return knownTypes.has(event.type);
}

/** Writes events as NDJSON, the form they are sealed in: one line each, each ended by a line feed. */
export function encodeEvents(events: readonly Event[]): Buffer {
  return Buffer.from(events.map((event) => `${JSON.stringify(event)}\n`).join(''));
}

/**
 * Reads NDJSON events back. Throws `UNAUTHENTIC` where a line is not an event: whatever was sealed
 * by us is one, so it can't be believed.
 */
export function decodeEvents(lines: Uint8Array): Event[] {
  const text = new TextDecoder('utf-8', { fatal: true });
  const events: Event[] = [];
  for (let start = 0, row = 1; start < lines.length; row++) {
    const found = lines.indexOf(10, start);
    const end = found === -1 ? lines.length : found;
    events.push(decodeEvent(text, lines.subarray(start, end), row));
    start = end + 1;
  }
  return events;
}

/**
 * Adds what was read to what was read before. An event whose id is not above the last one replaces that one and all
 * behind it: the part of a reply is saved under the id that the whole reply gets.
 */
export function mergeEvents(events: Event[], more: readonly Event[]): void {
  for (const event of more) {
    while (events.length > 0 && (events.at(-1)?.id ?? 0) >= event.id) events.pop();
    events.push(event);
  }
}

function decodeEvent(text: TextDecoder, line: Uint8Array, row: number): Event {
  try {
    const value = unknownEvent.parse(JSON.parse(text.decode(line)));
    return knownTypes.has(value.type) ? (knownEvent.parse(value) as KnownEvent) : value;
  } catch (cause) {
    throw new CofferError('UNAUTHENTIC', `event ${row} of the session is not one coffer writes`, { cause });
  }
}

const count = z.number().int().nonnegative();
const textPart = z.looseObject({ type: z.literal('text'), text: z.string() });
const reasoningPart = z.looseObject({ type: z.literal('reasoning'), text: z.string() });
const filePart = z.looseObject({
  type: z.literal('file'),
  mediaType: z.string(),
  data: z.string(),
  filename: z.string().optional(),
});
const toolCallPart = z.looseObject({
  type: z.literal('tool-call'),
  toolCallId: z.string(),
  toolName: z.string(),
  input: z.unknown(),
});
const toolResultPart = z.looseObject({
  type: z.literal('tool-result'),
  toolCallId: z.string(),
  toolName: z.string(),
  output: z.unknown(),
});

const message = z.discriminatedUnion('role', [
  z.looseObject({ role: z.literal('system'), content: z.string() }),
  z.looseObject({ role: z.literal('user'), content: z.union([z.string(), z.array(z.union([textPart, filePart]))]) }),
  z.looseObject({
    role: z.literal('assistant'),
    content: z.union([z.string(), z.array(z.union([textPart, reasoningPart, filePart, toolCallPart]))]),
  }),
  z.looseObject({ role: z.literal('tool'), content: z.array(toolResultPart) }),
]);

const usage = z.looseObject({
  inputTokens: count.nullable(),
  outputTokens: count.nullable(),
  cost: z.number().nonnegative().nullable(),
});

const parent = z.looseObject({ uuid: z.string(), id: z.string(), reason: z.string() });
const place = { id: z.number().int().positive(), ts: count };

const knownEvent = z.discriminatedUnion('type', [
  z.looseObject({
    ...place,
    type: z.literal('begin'),
    uuid: z.uuid(),
    directory: z.string(),
    branch: z.string().optional(),
    parent: parent.optional(),
  }),
  z.looseObject({
    ...place,
    type: z.literal('message'),
    message,
    model: z.string().optional(),
    partial: z.literal(true).optional(),
  }),
  z.looseObject({ ...place, type: z.literal('usage'), model: z.string(), usage }),
  z.looseObject({ ...place, type: z.literal('model'), model: z.string() }),
  z.looseObject({ ...place, type: z.literal('name'), name: z.string() }),
  z.looseObject({
    ...place,
    type: z.literal('status'),
    status: z.enum(['running', 'completed', 'cancelled', 'failed']),
    reason: z.string().optional(),
  }),
  z.looseObject({ ...place, type: z.literal('error'), code: z.string(), message: z.string() }),
]);

const unknownEvent = z.looseObject({ ...place, type: z.string() });
const knownTypes: ReadonlySet<string> = new Set(knownEvent.options.map((option) => option.shape.type.value));
