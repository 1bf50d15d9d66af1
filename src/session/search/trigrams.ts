import { isAscii } from 'node:buffer';
import { eachLine } from '../event/each-line.ts';
import { folded } from './texts.ts';

/*
 * A trigram is three bytes of folded text in UTF-8, one behind the other, as a number. Texts have what they are made of: where a text has
 * another in it, it has all of that one's trigrams.
 */

/** Gathers the trigrams of what is recorded: of every text of every event, with those of the rest of its line. */
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

  /** What was gathered, each trigram once. */
  get gathered(): Uint32Array {
    return this.#found.slice(0, this.#count);
  }

  /** Begins anew. */
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

/** The trigrams that whatever has this folded text in it has; none where it is too short, or no text that UTF-8 can write. */
export function trigramsOf(wanted: string): number[] {
  if (!wanted.isWellFormed()) return [];
  const bytes = Buffer.from(wanted);
  const trigrams = new Set<number>();
  for (let at = 0; at + 3 <= bytes.length; at++) trigrams.add(bytes.readUIntBE(at, 3));
  return [...trigrams];
}

/** Most of what is recorded; undefined where there is more in it than a plain escape. */
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
 * All of a line at once, which comes to the same as its texts one by one: a quotation mark stands on either side of each, and nothing
 * composes with that.
 */
function foldedLine(line: Buffer): Buffer {
  const plain = line.toString().replace(/\\(?:u([0-9a-f]{4})|(.))/gis, (_, code?: string, letter = '') => {
    if (code !== undefined) return String.fromCharCode(Number.parseInt(code, 16));
    return String.fromCharCode(ESCAPED[letter.charCodeAt(0)] ?? 0);
  });
  return Buffer.from(folded(plain));
}

/** What stands for which byte behind a backslash; zero for what has four digits behind it. */
const ESCAPED: Uint8Array = Uint8Array.from({ length: 128 }, (_, code) => {
  const at = 'bfnrtu'.indexOf(String.fromCharCode(code));
  return at === -1 ? code : ([8, 12, 10, 13, 9, 0][at] ?? 0);
});

const BACKSLASH = 92;
