import { isAscii } from 'node:buffer';
import { eachLine } from '../event/each-line.ts';
import { folded } from './texts.ts';

/*
 * A trigram is three consecutive bytes of folded UTF-8 text, as a number. A text that contains
 * another has all of its trigrams.
 */

/** Collects the trigrams of recorded lines: of every text, and of the rest of each line. */
export class Trigrams {
  readonly #seen = new Uint8Array(2 ** 21);
  #found = new Uint32Array(2 ** 16);
  #count = 0;

  /** Adds whole lines. */
  add(lines: Buffer): void {
    eachLine(lines, (start, end) => {
      const line = lines.subarray(start, end);
      this.#addFolded((isAscii(line) ? foldedAscii(line) : undefined) ?? foldedLine(line));
    });
  }

  /** A copy of the trigrams collected so far, each once, in no particular order. */
  get gathered(): Uint32Array {
    return this.#found.slice(0, this.#count);
  }

  /** Removes all trigrams. */
  clear(): void {
    for (const trigram of this.#found.subarray(0, this.#count)) this.#seen[trigram >> 3] = 0;
    this.#count = 0;
  }

  #addFolded(bytes: Buffer): void {
    if (this.#found.length - this.#count < bytes.length) this.#grow(this.#count + bytes.length);
    const seen = this.#seen;
    const found = this.#found;
    let count = this.#count;
    let trigram = ((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0);
    for (let at = 2; at < bytes.length; at++) {
      trigram = ((trigram << 8) | (bytes[at] ?? 0)) & 0xffffff;
      const eight = seen[trigram >> 3] ?? 0;
      const bit = 1 << (trigram & 7);
      if ((eight & bit) !== 0) continue;
      seen[trigram >> 3] = eight | bit;
      found[count++] = trigram;
    }
    this.#count = count;
  }

  #grow(needed: number): void {
    const larger = new Uint32Array(Math.max(needed, 2 * this.#found.length));
    larger.set(this.#found);
    this.#found = larger;
  }
}

/**
 * Returns the trigrams of every text that contains this folded text; none if it is too short or not
 * well-formed, so that UTF-8 can't encode it.
 */
export function trigramsOf(wanted: string): number[] {
  if (!wanted.isWellFormed()) return [];
  const bytes = Buffer.from(wanted);
  const trigrams = new Set<number>();
  for (let at = 0; at + 3 <= bytes.length; at++) trigrams.add(bytes.readUIntBE(at, 3));
  return [...trigrams];
}

/** Folds an ASCII line, the common case. Returns undefined if it has a `\u` escape. */
function foldedAscii(line: Buffer): Buffer | undefined {
  const small = Buffer.allocUnsafe(line.length);
  let length = 0;
  for (let at = 0; at < line.length; at++) {
    let byte = line[at] ?? 0;
    if (byte === BACKSLASH) {
      byte = ESCAPED[line[++at] ?? 0] ?? 0;
      if (byte === 0) return undefined;
    }
    small[length++] = byte >= 65 && byte <= 90 ? byte + 32 : byte;
  }
  return small.subarray(0, length);
}

/**
 * Folds a whole line, which is equivalent to folding its texts one by one: each is delimited by
 * quotation marks, and nothing composes with those.
 */
function foldedLine(line: Buffer): Buffer {
  const plain = line.toString().replace(/\\(?:u([0-9a-f]{4})|(.))/gis, (_, code?: string, letter = '') => {
    if (code !== undefined) return String.fromCharCode(Number.parseInt(code, 16));
    return String.fromCharCode(ESCAPED[letter.charCodeAt(0)] ?? 0);
  });
  return Buffer.from(folded(plain));
}

/** The byte that each character after a backslash stands for; zero for `u`. */
const ESCAPED: Uint8Array = Uint8Array.from({ length: 128 }, (_, code) => {
  const at = 'bfnrtu'.indexOf(String.fromCharCode(code));
  return at === -1 ? code : ([8, 12, 10, 13, 9, 0][at] ?? 0);
});

const BACKSLASH = 92;
