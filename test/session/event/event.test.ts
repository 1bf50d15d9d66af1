import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Event, encodeEvents, isKnown, MergedEvents, NO_ID, NO_TIME } from '../../../src/session/event/event.ts';
import { readLines } from '../../../src/session/event/lines.ts';
import { emptyState, fold } from '../../../src/session/state.ts';

const begin = { id: 1, ts: 5, type: 'begin', uuid: '00000000-0000-4000-8000-000000000000', directory: '/x' };

describe('readLines', () => {
  it('decodes what was encoded, whatever the text', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary' })), (contents) => {
        const events: Event[] = contents.map((content, index) => ({
          id: index + 1,
          ts: 0,
          type: 'message',
          message: { role: 'user', content: content.toWellFormed() },
        }));
        expect(readLines(encodeEvents(events))).toEqual(events);
      }),
    );
  });

  it('preserves fields and types of a newer version', () => {
    const newer = { ...begin, future: { a: [1] } };
    const unknown = { id: 2, ts: 6, type: 'hologram', beam: 3 };
    const events = readLines(Buffer.from(`${JSON.stringify(newer)}\n${JSON.stringify(unknown)}\n`));
    expect(events).toEqual([newer, unknown]);
    expect(events.map(isKnown)).toEqual([true, false]);
    expect(isKnown({ ...unknown, type: 'constructor' })).toBe(false);
    expect(readLines(encodeEvents(events))).toEqual(events);
  });

  it('reads a tool call without input and a result without output: JSON omits undefined', () => {
    const call = { type: 'tool-call', toolCallId: 'c', toolName: 'now', input: undefined } as const;
    const result = { type: 'tool-result', toolCallId: 'c', toolName: 'now', output: undefined } as const;
    const events: Event[] = [
      { id: 1, ts: 1, type: 'message', message: { role: 'assistant', content: [call] } },
      { id: 2, ts: 1, type: 'message', message: { role: 'tool', content: [result] } },
    ];
    expect(readLines(encodeEvents(events))).toEqual(events);
  });

  const deep = '['.repeat(1001) + ']'.repeat(1001);
  it.each([
    ['invalid JSON', '{', NO_ID, NO_TIME],
    ['a number', '7', NO_ID, NO_TIME],
    ['an empty line', '', NO_ID, NO_TIME],
    ['a known type with an invalid field', '{"id":7,"ts":8,"type":"name","name":3}', 7, 8],
    ['a message with an unknown role', '{"id":7,"ts":8,"type":"message","message":{"role":"king","content":""}}', 7, 8],
    ['an event without a type', '{"id":7,"ts":-8}', 7, NO_TIME],
    ['JSON behind a byte order mark', `\ufeff${JSON.stringify(begin)}`, NO_ID, NO_TIME],
    ['a value nested too deeply', `{"id":7,"ts":8,"type":"hologram","beam":${deep}}`, NO_ID, NO_TIME],
    ['a value nested too deeply in a known type', `{"id":7,"ts":8,"type":"error","code":${deep}}`, NO_ID, NO_TIME],
  ])('preserves %s unchanged', (_, line, id, ts) => {
    const lines = Buffer.from(`${JSON.stringify(begin)}\n${line}\n${JSON.stringify(begin)}\n`);
    const kept = { id, ts, type: 'unknown', line };
    expect(readLines(lines)).toEqual([begin, kept, begin]);
    expect(readLines(encodeEvents([kept]))).toEqual([kept]);
  });

  it('preserves lines that are not UTF-8 byte for byte', () => {
    const bytes = Buffer.from([...Buffer.from('{"id":7,"ts":8,"type":"name","name":"'), 0xff, ...Buffer.from('"}')]);
    const kept = { id: NO_ID, ts: NO_TIME, type: 'unknown', bytes: bytes.toString('base64') };
    for (const lines of [bytes, Buffer.concat([Buffer.from('{"id":1,"ts":1,"type":"x","y":"ü"}\n'), bytes])])
      expect(readLines(lines).at(-1)).toEqual(kept);
    expect(readLines(encodeEvents([kept]))).toEqual([kept]);
  });

  it('keeps an event whose id or time is invalid', () => {
    for (const [field, wrong, right] of [
      ['id', 0, NO_ID],
      ['id', 1.5, NO_ID],
      ['id', '1', NO_ID],
      ['id', 2 ** 52 + 1, NO_ID],
      ['ts', 8.64e15 + 1, NO_TIME],
      ['ts', null, NO_TIME],
    ]) {
      const line = Buffer.from(JSON.stringify({ ...begin, [field as string]: wrong }));
      expect(readLines(line)).toEqual([{ ...begin, [field as string]: right }]);
    }
  });

  it('reparses a line that another version preserved', () => {
    const kept = { id: 9, ts: 10, type: 'unknown', line: JSON.stringify({ id: 2, ts: 6, type: 'name', name: 'x' }) };
    expect(readLines(encodeEvents([kept]))).toEqual([{ id: 9, ts: 10, type: 'name', name: 'x' }]);
  });

  it('never throws, whatever the bytes', () => {
    fc.assert(fc.property(fc.uint8Array(), (bytes) => void readLines(bytes)));
  });
});

