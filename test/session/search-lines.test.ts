import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Event, encodeEvents, mergeEvents, type NewEvent } from '../../src/session/event.ts';
import { decodeEvents } from '../../src/session/event-schema.ts';
import { LineSearch, sieveFor } from '../../src/session/search-lines.ts';
import { folded, type Match, matchesIn, textsOf } from '../../src/session/search-texts.ts';
import { reply, user } from '../support/vault.ts';

describe('LineSearch', () => {
  it('finds just what looking into every event finds', () => {
    fc.assert(
      fc.property(session, fc.nat(), fc.nat(8), (segments, place, length) => {
        const wanted = wantedFrom(segments, place, length);
        expect(fast(segments, wanted), JSON.stringify(wanted)).toEqual(slow(segments, wanted));
      }),
      { numRuns: 1500 },
    );
  });

  it.each([
    ['300 k', '300 \u212a'],
    ['why;', 'WHY\u037e'],
    ['`a`', '\u1fefa\u1fef'],
    ['abi', 'AB\u0130'],
    ['ab\u0130', 'ab\u0130'],
    ['Abi\u0307c', 'ab\u0130C'],
    ['sa\u0301nta', 'SÁNTA'],
    ['"quoted" \\ back', 'a "Quoted" \\ BACK'],
    ['a\nb\tc', 'A\nB\tC'],
    ['a\u0001b', 'A\u0001B'],
    ['\u0301x', 'a\n\u0301x'],
    ['日\n', '日\n\u0301'],
    ['\ud83d', 'a 😀'],
    ['日本', '日本\ud800'],
    ['x\ud800y', 'X\ud800Y'],
    ['ΟΔΟΣ', 'οδός οδοσ'],
    ['straße', 'STRAßE'],
    ['1e+21', '1e+21'],
  ])('finds %j in %j as looking into every event does', (text, said) => {
    const lines = encodeEvents([{ id: 1, ts: 1, ...user(said) }]);
    const found = slow([lines], folded(text));
    expect(found).toHaveLength(1);
    expect(fast([lines], folded(text))).toEqual(found);
  });

  it('finds numbers as they are written', () => {
    for (const [number, text] of [
      [1e21, '1e+21'],
      [-0.5, '-0.5'],
      [12345678, '345678'],
    ] as const) {
      const input: NewEvent = {
        type: 'message',
        message: {
          role: 'assistant',
          content: [{ type: 'tool-call', toolCallId: '1', toolName: 't', input: { number } }],
        },
      };
      expect(fast([encodeEvents([{ id: 1, ts: 1, ...input }])], text)).toHaveLength(1);
    }
  });

  it('does not find what a later event took back, in the same lines or behind them', () => {
    const first = encodeEvents([
      { id: 1, ts: 1, ...user('needle one') },
      { id: 2, ts: 1, ...reply('needle tw') },
      { id: 2, ts: 1, ...reply('needle two') },
      { id: 3, ts: 1, ...reply('needle three') },
      { id: 4, ts: 1, ...reply('hay') },
    ]);
    const second = encodeEvents([{ id: 3, ts: 1, ...reply('hay') }]);
    const linesOf = (matches: Match[]): string[] => matches.map(({ line }) => line);
    expect(linesOf(fast([first], 'needle'))).toEqual(['needle one', 'needle two', 'needle three']);
    expect(linesOf(fast([first, second], 'needle'))).toEqual(['needle one', 'needle two']);
    expect(linesOf(fast([first, second, encodeEvents([{ id: 1, ts: 1, ...reply('hay') }])], 'needle'))).toEqual([]);
  });

  it('takes lines apart only where the text may be', () => {
    const taken: string[] = [];
    const decode = (lines: Uint8Array): Event[] => {
      const events = decodeEvents(lines);
      taken.push(...events.map(({ id }) => `${id}`));
      return events;
    };
    const search = new LineSearch('needle', sieveFor('needle'), decode);
    search.add(
      encodeEvents(
        ['hay', 'needle', 'hay', 'nee\ndle', 'NEEDLE'].map((text, at) => ({ id: at + 1, ts: 1, ...user(text) })),
      ),
    );
    expect(taken).toEqual(['2', '5']);
    expect(search.matches).toHaveLength(2);
  });

  it('believes no line that is not an event', () => {
    const search = new LineSearch('needle', sieveFor('needle'), decodeEvents);
    expect(() => search.add(Buffer.from('{"id":1,"ts":1,"type":"message","message":"needle"}\n'))).toThrow(
      expect.objectContaining({ code: 'UNAUTHENTIC' }),
    );
  });
});

