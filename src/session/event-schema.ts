import { z } from 'zod';
import { type Event, isKnown, type KnownEvent } from './event.ts';
import { readLines } from './event-lines.ts';

/**
 * Reads NDJSON events back. Throws `UNAUTHENTIC` where a line is not an event: whatever was sealed
 * by us is one, so it can't be believed. Its cause says what the schema has against it.
 */
export function decodeEvents(lines: Uint8Array): Event[] {
  return readLines(lines, parseEvent);
}

/** Takes what JSON gave for an event: the schema is what says so. Throws what zod throws. */
export function parseEvent(value: unknown): Event {
  const event = unknownEvent.parse(value);
  return isKnown(event) ? (knownEvent.parse(event) as KnownEvent) : event;
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
  input: z.unknown().optional(),
});
const toolResultPart = z.looseObject({
  type: z.literal('tool-result'),
  toolCallId: z.string(),
  toolName: z.string(),
  output: z.unknown().optional(),
});

const toolCall = { toolCallId: z.string(), toolName: z.string() };

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

const project = z.looseObject({ first: z.string().optional(), remote: z.string().optional(), path: z.string() });
const parent = z.looseObject({ uuid: z.string(), id: z.string(), reason: z.string() });
const place = { id: z.number().int().positive(), ts: count };

const knownEvent = z.discriminatedUnion('type', [
  z.looseObject({
    ...place,
    type: z.literal('begin'),
    uuid: z.uuid(),
    directory: z.string(),
    branch: z.string().optional(),
    worktree: z.string().optional(),
    project: project.optional(),
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
  z.looseObject({ ...place, type: z.literal('pin'), pinned: z.boolean() }),
  z.looseObject({ ...place, type: z.literal('archive'), archived: z.boolean() }),
  z.looseObject({ ...place, type: z.literal('tags'), tags: z.array(z.string()) }),
  z.looseObject({
    ...place,
    type: z.literal('status'),
    status: z.enum(['running', 'completed', 'cancelled', 'failed']),
    reason: z.string().optional(),
  }),
  z.looseObject({ ...place, type: z.literal('error'), code: z.string(), message: z.string() }),
  z.looseObject({ ...place, type: z.literal('tool-start'), ...toolCall }),
  z.looseObject({
    ...place,
    type: z.literal('tool-end'),
    ...toolCall,
    outcome: z.enum(['completed', 'failed', 'denied', 'cancelled']),
    bytes: count,
  }),
  z.looseObject({
    ...place,
    type: z.literal('approval-asked'),
    toolCallId: z.string(),
    rule: z.string(),
    about: z.string(),
  }),
  z.looseObject({
    ...place,
    type: z.literal('approval-answered'),
    toolCallId: z.string(),
    rule: z.string(),
    answer: z.enum(['once', 'session', 'deny', 'always']),
    by: z.enum(['person', 'rule', 'nobody']),
  }),
  z.looseObject({
    ...place,
    type: z.literal('permission'),
    rule: z.string(),
    decision: z.enum(['allow', 'deny', 'revoke']),
  }),
  z.looseObject({ ...place, type: z.literal('context-warning'), tokens: count, window: count }),
  z.looseObject({
    ...place,
    type: z.literal('compaction'),
    summary: z.string(),
    through: count,
    model: z.string(),
  }),
  z.looseObject({ ...place, type: z.literal('rewind'), to: count }),
  z.looseObject({ ...place, type: z.literal('project'), project }),
  z.looseObject({ ...place, type: z.literal('child'), uuid: z.string(), reason: z.string() }),
]);

const unknownEvent = z.looseObject({ ...place, type: z.string() });
