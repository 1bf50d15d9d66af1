/*
 * The width of text on a terminal. If in doubt, a character counts as wider: a line cut too early
 * is better than one that wraps unexpectedly.
 */

/** Returns the width of a text without control characters, in columns. */
export function widthOf(text: string): number {
  let width = 0;
  for (const { segment } of segmenter().segment(text)) width += columnsOf(segment);
  return width;
}

/** Cuts a text to `columns` columns, ending in `…` if anything is cut off. */
export function cut(text: string, columns: number): string {
  if (columns < 1) return '';
  // Don't measure a very long text to its end: no legible character has more than 20 code units.
  const start = text.length > columns * 20 ? text.slice(0, columns * 20).toWellFormed() : text;
  let width = 0;
  let fitting = 0;
  for (const { segment, index } of segmenter().segment(start)) {
    width += columnsOf(segment);
    if (width > columns) return `${start.slice(0, fitting)}…`;
    if (width < columns) fitting = index + segment.length;
  }
  return start === text ? text : `${start.slice(0, fitting)}…`;
}

function columnsOf(character: string): number {
  if (/^[\x20-\x7e]$/.test(character)) return 1;
  if (/^[\p{Mn}\p{Me}\p{Cf}]*$/u.test(character)) return 0;
  return wide.test(character) ? 2 : [...character].filter((part) => !/[\p{Mn}\p{Me}\p{Cf}]/u.test(part)).length;
}

let made: Intl.Segmenter | undefined;

/** Made at first use: that takes 15 ms, which help and completion would spend for nothing. */
function segmenter(): Intl.Segmenter {
  made ??= new Intl.Segmenter('en', { granularity: 'grapheme' });
  return made;
}

/** East Asian wide and full-width characters (UAX #11), and emoji. */
const wide: RegExp =
  /[\u1100-\u115f\u231a\u231b\u2329\u232a\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{16fe0}-\u{18cff}\u{1b000}-\u{1b2ff}\u{1f200}-\u{1f2ff}\u{20000}-\u{3fffd}]|\p{Extended_Pictographic}|\p{Regional_Indicator}/u;
