import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { faultIn } from '../../../src/session/event/check.ts';
import { isEvent } from '../../faults/fuzz-reference.ts';

const text = fc.oneof(fc.string({ maxLength: 5 }), fc.constantFrom('', 'text', 'user', '__proto__'));
const count = fc.oneof(fc.nat(), fc.constantFrom(0, -0, 2 ** 53 - 1));
const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined });
const call = { toolCallId: text, toolName: text };
const anything = fc.jsonValue({ maxDepth: 2 });

const textPart = fc.record({ type: fc.constant('text'), text });
const reasoning = fc.record({ type: fc.constant('reasoning'), text });
const file = fc.record({ type: fc.constant('file'), mediaType: text, data: text, filename: maybe(text) });
const toolCall = fc.record({ type: fc.constant('tool-call'), ...call, input: maybe(anything) });
const toolResult = fc.record({ type: fc.constant('tool-result'), ...call, output: maybe(anything) });

const message = fc.oneof(
  fc.record({ role: fc.constant('system'), content: text }),
  fc.record({ role: fc.constant('user'), content: fc.oneof(text, fc.array(fc.oneof(textPart, file))) }),
  fc.record({
    role: fc.constant('assistant'),
    content: fc.oneof(text, fc.array(fc.oneof(textPart, reasoning, file, toolCall))),
  }),
  fc.record({ role: fc.constant('tool'), content: fc.array(toolResult) }),
);
const usage = fc.record({
  inputTokens: fc.option(count),
  outputTokens: fc.option(count),
  cost: fc.option(fc.oneof(count, fc.double({ min: 0, noDefaultInfinity: true, noNaN: true }))),
});
const project = fc.record({ first: maybe(text), remote: maybe(text), path: text });
const parent = fc.record({ uuid: text, id: text, reason: text });
const uuid = fc.oneof(fc.uuid({ version: 4 }), fc.uuid(), text);

const fields = {
  begin: {
    uuid,
    directory: text,
    branch: maybe(text),
    worktree: maybe(text),
    project: maybe(project),
    parent: maybe(parent),
  },
  message: { message, model: maybe(text), partial: maybe(fc.constant(true)) },
  usage: { model: text, usage },
  model: { model: text },
  name: { name: text },
  pin: { pinned: fc.boolean() },
  archive: { archived: fc.boolean() },
  tags: { tags: fc.array(text) },
  status: { status: fc.constantFrom('running', 'completed', 'cancelled', 'failed'), reason: maybe(text) },
  error: { code: text, message: text },
  'tool-start': call,
  'tool-end': { ...call, outcome: fc.constantFrom('completed', 'failed', 'denied', 'cancelled'), bytes: count },
  'approval-asked': { toolCallId: text, rule: text, about: text },
  'approval-answered': {
    toolCallId: text,
    rule: text,
    answer: fc.constantFrom('once', 'session', 'deny', 'always'),
    by: fc.constantFrom('person', 'rule', 'nobody'),
  },
  permission: {
    rule: text,
    decision: fc.constantFrom('allow', 'deny', 'revoke'),
    directory: maybe(text),
    unsandboxed: maybe(fc.constant(true)),
  },
  'context-warning': { tokens: count, window: count },
  compaction: { summary: text, through: count, model: text },
  rewind: { to: count },
  project: { project },
  child: { uuid: text, reason: text },
  hologram: { beam: anything },
  constructor: { beam: anything },
} satisfies Record<string, Record<string, fc.Arbitrary<unknown>>>;

const good: fc.Arbitrary<object> = fc.oneof(
  ...Object.entries(fields).map(([type, own]: [string, Record<string, fc.Arbitrary<unknown>>]) =>
    fc.record({ id: fc.integer({ min: 1 }), ts: count, type: fc.constant(type), ...own }),
  ),
);

/**
 * Lists every field and element in a value, however deep, with the object or array that holds it.
 */
function placesOf(value: unknown): { within: Record<string, unknown>; name: string }[] {
  if (typeof value !== 'object' || value === null) return [];
  const within = value as Record<string, unknown>;
  return Object.entries(within).flatMap(([name, inside]) => [{ within, name }, ...placesOf(inside)]);
}

