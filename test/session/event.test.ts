import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Event, encodeEvents, isKnown, mergeEvents } from '../../src/session/event.ts';
import { decodeEvents } from '../../src/session/event-schema.ts';
import { emptyState, fold } from '../../src/session/state.ts';

const begin = { id: 1, ts: 5, type: 'begin', uuid: '00000000-0000-4000-8000-000000000000', directory: '/x' };

describe('decodeEvents', () => {
  it('gives back what was encoded, whatever the text', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary' })), (contents) => {
        const events: Event[] = contents.map((content, index) => ({
          id: index + 1,
          ts: 0,
          type: 'message',
          message: { role: 'user', content: content.toWellFormed() },
        }));
        expect(decodeEvents(encodeEvents(events))).toEqual(events);
      }),
    );
  });

  it('keeps what a newer version wrote', () => {
    const newer = { ...begin, future: { a: [1] } };
    const unknown = { id: 2, ts: 6, type: 'hologram', beam: 3 };
    const events = decodeEvents(Buffer.from(`${JSON.stringify(newer)}\n${JSON.stringify(unknown)}\n`));
    expect(events).toEqual([newer, unknown]);
    expect(events.map(isKnown)).toEqual([true, false]);
    expect(decodeEvents(encodeEvents(events))).toEqual(events);
  });

  it('reads a tool that was called with nothing and gave nothing: JSON leaves undefined out', () => {
    const call = { type: 'tool-call', toolCallId: 'c', toolName: 'now', input: undefined } as const;
    const result = { type: 'tool-result', toolCallId: 'c', toolName: 'now', output: undefined } as const;
    const events: Event[] = [
      { id: 1, ts: 1, type: 'message', message: { role: 'assistant', content: [call] } },
      { id: 2, ts: 1, type: 'message', message: { role: 'tool', content: [result] } },
    ];
    expect(decodeEvents(encodeEvents(events))).toEqual(events);
  });

  it.each([
    ['no JSON', '{'],
    ['no id', '{"ts":1,"type":"name","name":"x"}'],
    ['a known type with a wrong field', '{"id":1,"ts":1,"type":"name","name":3}'],
    ['a message of no role', '{"id":1,"ts":1,"type":"message","message":{"role":"king","content":""}}'],
    ['an empty line', '\n'],
    ['no UTF-8', '\xff'],
  ])('does not believe %s', (_, line) => {
    const lines = Buffer.concat([Buffer.from(`${JSON.stringify(begin)}\n`), Buffer.from(line, 'latin1')]);
    expect(() => decodeEvents(lines)).toThrow(expect.objectContaining({ code: 'UNAUTHENTIC' }));
    expect(() => decodeEvents(lines)).toThrow('event 2');
  });

  it('never throws anything else, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        try {
          decodeEvents(bytes);
        } catch (error) {
          expect(error).toMatchObject({ code: 'UNAUTHENTIC' });
        }
      }),
    );
  });
});

describe('encodeEvents', () => {
  it('writes what is longer than one piece as it writes anything', () => {
    const event = (id: number): Event => ({ id, ts: 0, type: 'error', code: 'x', message: 'ä'.repeat(3_000_000) });
    const events = [event(1), event(2), event(3), event(4), event(5), event(6), event(7)];
    const expected = Buffer.concat(events.map((one) => Buffer.from(`${JSON.stringify(one)}\n`)));
    expect(encodeEvents(events).equals(expected)).toBe(true);
    expect(encodeEvents([]).length).toBe(0);
  });

  it('says which event is too large or too deep to be written', () => {
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

describe('mergeEvents', () => {
  it('replaces from an id on that comes again', () => {
    const event = (id: number, type: string): Event => ({ id, ts: 0, type });
    const events = [event(1, 'a'), event(2, 'b'), event(3, 'c')];
    mergeEvents(events, [event(2, 'B'), event(3, 'C'), event(4, 'd')]);
    expect(events.map((one) => one.type)).toEqual(['a', 'B', 'C', 'd']);
  });
});

describe('fold', () => {
  it('adds up what is known and leaves unknown what is not', () => {
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

  it('titles a session by its first words', () => {
    const said = (id: number, content: never): Event => ({
      id,
      ts: 0,
      type: 'message',
      message: { role: 'user', content },
    });
    expect(fold(emptyState, [said(1, ' \n ' as never), said(2, '  two\n words ' as never)]).title).toBe('two words');
    expect(fold(emptyState, [said(1, [{ type: 'text', text: 'part' }] as never)]).title).toBe('part');
    expect([...fold(emptyState, [said(1, '🎈'.repeat(90) as never)]).title!]).toHaveLength(80);
  });
});
