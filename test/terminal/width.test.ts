import { describe, expect, it } from 'vitest';
import { cut, widthOf } from '../../src/terminal/output/width.ts';

describe('widthOf', () => {
  it.each([
    ['', 0],
    ['abc', 3],
    ['Grüße', 5],
    ['e\u0301', 1],
    ['漢字かな', 8],
    ['한국어', 6],
    ['ＡＢ', 4],
    ['😀', 2],
    ['👨‍👩‍👧', 2],
    ['🇩🇪', 2],
    ['\u200b\ufeff', 0],
    ['ש\u05b8', 1],
    ['नमस्ते', 4],
  ])('counts %j as %i columns', (text, columns) => {
    expect(widthOf(text)).toBe(columns);
  });
});

describe('cut', () => {
  it.each([
    ['abc', 3, 'abc'],
    ['abcd', 3, 'ab…'],
    ['漢字かな', 8, '漢字かな'],
    ['漢字かな', 7, '漢字か…'],
    ['漢字かな', 6, '漢字…'],
    ['e\u0301e\u0301e\u0301', 2, 'e\u0301…'],
    ['abc', 1, '…'],
    ['abc', 0, ''],
    ['', 0, ''],
  ])('cuts %j to %i columns: %j', (text, columns, wanted) => {
    expect(cut(text, columns)).toBe(wanted);
    expect(widthOf(wanted)).toBeLessThanOrEqual(columns);
  });

  it('is fast for a million characters, and never splits a surrogate pair', () => {
    const shown = cut('\u0301'.repeat(1_000_000), 10);
    expect(shown.length).toBeLessThan(1000);
    expect(cut(`a${'\u{e0100}'.repeat(1000)}`, 3).isWellFormed()).toBe(true);
  });
});