/** An event with one field changed, dropped or added. */
const changed = fc
  .tuple(
    good,
    fc.nat(),
    fc.constantFrom('put', 'drop', 'add', 'proto'),
    fc.oneof(anything, fc.constantFrom(...strange())),
  )
  .map(([event, at, how, other]) => {
    const copy = JSON.parse(JSON.stringify(event));
    const places = placesOf(copy);
    const place = places[at % places.length];
    if (place === undefined) return JSON.stringify(copy);
    if (how === 'put') place.within[place.name] = other;
    if (how === 'drop') delete place.within[place.name];
    if (how === 'add') place.within['later'] = other;
    const line = JSON.stringify(copy);
    return how === 'proto' ? line.replace('{', '{"__proto__":{"role":"user","content":""},') : line;
  });

function strange(): unknown[] {
  return [null, '', 0, -1, 1.5, 2 ** 53, [], [[]], {}, true, 'text', 'user', [{ type: 'text', text: 'x' }], [null]];
}

describe('faultIn', () => {
  it('accepts exactly the events that docs/format.md defines', () => {
    let right = 0;
    let wrong = 0;
    fc.assert(
      fc.property(
        fc.oneof(
          changed,
          good.map((event) => JSON.stringify(event)),
        ),
        (line) => {
          const value: unknown = JSON.parse(line);
          const fault = faultIn(value);
          expect(fault === undefined, JSON.stringify(fault)).toBe(isEvent(value));
          if (fault === undefined) right++;
          else wrong++;
        },
      ),
      { numRuns: 10_000 },
    );
    expect(right).toBeGreaterThan(3000);
    expect(wrong).toBeGreaterThan(1000);
  });

  const place = { id: 1, ts: 1 };
  const said = (role: string, content: unknown): object => ({ ...place, type: 'message', message: { role, content } });
  const used = (usage: object): object => ({
    ...place,
    type: 'usage',
    model: 'm',
    usage: { inputTokens: 1, outputTokens: null, cost: null, ...usage },
  });
  it.each<[unknown, string, string]>([
    [[], '', 'be an object'],
    ['x', '', 'be an object'],
    [{ ts: 1, type: 'pin', pinned: true }, 'id', 'be a whole number from 1 to 2^52'],
    [{ id: 2 ** 53, ts: 1, type: 'pin', pinned: true }, 'id', 'be a whole number from 1 to 2^52'],
    [{ id: 1, ts: 8.64e15 + 1, type: 'pin', pinned: true }, 'ts', 'be a time in whole milliseconds since 1970'],
    [{ ...place }, 'type', 'be a string'],
    [{ ...place, type: 'pin', pinned: 1 }, 'pinned', 'be true or false'],
    [used({ inputTokens: 1.5 }), 'usage.inputTokens', 'be a whole number of at least 0, or null'],
    [used({ cost: -1 }), 'usage.cost', 'be a number of at least 0, or null'],
    [used({ cost: Number.POSITIVE_INFINITY }), 'usage.cost', 'be a number of at least 0, or null'],
    [said('developer', ''), 'message.role', 'be "system" or "user" or "assistant" or "tool"'],
    [said('user', 1), 'message.content', 'be a string or an array'],
    [said('user', [{ type: 'text', text: 'x' }, null]), 'message.content[1]', 'be an object'],
    [said('user', [{ type: 'file', mediaType: '', data: {} }]), 'message.content[0].data', 'be a string'],
    [said('tool', [{ type: 'tool-result', toolName: 't' }]), 'message.content[0].toolCallId', 'be a string'],
    [{ ...place, type: 'rewind', to: -1 }, 'to', 'be a whole number of at least 0'],
    [{ ...place, type: 'tags', tags: ['a', 1] }, 'tags[1]', 'be a string'],
  ])('names the field of %j: %s', (event, field, must) => {
    expect(faultIn(event)).toEqual({ field, must });
  });
});