describe('sieveFor', () => {
  it('knows every character that becomes one of ASCII', () => {
    const becoming: string[] = [];
    for (let code = 128; code <= 0x10ffff; code++) {
      if (code >= 0xd800 && code < 0xe000) continue;
      const character = String.fromCodePoint(code);
      const ascii = folded(character).replace(/[^\0-\x7f]/g, '');
      if (ascii === '') continue;
      becoming.push(character);
      for (const text of [ascii, `ab${ascii}`]) {
        const lines = encodeEvents([{ id: 1, ts: 1, ...user(`xab${character}`) }]);
        expect(sieveFor(text)(lines), character).toHaveLength(1);
      }
    }
    expect(becoming).toEqual(['\u0130', '\u037e', '\u1fef', '\u212a']);
  });

  it('lets hardly anything through that has not got the text', () => {
    const lines = encodeEvents(['hay', 'needle', 'Neédle'].map((text, at) => ({ id: at + 1, ts: 1, ...user(text) })));
    expect(sieveFor('needle')(lines)).toHaveLength(1);
    expect(sieveFor('neédle')(lines)).toHaveLength(2);
    expect(sieveFor('né')(lines)).toHaveLength(0);
    expect(sieveFor('eé')(lines)).toHaveLength(1);
  });
});

function fast(segments: readonly Buffer[], wanted: string): Match[] {
  const search = new LineSearch(wanted, sieveFor(wanted), decodeEvents);
  for (const lines of segments) search.add(lines);
  return search.matches;
}

/** What a search means: every event is taken apart, and looked into. */
function slow(segments: readonly Buffer[], wanted: string): Match[] {
  const events: Event[] = [];
  for (const lines of segments) mergeEvents(events, decodeEvents(lines));
  return events.flatMap(textsOf).flatMap((said) => matchesIn(said, wanted));
}

/** A piece of something that was said, so that there is often something to find, or of the record itself. */
function wantedFrom(segments: readonly Buffer[], place: number, length: number): string {
  const texts = segments.flatMap((lines) =>
    decodeEvents(lines)
      .flatMap(textsOf)
      .map(({ text }) => text),
  );
  const text = place % 7 === 0 ? segments.map(String).join('') : texts.join('\n');
  const start = place % (text.length + 1);
  const piece = text.slice(start, start + 1 + length);
  return folded(piece === '' ? 'k' : place % 3 === 0 ? piece.toUpperCase() : piece);
}

const nasty = fc.constantFrom(
  ...[
    'é',
    'e\u0301',
    'ß',
    'İ',
    'i\u0307',
    'ı',
    '\u212a',
    'k',
    'K',
    'i',
    'I',
    ';',
    '\u037e',
    '`',
    '\u1fef',
    'Å',
    '\u212b',
  ],
  ...[
    '"',
    '\\',
    '\n',
    '\r\n',
    '\t',
    '\b',
    '\u0000',
    '\u001f',
    '\u007f',
    '\u0085',
    '/',
    '\u2028',
    '😀',
    '\ud83d',
    '\ude00',
  ],
  ...[
    '\u0301',
    '\u0338',
    '\u0307',
    'Σ',
    'ς',
    'σ',
    'ΑΣ',
    'ﬁ',
    '\u1e9e',
    'ǅ',
    '가',
    '\u1100',
    '\u1161',
    '日本',
    'needle',
    'Needle',
  ],
  ...[
    '\\n',
    '\\u00e9',
    'u001f',
    'n',
    'f',
    'a',
    'b',
    ' ',
    '{"id":1,',
    'text',
    '1e21',
    'ё',
    'Ё',
    '\u0958',
    '\ufb1d',
    '\uac00\u11a8',
  ],
);
const text = fc.array(nasty, { maxLength: 8 }).map((parts) => parts.join(''));
const value = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    text,
    fc.double(),
    fc.integer(),
    fc.constant(null),
    fc.boolean(),
    tie('list'),
    tie('object'),
  ),
  list: fc.array(tie('value'), { maxLength: 3 }),
  object: fc.dictionary(text, tie('value'), { maxKeys: 3 }),
})).value;
const recorded: fc.Arbitrary<NewEvent> = fc.oneof(
  text.map(user),
  text.map(reply),
  text.map(
    (text): NewEvent => ({ type: 'message', message: { role: 'assistant', content: [{ type: 'reasoning', text }] } }),
  ),
  value.map((input): NewEvent => {
    const call = { type: 'tool-call', toolCallId: 'needle', toolName: 'k', input } as const;
    return { type: 'message', message: { role: 'assistant', content: [call] } };
  }),
  value.map((output): NewEvent => {
    const result = { type: 'tool-result', toolCallId: 'needle', toolName: 'k', output } as const;
    return { type: 'message', message: { role: 'tool', content: [result] } };
  }),
  text.map((summary): NewEvent => ({ type: 'compaction', summary, through: 0, model: 'needle' })),
  text.map((message): NewEvent => ({ type: 'error', code: 'needle', message })),
  text.map((name): NewEvent => ({ type: 'name', name })),
);
/** Segments of events whose ids mostly rise by one, and sometimes fall back. */
const session = fc
  .array(fc.array(fc.tuple(recorded, fc.constantFrom(1, 1, 1, 1, 0, -1)), { maxLength: 5 }), {
    minLength: 1,
    maxLength: 3,
  })
  .map((segments) => {
    let id = 0;
    return segments.map((events) =>
      encodeEvents(
        events.map(([event, step]): Event => {
          id = Math.max(1, id + step);
          return { id, ts: 1, ...event };
        }),
      ),
    );
  });