describe('encodeEvents', () => {
  it('encodes events that do not fit into one piece', () => {
    const event = (id: number): Event => ({ id, ts: 0, type: 'error', code: 'x', message: 'ä'.repeat(3_000_000) });
    const events = [event(1), event(2), event(3), event(4), event(5), event(6), event(7)];
    const expected = Buffer.concat(events.map((one) => Buffer.from(`${JSON.stringify(one)}\n`)));
    expect(encodeEvents(events).equals(expected)).toBe(true);
    expect(encodeEvents([]).length).toBe(0);
  });

  it('names an event that is too large or nested too deeply to be saved', () => {
    const whole = 'x'.repeat(2 ** 28);
    const large = { id: 7, ts: 0, type: 'hologram', a: whole, b: whole };
    let deep: unknown = 0;
    for (let level = 0; level < 1e5; level++) deep = [deep];
    for (const event of [large, { id: 7, ts: 0, type: 'hologram', deep }]) {
      expect(() => encodeEvents([event])).toThrow(expect.objectContaining({ code: 'NOT_SAVED' }));
      expect(() => encodeEvents([event])).toThrow('event 7');
    }
  });
});

describe('MergedEvents', () => {
  const said = (id: number, content: string, ts = 5): Event => ({
    id,
    ts,
    type: 'message',
    message: { role: 'assistant', content },
  });
  const merged = (...all: Event[][]): Event[] => {
    const list = new MergedEvents();
    for (const more of all) list.add(more);
    return list.events;
  };

  it('replaces a draft with the event that has its id', () => {
    expect(merged([said(1, 'a'), said(2, 'b')], [said(2, 'B'), said(3, 'c')], [said(3, 'C')])).toEqual([
      said(1, 'a'),
      said(2, 'B'),
      said(3, 'C'),
    ]);
    const pin: Event = { id: 2, ts: 5, type: 'pin', pinned: true };
    expect(merged([said(1, 'a'), said(2, 'b')], [pin])).toEqual([said(1, 'a'), pin]);
  });

  it('drops no other event: an id that does not increase becomes the next id', () => {
    const pin: Event = { id: 2, ts: 5, type: 'pin', pinned: true };
    expect(merged([said(1, 'a'), pin], [pin])).toEqual([said(1, 'a'), pin, { ...pin, id: 3 }]);
    expect(merged([said(1, 'a'), pin, said(7, 'b')], [said(1, 'x'), said(2, 'y'), said(9, 'z')])).toEqual([
      said(1, 'a'),
      pin,
      said(7, 'b'),
      said(8, 'x'),
      said(9, 'y'),
      said(10, 'z'),
    ]);
  });

  it('assigns the next id and the previous time if they are invalid', () => {
    expect(merged([said(NO_ID, 'a', NO_TIME), said(4, 'b', 9), said(NO_ID, 'c', NO_TIME)])).toEqual([
      said(1, 'a', 0),
      said(4, 'b', 9),
      said(5, 'c', 9),
    ]);
  });
});

describe('fold', () => {
  it('sums known usage and keeps unknown usage null', () => {
    const usage = (id: number, inputTokens: number | null): Event => ({
      id,
      ts: id,
      type: 'usage',
      model: 'a/b',
      usage: { inputTokens, outputTokens: null, cost: null },
    });
    expect(fold(emptyState, [usage(1, 2), usage(2, null), usage(3, 5)])).toMatchObject({
      inputTokens: 7,
      outputTokens: null,
      cost: null,
      firstEvent: 1,
      lastEvent: 3,
      updated: 3,
    });
  });

  it('terminates with no messages if a rewind goes to before the beginning', () => {
    const state = JSON.stringify(new URL('../../../src/session/state.ts', import.meta.url).href);
    const said = { id: 1, ts: 0, type: 'message', message: { role: 'user', content: 'x' } };
    const events = JSON.stringify([said, { id: 2, ts: 0, type: 'rewind', to: -1 }]);
    const source = `import { emptyState, fold } from ${state}; console.log(fold(emptyState, ${events}).messages.length)`;
    const child = [process.execPath, ['--input-type=module', '-e', source]] as const;
    expect(spawnSync(...child, { encoding: 'utf8', timeout: 60_000 }).stdout).toBe('0\n');
  });

  it('takes the title from the first words', () => {
    const said = (id: number, content: never): Event => ({
      id,
      ts: 0,
      type: 'message',
      message: { role: 'user', content },
    });
    expect(fold(emptyState, [said(1, ' \n ' as never), said(2, '  two\n words ' as never)]).title).toBe('two words');
    expect(fold(emptyState, [said(1, [{ type: 'text', text: 'part' }] as never)]).title).toBe('part');
    expect([...fold(emptyState, [said(1, '🎈'.repeat(90) as never)]).title!]).toHaveLength(80);
    expect(fold(emptyState, [said(1, 'x'.repeat(200) as never)]).title).toHaveLength(80);
  });
});
