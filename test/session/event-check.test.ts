import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Event } from '../../src/session/event.ts';
import { isPlainlyEvent } from '../../src/session/event-check.ts';
import { readLines } from '../../src/session/event-lines.ts';
import { decodeEvents, parseEvent } from '../../src/session/event-schema.ts';

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
  permission: { rule: text, decision: fc.constantFrom('allow', 'deny', 'revoke') },
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

/** Where in a value something is: every object and array in it, with the names of what it holds. */
function placesOf(value: unknown): { within: Record<string, unknown>; name: string }[] {
  if (typeof value !== 'object' || value === null) return [];
  const within = value as Record<string, unknown>;
  return Object.entries(within).flatMap(([name, inside]) => [{ within, name }, ...placesOf(inside)]);
}

/** An event with one thing wrong with it, or one thing more than the schema knows. */
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

/** What the schema makes of a line; undefined where it is no event. */
function bySchema(line: string): Event | undefined {
  try {
    return parseEvent(JSON.parse(line));
  } catch {
    return undefined; // which is the verdict
  }
}

describe('isPlainlyEvent', () => {
  it('knows every event that coffer writes', () => {
    fc.assert(
      fc.property(good, (event) => {
        const line = JSON.stringify(event);
        const isV4 = !('uuid' in event) || /^.{8}-.{4}-4...-[89ab]/.test(String(event.uuid)) || !('directory' in event);
        fc.pre(isV4 && !line.includes('__proto__'));
        expect(isPlainlyEvent(JSON.parse(line))).toBe(bySchema(line) !== undefined);
      }),
      { numRuns: 2000 },
    );
  });

  it('takes nothing for an event that the schema refuses, and nothing for another one than the schema makes of it', () => {
    let plain = 0;
    let refused = 0;
    fc.assert(
      fc.property(
        fc.oneof(
          changed,
          good.map((event) => JSON.stringify(event)),
        ),
        (line) => {
          const value: unknown = JSON.parse(line);
          const judged = bySchema(line);
          if (judged === undefined) refused++;
          if (!isPlainlyEvent(value)) return;
          plain++;
          expect(judged).toEqual(value);
          expect(JSON.parse(JSON.stringify(judged))).toEqual(JSON.parse(line));
        },
      ),
      { numRuns: 10_000 },
    );
    expect(plain).toBeGreaterThan(3000);
    expect(refused).toBeGreaterThan(1000);
  });

  it.each([
    [
      'a number beyond all',
      '{"id":1,"ts":1,"type":"usage","model":"m","usage":{"inputTokens":1,"outputTokens":1,"cost":1e999}}',
    ],
    ['an id beyond what is exact', '{"id":9007199254740992,"ts":1,"type":"pin","pinned":true}'],
    [
      'what cost less than nothing',
      '{"id":1,"ts":1,"type":"usage","model":"m","usage":{"inputTokens":1,"outputTokens":1,"cost":-1}}',
    ],
    [
      'a file of no name',
      '{"id":1,"ts":1,"type":"message","message":{"role":"user","content":[{"type":"file","mediaType":"","data":"","filename":1}]}}',
    ],
    ['a list', '[]'],
    ['a text', '"x"'],
    [
      'a UUID of no version',
      '{"id":1,"ts":1,"type":"begin","uuid":"00000000-0000-9000-8000-000000000000","directory":""}',
    ],
  ])('does not take %s for one', (_, line) => {
    expect(bySchema(line)).toBeUndefined();
    expect(isPlainlyEvent(JSON.parse(line))).toBe(false);
  });
});

describe('readLines', () => {
  it('asks the judge of what is not plainly an event, and of nothing else', () => {
    const asked: unknown[] = [];
    const judge = (value: unknown): Event => {
      asked.push(value);
      return parseEvent(value);
    };
    const odd = { id: 2, ts: 0, type: 'begin', uuid: 'ffffffff-ffff-ffff-ffff-ffffffffffff', directory: '/ä' };
    const lines = [{ id: 1, ts: 0, type: 'model', model: 'a/b' }, odd, { id: 3, ts: 0, type: 'hologram', beam: 'ü' }];
    const bytes = Buffer.from(lines.map((line) => JSON.stringify(line)).join('\n'));
    expect(readLines(bytes, judge)).toEqual(lines);
    expect(asked).toEqual([odd]);
  });

  it('reads each line in the same words, whatever stands beside it', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'grapheme' }), { minLength: 1 }), (texts) => {
        const line = (content: string): object => ({
          id: 1,
          ts: 0,
          type: 'message',
          message: { role: 'user', content },
        });
        const each = texts.map((content) => JSON.stringify(line(content.toWellFormed())));
        const alone = each.flatMap((one) => decodeEvents(Buffer.from(one)));
        expect(decodeEvents(Buffer.from(`${each.join('\n')}\n`))).toEqual(alone);
        expect(alone).toEqual(each.map((one) => JSON.parse(one)));
      }),
    );
  });

  it('believes no line that is no UTF-8, wherever it stands', () => {
    const line = (content: string): Buffer =>
      Buffer.from(`${JSON.stringify({ id: 1, ts: 0, type: 'error', code: 'x', message: content })}\n`);
    const bad = Buffer.from(line('?'));
    bad[bad.indexOf('?')] = 0xe4;
    for (const [at, lines] of [[bad], [line('ä'), bad, line('a')], [line('a'), line('b'), bad]].entries()) {
      expect(() => decodeEvents(Buffer.concat(lines))).toThrow(`event ${at + 1} `);
    }
  });
});
