import { eachLine, endOfLine, LINE_FEED } from '../event/each-line.ts';
import { type Event, mayBeDraft } from '../event/event.ts';
import { readLines } from '../event/lines.ts';
import { folded, type Match, matchesIn, textsOf } from './texts.ts';

/*
 * Most lines of a session need not be taken apart to know that they don't have a text. What is sealed is what `encodeEvents`
 * wrote, JSON.stringify's JSON in UTF-8: only quotation marks, backslashes, control characters and lone surrogates are escaped.
 */

/** The lines that may have a text, from the first to the last: where each begins and ends, its line feed left out. */
export type Sieve = (lines: Buffer) => [start: number, end: number][];

/** Makes the sieve for a folded text. It lets through every line that has the text, and some that don't. */
export function sieveFor(wanted: string): Sieve {
  const run = longestRun(wanted);
  if (run === wanted || run.length >= RUN) return byBytes(run);
  return isLikeEncoded(wanted) ? byFolding(JSON.stringify(wanted).slice(1, -1)) : everyLine;
}

/** Finds a text in the lines of one session, which are handed over in order. */
export class LineSearch {
  readonly #wanted: string;
  readonly #sieve: Sieve;
  #hits: { id: number; mayBeDraft: boolean; matches: Match[] }[] = [];

  constructor(wanted: string, sieve: Sieve) {
    this.#wanted = wanted;
    this.#sieve = sieve;
  }

  get matches(): Match[] {
    return this.#hits.flatMap(({ matches }) => matches);
  }

  /** Looks through more lines. */
  add(lines: Buffer): void {
    const sieved = this.#sieve(lines);
    let next = 0;
    // An event replaces a draft that has its id: only ids behind a hit matter.
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

/** Shorter parts of a text are in too many lines to tell anything. */
const RUN = 3;

/** The longest part of a text that is ASCII. */
function longestRun(wanted: string): string {
  const runs = wanted.match(/[\0-\x7f]+/g) ?? [];
  return runs.reduce((longest, run) => (run.length > longest.length ? run : longest), '');
}

/** What else than itself, and the capital letter, becomes an ASCII character when it is folded: its UTF-8. */
const kin: Readonly<Record<string, string>> = {
  k: '\\xe2\\x84\\xaa', // U+212A, the sign of kelvin
  ';': '\\xcd\\xbe', // U+037E, the Greek question mark
  '`': '\\xe1\\xbf\\xaf', // U+1FEF, a Greek accent
};

/** U+0130, a capital I with its dot, becomes an i and a combining dot: it can only be the last of the characters that are ASCII. */
const DOTTED = '\\xc4\\xb0';

/**
 * Searches the bytes as they stand, one character each. Other bytes than those of ASCII may be taken for letters of Latin 1 whose
 * case is ignored, too: that lets through more, never less.
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
 * Whether folding a text and folding the JSON of it come to the same. A combining mark joins the letter of an escape before it,
 * as in `\n\u0301`, and a lone surrogate may be half of what is no escape.
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

/** The id of an event as coffer writes it, at the start of its line; undefined where it does not stand there. */
function idOf(line: Buffer): number | undefined {
  const [, digits] = /^\{"id":(\d{1,15}),/.exec(line.toString('latin1', 0, 24)) ?? [];
  return digits === undefined ? undefined : Number(digits);
}
