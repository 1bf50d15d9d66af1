import { eachLine, endOfLine, LINE_FEED } from '../event/each-line.ts';
import { type Event, mayBeDraft } from '../event/event.ts';
import { readLines } from '../event/lines.ts';
import { folded, type Match, matchesIn, textsOf } from './texts.ts';

/*
 * Most lines of a session need not be parsed to know that they don't contain a text. Sealed lines
 * are the output of `encodeEvents`, that is JSON.stringify's JSON in UTF-8, which escapes only
 * quotation marks, backslashes, control characters and lone surrogates.
 */

/**
 * Finds the lines that may contain a text, in order. Each is given by its start and its end
 * (exclusive, without the line feed).
 */
export type Sieve = (lines: Buffer) => [start: number, end: number][];

/** Makes the sieve for a folded text. It passes every line with the text, and some without. */
export function sieveFor(wanted: string): Sieve {
  const run = longestRun(wanted);
  if (run === wanted || run.length >= RUN) return byBytes(run);
  return isLikeEncoded(wanted) ? byFolding(JSON.stringify(wanted).slice(1, -1)) : everyLine;
}

/** Searches the lines of one session, which are added in order, for a folded text. */
export class LineSearch {
  readonly #wanted: string;
  readonly #sieve: Sieve;
  #hits: { id: number; mayBeDraft: boolean; matches: Match[] }[] = [];

  constructor(wanted: string, sieve: Sieve) {
    this.#wanted = wanted;
    this.#sieve = sieve;
  }

  /** Matches so far, without those in drafts that were replaced. */
  get matches(): Match[] {
    return this.#hits.flatMap(({ matches }) => matches);
  }

  /** Searches the next lines. */
  add(lines: Buffer): void {
    const sieved = this.#sieve(lines);
    let next = 0;
    // An event replaces a draft with the same id, so ids matter only after a hit.
    for (let start = this.#hits.length > 0 ? 0 : (sieved[0]?.[0] ?? lines.length); start < lines.length; ) {
      const end = endOfLine(lines, start);
      const line = lines.subarray(start, end + 1);
      const may = sieved[next]?.[0] === start;
      if (may) next++;
      const event = may ? this.#event(line) : undefined;
      const id = event?.id ?? idOf(line) ?? this.#event(line).id;
      const last = this.#hits.at(-1);
      if (last?.mayBeDraft && last.id === id) this.#hits.pop();
      if (event) this.#look(event);
      start = end + 1;
      if (this.#hits.length === 0) start = Math.max(start, sieved[next]?.[0] ?? lines.length);
    }
  }

  #look(event: Event): void {
    const matches = textsOf(event).flatMap((said) => matchesIn(said, this.#wanted));
    if (matches.length > 0) this.#hits.push({ id: event.id, mayBeDraft: mayBeDraft(event), matches });
  }

  #event(line: Buffer): Event {
    const [event] = readLines(line);
    if (event === undefined) throw new RangeError('a line is not empty');
    return event;
  }
}

/** Minimum length of an ASCII part to search for: shorter ones occur in too many lines. */
const RUN = 3;

/** Returns the longest ASCII part of a text. */
function longestRun(wanted: string): string {
  const runs = wanted.match(/[\0-\x7f]+/g) ?? [];
  return runs.reduce((longest, run) => (run.length > longest.length ? run : longest), '');
}

/** UTF-8 of the non-ASCII characters that fold to an ASCII character. */
const kin: Readonly<Record<string, string>> = {
  k: '\\xe2\\x84\\xaa', // U+212A, the sign of kelvin
  ';': '\\xcd\\xbe', // U+037E, the Greek question mark
  '`': '\\xe1\\xbf\\xaf', // U+1FEF, a Greek accent
};

/**
 * U+0130, a dotted capital I, folds to an i and a combining dot, so it can match only the last
 * character of an ASCII part.
 */
const DOTTED = '\\xc4\\xb0';

/**
 * Searches the raw bytes as Latin-1. The case of non-ASCII bytes that look like Latin-1 letters is
 * ignored too, which passes more lines but never fewer.
 */
function byBytes(run: string): Sieve {
  const characters = [...run].map((character, at) => {
    const spelled = [...JSON.stringify(character).slice(1, -1)].map(literally).join('');
    const others = [kin[character], character === 'i' && at === run.length - 1 ? DOTTED : undefined];
    const ways = [spelled, ...others.filter((other) => other !== undefined)];
    return ways.length === 1 ? spelled : `(?:${ways.join('|')})`;
  });
  const pattern = new RegExp(characters.join(''), 'gi');
  return (lines) => {
    const found: [number, number][] = [];
    const text = lines.toString('latin1');
    pattern.lastIndex = 0;
    for (let match = pattern.exec(text); match; match = pattern.exec(text)) {
      const end = endOfLine(lines, match.index);
      found.push([lines.lastIndexOf(LINE_FEED, match.index) + 1, end]);
      pattern.lastIndex = end + 1;
    }
    return found;
  };
}

function literally(character: string): string {
  return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
}

/**
 * Tells whether folding a text and folding its JSON are equivalent. They aren't if a combining mark
 * joins the letter of a preceding escape, as in `\n\u0301`, or if a lone surrogate is half of a
 * pair, which is not escaped.
 */
function isLikeEncoded(wanted: string): boolean {
  return wanted.isWellFormed() && !/^\p{M}|\p{Cc}/u.test(wanted);
}

function byFolding(encoded: string): Sieve {
  const mayHave = (lines: Buffer): boolean => folded(lines.toString()).includes(encoded);
  return (lines) =>
    mayHave(lines) ? everyLine(lines).filter(([start, end]) => mayHave(lines.subarray(start, end))) : [];
}

function everyLine(lines: Buffer): [number, number][] {
  const all: [number, number][] = [];
  eachLine(lines, (start, end) => all.push([start, end]));
  return all;
}

/**
 * Reads an event's id from the start of its line, where coffer writes it; undefined if not there.
 */
function idOf(line: Buffer): number | undefined {
  const [, digits] = /^\{"id":(\d{1,15}),/.exec(line.toString('latin1', 0, 24)) ?? [];
  return digits === undefined ? undefined : Number(digits);
}
