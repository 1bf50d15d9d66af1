import type { Chance } from './chance.ts';

/*
 * Values for the public API, from documented ones to ones that no TypeScript would accept: an event
 * with some of its parts replaced, left out or added.
 */

const CALL = { toolCallId: 'c', toolName: 't' };

/** An event of each type as documented, with a fresh copy of everything in it. */
const documented: readonly ((text: string) => object)[] = [
  (text) => ({ type: 'message', message: { role: 'user', content: text } }),
  (text) => ({ type: 'message', message: { role: 'user', content: [{ type: 'text', text }] } }),
  (text) => ({
    type: 'message',
    message: { role: 'user', content: [{ type: 'file', mediaType: 'a/b', data: text, filename: text }] },
  }),
  (text) => ({
    type: 'message',
    model: text,
    partial: true,
    message: {
      role: 'assistant',
      content: [
        { type: 'reasoning', text },
        { type: 'tool-call', ...CALL, input: { path: text, list: [1, null] } },
      ],
    },
  }),
  (text) => ({
    type: 'message',
    message: { role: 'tool', content: [{ type: 'tool-result', ...CALL, output: { type: 'text', value: text } }] },
  }),
  () => ({ type: 'usage', model: 'demo/echo', usage: { inputTokens: 3, outputTokens: null, cost: 0.25 } }),
  (text) => ({ type: 'model', model: text }),
  (text) => ({ type: 'name', name: text }),
  () => ({ type: 'pin', pinned: true }),
  () => ({ type: 'archive', archived: false }),
  (text) => ({ type: 'tags', tags: ['a', text] }),
  (text) => ({ type: 'status', status: 'running', reason: text }),
  (text) => ({ type: 'error', code: 'FAILED', message: text }),
  () => ({ type: 'tool-start', ...CALL }),
  () => ({ type: 'tool-end', ...CALL, outcome: 'failed', bytes: 7 }),
  (text) => ({ type: 'approval-asked', toolCallId: 'c', rule: 'write', about: text }),
  () => ({ type: 'approval-answered', toolCallId: 'c', rule: 'write', answer: 'once', by: 'person' }),
  (text) => ({ type: 'permission', rule: text, decision: 'allow', directory: '/', unsandboxed: true }),
  () => ({ type: 'context-warning', tokens: 5, window: 7 }),
  (text) => ({ type: 'compaction', summary: text, through: 2, model: 'demo/echo' }),
  () => ({ type: 'rewind', to: 3 }),
  () => ({ type: 'project', project: { first: 'a', remote: 'b', path: 'c' } }),
  (text) => ({ type: 'move', directory: text, branch: text }),
  (text) => ({ type: 'instructions', source: 'agents', text, path: text, offered: true }),
  (text) => ({ type: 'child', uuid: text, reason: text }),
];

const TEXTS: readonly string[] = [
  '',
  'x',
  'ü🦊',
  '\ud800',
  '\u0000\u001b[2J',
  '__proto__',
  'unknown',
  '"\\\n',
  'x'.repeat(5000),
];

/**
 * Replacements for a part. Each is created on every call, so that nothing is shared by accident.
 */
const odd: readonly ((chance: Chance) => unknown)[] = [
  () => undefined,
  () => null,
  () => -1,
  () => 1.5,
  () => -0,
  () => Number.NaN,
  () => Number.POSITIVE_INFINITY,
  () => 2 ** 53,
  () => 9e15,
  () => 10n,
  () => Symbol('odd'),
  () => () => 1,
  () => new Date(0),
  () => new Map([[1, 2]]),
  () => new Uint8Array(3),
  () => Buffer.from('x'),
  () => new (class Odd {})(),
  () => Object.create({ type: 'pin' }),
  () => JSON.parse('{"__proto__":{"type":"pin"},"constructor":1}'),
  () => ({ toJSON: () => 1 }),
  () => [undefined],
  () => Array(2),
  () => ({}),
  () => [],
  () => true,
  (chance) => TEXTS[chance.below(TEXTS.length)],
  (chance) => nested(chance.below(2500)),
  cyclic,
  () => new Proxy({}, {}),
  () => ({
    get changing() {
      return Math.random();
    },
  }),
];

/** Makes a value for a call, documented or not. */
export function valueFor(chance: Chance): unknown {
  if (chance.percent(3)) return chance.of(odd)?.(chance);
  const event = chance.of(documented)?.(chance.of(TEXTS) ?? '') as Record<string, unknown>;
  for (let change = chance.below(3); change > 0; change--) {
    const places = placesOf(event);
    const { within, name } = chance.of(places) ?? { within: event, name: 'type' };
    const how = chance.below(4);
    if (how === 0) Reflect.deleteProperty(within, name);
    else put(within, how === 1 ? `more${chance.below(3)}` : name, chance.of(odd)?.(chance));
  }
  if (chance.percent(5))
    Object.assign(event, { id: chance.of([0, 1, -1, 2 ** 53, 'x']), ts: chance.of([0, -1, 9e15, null]) });
  return event;
}

/** Changes something in a value that was passed before. */
export function meddle(value: unknown, chance: Chance): void {
  const { within, name } = chance.of(placesOf(value)) ?? {};
  if (within !== undefined && name !== undefined) put(within, name, 'changed afterwards');
}

/** Sets a property. A change that an odd value does not allow is skipped. */
function put(within: Record<string, unknown>, name: string, value: unknown): void {
  try {
    Reflect.set(within, name, value);
  } catch {
    // an array of numbers rejects a BigInt
  }
}

/** Returns the places in a value; does not descend into the results of getters. */
function placesOf(value: unknown, left = 6): { within: Record<string, unknown>; name: string }[] {
  if (typeof value !== 'object' || value === null || left === 0) return [];
  const within = value as Record<string, unknown>;
  return Object.entries(Object.getOwnPropertyDescriptors(within)).flatMap(([name, described]) =>
    described.get || !described.writable || (Array.isArray(value) && name === 'length')
      ? []
      : [{ within, name }, ...placesOf(described.value, left - 1)],
  );
}

function nested(depth: number): unknown {
  let value: unknown = 'deep';
  for (let level = 0; level < depth; level++) value = level % 2 === 0 ? [value] : { value };
  return value;
}

function cyclic(): unknown {
  const cycle: Record<string, unknown> = { list: [] };
  cycle['list'] = [1, cycle];
  return cycle;
}
