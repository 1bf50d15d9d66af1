import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeEvents, type NewEvent } from '../../../src/session/event/event.ts';
import { LineSearch, sieveFor } from '../../../src/session/search/lines.ts';
import { folded, type Match } from '../../../src/session/search/texts.ts';
import { reply, user } from '../../support/vault.ts';
import { session, slow, wantedFrom } from '../event/nasty.ts';

describe('LineSearch', () => {
  it('finds the same as a search of every event', () => {
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
  ])('finds %j in %j like a search of every event', (text, said) => {
    const lines = encodeEvents([{ id: 1, ts: 1, ...user(said) }]);
    const found = slow([lines], folded(text));
    expect(found).toHaveLength(1);
    expect(fast([lines], folded(text))).toEqual(found);
  });

  it('finds numbers in their JSON form', () => {
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

  it('does not find a draft that a later event replaced, in the same lines or later ones', () => {
    const first = encodeEvents([
      { id: 1, ts: 1, ...user('needle one') },
      { id: 2, ts: 1, ...reply('needle tw') },
      { id: 2, ts: 1, ...reply('needle two') },
      { id: 3, ts: 1, ...reply('needle three') },
    ]);
    const second = encodeEvents([{ id: 3, ts: 1, ...reply('hay') }]);
    const linesOf = (matches: Match[]): string[] => matches.map(({ line }) => line);
    expect(linesOf(fast([first], 'needle'))).toEqual(['needle one', 'needle two', 'needle three']);
    expect(linesOf(fast([first, second], 'needle'))).toEqual(['needle one', 'needle two']);
  });

  it('skips a line that is not an event', () => {
    const line = Buffer.from('{"id":1,"ts":1,"type":"message","message":"needle"}\n');
    expect(fast([line, encodeEvents([{ id: 2, ts: 1, ...user('needle') }])], 'needle')).toHaveLength(1);
  });
});

describe('sieveFor', () => {
  it('knows every character that folds to ASCII', () => {
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

  it('passes hardly any line without the text', () => {
    const lines = encodeEvents(['hay', 'needle', 'Neédle'].map((text, at) => ({ id: at + 1, ts: 1, ...user(text) })));
    expect(sieveFor('needle')(lines)).toHaveLength(1);
    expect(sieveFor('neédle')(lines)).toHaveLength(2);
    expect(sieveFor('né')(lines)).toHaveLength(0);
    expect(sieveFor('eé')(lines)).toHaveLength(1);
  });
});

function fast(segments: readonly Buffer[], wanted: string): Match[] {
  const search = new LineSearch(wanted, sieveFor(wanted));
  for (const lines of segments) search.add(lines);
  return search.matches;
}
