import { type Approval, isObject, type NewEvent, type Status } from './event.ts';

/*
 * The event schema. Written by hand because listing or resuming sessions would spend more time
 * loading zod than reading all of their events. Fields not named here may hold anything: a newer
 * version may have written them.
 */

/** A validation error. */
export interface Fault {
  /** Path of the invalid field (`message.content[0].text`); '' for the value itself. */
  readonly field: string;
  /** The requirement it violates, to follow "must": `be a string`. */
  readonly must: string;
}

/** Latest time a Date can represent (ECMA-262), in milliseconds since 1970. */
const LAST_TIME = 8_640_000_000_000_000;

/**
 * Validates a value parsed from JSON as an event. Returns the first fault, or undefined if it is
 * valid. An event of an unknown type needs only an id, a time and a type.
 */
export function faultIn(value: unknown): Fault | undefined {
  return placed(value) ?? faultInType(value as Fields);
}

/** Like {@link faultIn}, but ignores the id and time, which may be missing or invalid. */
export function faultInType(value: Fields): Fault | undefined {
  const type = value['type'];
  if (typeof type !== 'string') return at('type', TEXT);
  return Object.hasOwn(types, type) ? types[type as NewEvent['type']](value) : undefined;
}

/** Largest id. Leaves room for further ids that a double still represents exactly. */
const LAST_ID = 2 ** 52;

/** Tells whether a value is a valid event id: a whole number from 1 to 2^52. */
export function isEventId(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0 && (value as number) <= LAST_ID;
}

/**
 * Tells whether a value is a valid event time: whole milliseconds since 1970 that a Date can hold.
 */
export function isEventTime(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= LAST_TIME;
}

/** The fields of a JSON object. */
export type Fields = Readonly<Record<string, unknown>>;

type Check = (value: unknown) => Fault | undefined;

const TEXT: Fault = { field: '', must: 'be a string' };
const OBJECT: Fault = { field: '', must: 'be an object' };
const LIST: Fault = { field: '', must: 'be an array' };
const COUNT: Fault = { field: '', must: 'be a whole number of at least 0' };
const AMOUNT: Fault = { field: '', must: 'be a number of at least 0' };
const FLAG: Fault = { field: '', must: 'be true or false' };

const text: Check = (value) => (typeof value === 'string' ? undefined : TEXT);
const count: Check = (value) => (Number.isSafeInteger(value) && (value as number) >= 0 ? undefined : COUNT);
const amount: Check = (value) => (Number.isFinite(value) && (value as number) >= 0 ? undefined : AMOUNT);
const flag: Check = (value) => (typeof value === 'boolean' ? undefined : FLAG);

function optional(check: Check): Check {
  return (value) => (value === undefined ? undefined : check(value));
}

function orNull(check: Check): Check {
  return (value) =>
    value === null ? undefined : check(value) && { field: '', must: `${check(value)?.must}, or null` };
}

function oneOf(...words: readonly unknown[]): Check {
  const fault = { field: '', must: `be ${words.map((word) => JSON.stringify(word)).join(' or ')}` };
  return (value) => (words.includes(value) ? undefined : fault);
}

function list(check: Check): Check {
  return (value) => {
    if (!Array.isArray(value)) return LIST;
    for (let index = 0; index < value.length; index++) {
      const fault = check(value[index]);
      if (fault !== undefined) return at(`[${index}]`, fault);
    }
    return undefined;
  };
}

function object(checks: Readonly<Record<string, Check>>): Check {
  const fields = Object.entries(checks);
  return (value) => {
    if (!isObject(value)) return OBJECT;
    for (const [name, check] of fields) {
      const fault = check(value[name]);
      if (fault !== undefined) return at(name, fault);
    }
    return undefined;
  };
}

/** Checks objects of a union that is discriminated by `field`. */
function variants(field: string, checks: Readonly<Record<string, Check>>): Check {
  const word = oneOf(...Object.keys(checks));
  return (value) => {
    if (!isObject(value)) return OBJECT;
    const fault = word(value[field]);
    return fault === undefined ? checks[value[field] as string]?.(value) : at(field, fault);
  };
}

function textOr(check: Check): Check {
  return (value) => {
    if (typeof value === 'string') return undefined;
    const fault = check(value);
    return fault === LIST ? { field: '', must: 'be a string or an array' } : fault;
  };
}

function at(field: string, fault: Fault): Fault {
  const dot = fault.field === '' || fault.field.startsWith('[') ? '' : '.';
  return { field: `${field}${dot}${fault.field}`, must: fault.must };
}

const placed: Check = (value) => {
  if (!isObject(value)) return OBJECT;
  if (!isEventId(value['id'])) return { field: 'id', must: 'be a whole number from 1 to 2^52' };
  return isEventTime(value['ts']) ? undefined : { field: 'ts', must: 'be a time in whole milliseconds since 1970' };
};

const call = { toolCallId: text, toolName: text };

const parts = {
  text: object({ text }),
  reasoning: object({ text }),
  file: object({ mediaType: text, data: text, filename: optional(text) }),
  'tool-call': object(call),
  'tool-result': object(call),
};
const { 'tool-call': toolCall, 'tool-result': toolResult, reasoning, ...said } = parts;

const message = variants('role', {
  system: object({ content: text }),
  user: object({ content: textOr(list(variants('type', said))) }),
  assistant: object({ content: textOr(list(variants('type', { ...said, reasoning, 'tool-call': toolCall }))) }),
  tool: object({ content: list(variants('type', { 'tool-result': toolResult })) }),
});

const project = object({ first: optional(text), remote: optional(text), path: text });

const place = { directory: text, branch: optional(text), worktree: optional(text), project: optional(project) };

const statuses: readonly Status[] = ['running', 'completed', 'cancelled', 'failed'];
const approvals: readonly Approval[] = ['once', 'session', 'deny', 'always'];

const types: Readonly<Record<NewEvent['type'], Check>> = {
  begin: object({
    uuid: text,
    ...place,
    parent: optional(object({ uuid: text, id: text, reason: text })),
  }),
  message: object({ message, model: optional(text), partial: optional(oneOf(true)) }),
  usage: object({
    model: text,
    usage: object({
      inputTokens: orNull(count),
      cachedTokens: optional(count),
      outputTokens: orNull(count),
      cost: orNull(amount),
    }),
  }),
  model: object({ model: text }),
  instructions: object({
    source: oneOf('system', 'agents'),
    text,
    path: optional(text),
    offered: optional(oneOf(true)),
  }),
  name: object({ name: text }),
  pin: object({ pinned: flag }),
  archive: object({ archived: flag }),
  tags: object({ tags: list(text) }),
  status: object({ status: oneOf(...statuses), reason: optional(text) }),
  error: object({ code: text, message: text }),
  'tool-start': object(call),
  'tool-end': object({ ...call, outcome: oneOf('completed', 'failed', 'denied', 'cancelled'), bytes: count }),
  'approval-asked': object({ toolCallId: text, rule: text, about: text }),
  'approval-answered': object({
    toolCallId: text,
    rule: text,
    answer: oneOf(...approvals),
    by: oneOf('person', 'rule', 'nobody'),
  }),
  permission: object({
    rule: text,
    decision: oneOf('allow', 'deny', 'revoke'),
    directory: optional(text),
    unsandboxed: optional(oneOf(true)),
  }),
  'context-warning': object({ tokens: count, window: count }),
  compaction: object({ summary: text, through: count, model: text }),
  rewind: object({ to: count }),
  move: object(place),
  project: object({ project }),
  child: object({ uuid: text, reason: text }),
};
