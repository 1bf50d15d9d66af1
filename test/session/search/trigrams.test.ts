import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeEvents } from '../../../src/session/event/event.ts';
import { folded } from '../../../src/session/search/texts.ts';
import { Trigrams, trigramsOf } from '../../../src/session/search/trigrams.ts';
import { user } from '../../support/vault.ts';
import { session, slow, wantedFrom } from '../event/nasty.ts';

describe('Trigrams', () => {
  it('contains all trigrams of every text that a search finds', () => {
    const trigrams = new Trigrams();
    fc.assert(
      fc.property(session, fc.nat(), fc.nat(12), (segments, place, length) => {
        const wanted = wantedFrom(segments, place, length);
        if (slow(segments, wanted).length === 0) return;
        trigrams.clear();
        for (const lines of segments) trigrams.add(lines);
        const gathered = new Set(trigrams.gathered);
        const missing = trigramsOf(wanted).filter((trigram) => !gathered.has(trigram));
        expect(missing, JSON.stringify(wanted)).toEqual([]);
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    'plain TEXT, "quoted" \\ back/slash',
    'a\nb\tc\rd\be\ff',
    'bell \u0007 rings',
    'Grüße aus KÖLN',
    'a\n\u0301b',
    '300 \u212a',
    'ab\u0130',
    'tail \ud83d',
    '日本語',
    'ΟΔΟΣ',
  ])('contains those of %j, and hardly any that are not in its line', (text) => {
    const trigrams = new Trigrams();
    const line = encodeEvents([{ id: 1, ts: 1, ...user(text) }]);
    trigrams.add(line);
    const gathered = [...trigrams.gathered];
    expect(new Set(gathered).size).toBe(gathered.length);
    expect(gathered.length).toBeLessThanOrEqual(line.length);
    for (const wanted of [folded(text), folded(text).slice(2)]) {
      expect(trigramsOf(wanted).filter((trigram) => !gathered.includes(trigram))).toEqual([]);
    }
    expect(gathered).not.toContain(trigramsOf('xyz')[0]);
  });

  it('returns each trigram once, and none after being cleared', () => {
    const trigrams = new Trigrams();
    const many = Array.from({ length: 40_000 }, (_, index) => index.toString(36)).join(' ');
    for (let id = 1; id < 4; id++) trigrams.add(encodeEvents([{ id, ts: 1, ...user(many) }]));
    const gathered = trigrams.gathered;
    expect(new Set(gathered).size).toBe(gathered.length);
    expect(gathered.length).toBeGreaterThan(30_000);
    trigrams.clear();
    expect(trigrams.gathered).toHaveLength(0);
    trigrams.add(encodeEvents([{ id: 1, ts: 1, ...user('needle') }]));
    expect([...trigrams.gathered]).toEqual(expect.arrayContaining(trigramsOf('needle')));
    expect(trigrams.gathered.length).toBeLessThan(100);
  });
});

describe('trigramsOf', () => {
  it.each([
    ['', []],
    ['ab', []],
    ['abc', [0x616263]],
    ['abcabc', [0x616263, 0x626361, 0x636162]],
    ['日', [0xe697a5]],
    ['ab\ud800', []],
  ])('of %j are %j', (text, trigrams) => {
    expect(trigramsOf(text)).toEqual(trigrams);
  });
});
