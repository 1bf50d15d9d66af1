import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import type { NewEvent } from '../../../src/session/event/event.ts';
import { begin, home, reply, texts, user } from '../../support/vault.ts';

const said = (content: unknown, role = 'user'): unknown => ({ type: 'message', message: { role, content } });
const output = (value: unknown): unknown =>
  said([{ type: 'tool-result', toolCallId: 'c', toolName: 't', output: value }], 'tool');
const used = (usage: object): unknown => ({
  type: 'usage',
  model: 'm',
  usage: { inputTokens: 1, outputTokens: 1, cost: null, ...usage },
});
const cycle: unknown[] = [];
cycle.push({ cycle });
let wide: unknown = 0;
for (let level = 0; level < 4; level++) wide = Array(1000).fill(wide);
let deep: unknown = 0;
for (let level = 0; level < 20_000; level++) deep = [deep];

const refused: [string, unknown, string][] = [
  ['undefined', undefined, 'event 1 of the step: the event is undefined'],
  ['an array', [], 'event 1 of the step must be an object'],
  ['an image part', said([{ type: 'image', image: 'x' }]), 'message.content[0].type must be "text" or "file"'],
  [
    'bytes in a file part',
    said([{ type: 'file', mediaType: '', data: new Uint8Array(3) }]),
    'message.content[0].data is a Uint8Array, not a plain object',
  ],
  [
    'a part that asks for an approval',
    said([{ type: 'tool-approval-request', approvalId: 'a', toolCallId: 'c' }], 'assistant'),
    'message.content[0].type must be',
  ],
  ['the role developer', said('x', 'developer'), 'message.role must be'],
  ['a negative cost', used({ cost: -1 }), 'usage.cost must be a number of at least 0, or null'],
  [
    'a fractional token count',
    used({ inputTokens: 1.5 }),
    'usage.inputTokens must be a whole number of at least 0, or null',
  ],
  [
    'a negative token count',
    used({ outputTokens: -1 }),
    'usage.outputTokens must be a whole number of at least 0, or null',
  ],
  ['NaN', used({ cost: Number.NaN }), "usage.cost is NaN, which JSON can't represent"],
  ['a BigInt', output({ n: [1n] }), "message.content[0].output.n[0] is a bigint, which JSON can't represent"],
  ['a cycle', output(cycle), 'message.content[0].output[0].cycle refers to an object that contains it'],
  ['shared references that expand to too many values', output(wide), 'is too large: an event can have at most'],
  ['a value nested too deeply', output(deep), 'is nested deeper than 1000 levels'],
  [
    'text too long for a line',
    output('\u0001'.repeat(90 * 1024 * 1024)),
    'is too large: an event can have at most 256 MiB',
  ],
  [
    'text too long for a segment',
    output('\u4e00'.repeat(90 * 1024 * 1024)),
    'is too large: an event can have at most 256 MiB',
  ],
  ['a Date', output(new Date()), 'output is a Date, not a plain object'],
  ['a Map', output(new Map()), 'output is a Map, not a plain object'],
  ['a function', output({ toJSON: () => 1 }), 'output.toJSON is a function'],
  ['undefined in an array', output([undefined]), 'output[0] is undefined'],
  ['a symbol', output(Symbol('x')), 'output is a symbol'],
  ['a long name', { type: 'name', name: 'x'.repeat(20_000) }, 'name: a name can have at most 100 characters'],
  [
    'a name with control characters',
    { type: 'name', name: 'a\u001b[2J' },
    "name: a name can't contain control characters",
  ],
  ['too many tags', { type: 'tags', tags: Array(2000).fill('tag') }, 'tags must have at most 2800 bytes'],
  ['a blank tag', { type: 'tags', tags: ['a', ' '] }, 'tags[1]: a name needs at least one character'],
  ['a rewind to before the beginning', { type: 'rewind', to: -1 }, 'to must be a whole number of at least 0'],
  ['an unknown type', { type: 'hologram' }, 'type is not a known event type'],
  ['the name of a method', { type: 'constructor' }, 'type is not a known event type'],
  ['a second beginning', { type: 'begin', uuid: 'u', directory: '/' }, 'begin is recorded only when a session begins'],
];

