import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { escapeJson, escapeLine, escapeText, shellWord, TextEscaper } from '../../src/terminal/escape.ts';

/** Tells whether a text has what a terminal acts on instead of showing it; line feeds and tabs may stay. */
function drives(text: string): boolean {
  return [...text].some((character) => {
    const code = character.codePointAt(0) ?? 0;
    const control = code < 0x20 || (code >= 0x7f && code < 0xa0);
    const turns = (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
    return (control || turns) && character !== '\n' && character !== '\t';
  });
}

const wild: fc.Arbitrary<string> = fc.string({
  unit: fc.constantFrom(
    'a',
    'ä',
    '😀',
    '\u001b',
    '\u009b',
    ']',
    '0;x',
    '\u0007',
    '\r',
    '\n',
    '\t',
    '\u202e',
    '\ud83d',
    '\ude00',
    '\u007f',
  ),
});

describe('escapeLine', () => {
  it.each([
    ['an escape sequence', '\u001b[2J\u001b]0;title\u0007', '\\x1b[2J\\x1b]0;title\\x07'],
    ['the eight-bit form of one', '\u009b2J', '\\x9b2J'],
    ['line feeds and tabs', 'a\nb\tc\rd', 'a\\nb\\tc\\rd'],
    ['marks that turn text around', 'a\u202eb\u2066c\u2028d', 'a\\u202eb\\u2066c\\u2028d'],
    ['a delete', 'a\u007f', 'a\\x7f'],
  ])('writes out %s', (_, text, shown) => {
    expect(escapeLine(text)).toBe(shown);
  });

  it('leaves what people write as it is', () => {
    const text = 'Grüße, 日本語, 👩‍👩‍👧, שלום, a\\b';
    expect(escapeLine(text)).toBe(text);
  });

  it('shows no character that drives a terminal', () => {
    fc.assert(fc.property(wild, (text) => !drives(escapeLine(text)) && !/[\n\t]/.test(escapeLine(text))));
  });
});

describe.runIf(process.platform !== 'win32')('shellWord', () => {
  it('is the one word for a shell that it was, whatever stands in it', () => {
    const texts = [
      ...['2026-11-21_13-57_a snapshot', "it's", '$(touch pwned)', '-x', '', '~', 'a;b'],
      ...fc.sample(fc.string({ unit: 'grapheme' }), 200).map((text) => text.replaceAll('\0', '')),
    ];
    const read = execFileSync('sh', ['-c', `printf '%s\\0' ${texts.map(shellWord).join(' ')}`], { encoding: 'utf8' });
    expect(read.split('\0').slice(0, -1)).toEqual(texts);
  });

  it('leaves an id as it is', () => {
    expect(shellWord('2026-11-21_13-57-2')).toBe('2026-11-21_13-57-2');
  });
});

describe('escapeText', () => {
  it('keeps line feeds and tabs, and nothing else', () => {
    expect(escapeText('a\r\nb\n\tc\u001b[1m\rd')).toBe('a\nb\n\tc\\x1b[1m\\rd');
    fc.assert(fc.property(wild, (text) => !drives(escapeText(text))));
  });
});

describe('TextEscaper', () => {
  it('escapes pieces as it does the whole, wherever they are cut', () => {
    fc.assert(
      fc.property(wild, fc.array(fc.nat(40)), (text, cuts) => {
        const escaper = new TextEscaper();
        const places = [0, ...cuts.filter((cut) => cut < text.length).sort((a, b) => a - b), text.length];
        const pieces = places.slice(1).map((end, at) => escaper.push(text.slice(places[at], end)));
        expect(pieces.join('') + escaper.end()).toBe(escapeText(text));
      }),
    );
  });
});

describe('escapeJson', () => {
  it('is read back exactly, and drives no terminal', () => {
    fc.assert(
      fc.property(wild, (text) => {
        const json = escapeJson({ text });
        expect(JSON.parse(json)).toEqual({ text });
        expect(drives(json)).toBe(false);
      }),
    );
  });
});
