import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { escapeJson, escapeLine, escapeText, shellWord, TextEscaper } from '../../src/terminal/output/escape.ts';

/**
 * Returns whether a text contains characters that control a terminal, except line feeds and tabs.
 */
function controls(text: string): boolean {
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
  ])('escapes %s', (_, text, shown) => {
    expect(escapeLine(text)).toBe(shown);
  });

  it('leaves ordinary text unchanged', () => {
    const text = 'Grüße, 日本語, 👩‍👩‍👧, שלום, a\\b';
    expect(escapeLine(text)).toBe(text);
  });

  it('leaves no character that controls a terminal', () => {
    fc.assert(fc.property(wild, (text) => !controls(escapeLine(text)) && !/[\n\t]/.test(escapeLine(text))));
  });
});

describe.runIf(process.platform !== 'win32')('shellWord', () => {
  it('is read by a shell as the same single word, whatever it contains', () => {
    const texts = [
      ...['2026-11-21_13-57_a snapshot', "it's", '$(touch pwned)', '-x', '', '~', 'a;b'],
      ...fc.sample(fc.string({ unit: 'grapheme' }), 200).map((text) => text.replaceAll('\0', '')),
    ];
    const read = execFileSync('sh', ['-c', `printf '%s\\0' ${texts.map(shellWord).join(' ')}`], { encoding: 'utf8' });
    expect(read.split('\0').slice(0, -1)).toEqual(texts);
  });

  it('leaves an id unchanged', () => {
    expect(shellWord('2026-11-21_13-57-2')).toBe('2026-11-21_13-57-2');
  });
});

describe('escapeText', () => {
  it('keeps line feeds and tabs, but no other control characters', () => {
    expect(escapeText('a\r\nb\n\tc\u001b[1m\rd')).toBe('a\nb\n\tc\\x1b[1m\\rd');
    fc.assert(fc.property(wild, (text) => !controls(escapeText(text))));
  });
});

describe('TextEscaper', () => {
  it('escapes pieces like the whole text, wherever it is cut', () => {
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
  it('parses to the same value, and has no character that controls a terminal', () => {
    fc.assert(
      fc.property(wild, (text) => {
        const json = escapeJson({ text });
        expect(JSON.parse(json)).toEqual({ text });
        expect(controls(json)).toBe(false);
      }),
    );
  });
});