describe('append', () => {
  it.each(refused)('rejects %s, naming the field, and records nothing', async (_, event, message) => {
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('one'));
    const before = [...session.events];
    const append = session.append(reply('two'), event as NewEvent);
    await expect(append).rejects.toThrow(TypeError);
    await expect(append).rejects.toThrow(message.startsWith('event 1') ? message.replace('1', '2') : message);
    expect(session.events).toEqual(before);
    expect(session.unsaved).toBeUndefined();
    await session.append(reply('three'));
    expect((await sessions.read(await sessions.find('1'))).events).toEqual(session.events);
  });

  it('copies events: later changes by the caller reach neither memory nor the file', async () => {
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    const part = { type: 'text' as const, text: 'as it was' };
    const event: NewEvent = { type: 'message', message: { role: 'user', content: [part] } };
    await session.append(event);
    part.text = 'changed';
    await session.append(reply('two'));
    expect(texts(session)).toEqual([[{ type: 'text', text: 'as it was' }], 'two']);
    expect((await sessions.read(await sessions.find('1'))).events).toEqual(session.events);
  });

  it('assigns ids and times of this session to events of another', async () => {
    const at = home();
    await using sessions = await at.open();
    const other = begin(sessions);
    await other.append(user('theirs'), reply('too'));
    const session = begin(sessions);
    await session.append(user('ours'));
    await session.append(...(other.events.filter(({ type }) => type === 'message') as NewEvent[]));
    expect(texts(await sessions.read(await sessions.find(session.uuid)))).toEqual(['ours', 'theirs', 'too']);
    const ids = session.events.map(({ id }) => id);
    expect(ids).toEqual(ids.map((_, index) => index + 1));
  });

  it('ignores the id and time that an event carries', async () => {
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    const before = Date.now();
    const stamped = { ...user('one'), id: 99, ts: 5 };
    await session.append(stamped);
    expect(session.events.at(-1)?.id).toBe(session.events.length);
    expect(session.events.at(-1)?.ts).toBeGreaterThanOrEqual(before);
  });

  it('accepts every form of plain JSON and reads it back', async () => {
    const values = [
      { ['__proto__']: 1, toString: 'x', constructor: null },
      runInNewContext('({ list: [1, { a: null }] })'),
      Object.assign(Object.create(null), { bare: true }),
      [-0, 5e-324, 1e308, '', '\ud800', '\u0000', { missing: undefined }],
      JSON.parse('['.repeat(900) + ']'.repeat(900)),
    ];
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    for (const value of values) await session.append(output(value) as NewEvent);
    const { events } = await sessions.read(await sessions.find('1'));
    expect(events).toEqual(session.events);
    expect(JSON.parse(JSON.stringify(events.slice(-values.length).map((event) => outputOf(event))))).toEqual(
      JSON.parse(JSON.stringify(values)),
    );
  });
});

describe('a draft', () => {
  it('is validated when it is set', async () => {
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    expect(() => {
      session.draft = { type: 'pin', pinned: true };
    }).toThrow('the draft must be a message');
    expect(() => {
      session.draft = said([{ type: 'image' }]) as NewEvent;
    }).toThrow('the draft: message.content[0].type must be');
    expect(session.draft).toBeUndefined();
  });

  it('is copied: later changes by the caller are not saved', async () => {
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('one'));
    const part = { type: 'text' as const, text: 'as it was' };
    session.draft = { type: 'message', message: { role: 'assistant', content: [part] }, partial: true };
    part.text = 'changed';
    await session.saveDraft();
    expect(texts(await sessions.read(await sessions.find('1')))).toEqual([
      'one',
      [{ type: 'text', text: 'as it was' }],
    ]);
  });
});

describe('begin', () => {
  it.each<[string, object, string]>([
    ['an invalid model', { model: 1 }, 'model must be a string'],
    ['an invalid project', { project: { path: 1 } }, 'project.path must be a string'],
    [
      'an invalid decision',
      { permissions: [{ rule: 'x', decision: 'always', directory: '/', unsandboxed: false }] },
      'decision must be',
    ],
    ['bytes for a branch', { branch: Buffer.from('x') }, 'branch is a Buffer, not a plain object'],
  ])('rejects %s', async (_, wrong, message) => {
    await using sessions = await home().open();
    const beginning = { directory: '/', model: 'demo/echo', ...wrong };
    expect(() => sessions.begin(beginning as never)).toThrow(message);
  });
});

describe('rewrite', () => {
  it('copies new events', async () => {
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('one'));
    const part = { type: 'text' as const, text: 'as it was' };
    const message = { role: 'user' as const, content: [part] };
    await session.rewrite([...session.events, { id: 99, ts: 1, type: 'message', message }]);
    part.text = 'changed';
    expect(texts(session)).toEqual(['one', [{ type: 'text', text: 'as it was' }]]);
    expect((await sessions.read(await sessions.find('1'))).events).toEqual(session.events);
  });

  it('rejects events that could not be read back, and leaves the session unchanged', async () => {
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('one'));
    const before = session.events;
    const wrong = { id: 99, ts: 1, ...(said('x', 'king') as NewEvent) };
    await expect(session.rewrite([...before, wrong])).rejects.toThrow('message.role must be');
    await expect(session.rewrite([...before, ...before])).rejects.toThrow('id must be above');
    expect(session.events).toEqual(before);
    await session.append(reply('two'));
    expect((await sessions.read(await sessions.find('1'))).events).toEqual(session.events);
  });
});

function outputOf(event: unknown): unknown {
  const { message } = event as { message: { content: { output: unknown }[] } };
  return message.content[0]?.output;
}
