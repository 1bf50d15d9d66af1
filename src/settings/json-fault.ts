/** The position of a syntax error: line and column count from 1. */
export interface JsonFault {
  readonly line: number;
  readonly column: number;
}

/**
 * Returns the position at which `text` stops being valid JSON (RFC 8259); undefined if it is valid.
 * JSON.parse doesn't always report it.
 */
export function findJsonFault(text: string): JsonFault | undefined {
  const reader = new Reader(text);
  if (reader.value() && reader.atEnd()) return undefined;
  const before = text.slice(0, reader.at).split('\n');
  return { line: before.length, column: [...(before.at(-1) ?? '')].length + 1 };
}

class Reader {
  at = 0;
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
    this.#match(space);
  }

  value(): boolean {
    if (this.#match(/\{/y)) return this.#match(/\}/y) || (this.#members() && this.#match(/\}/y));
    if (this.#match(/\[/y)) return this.#match(/\]/y) || (this.#elements() && this.#match(/\]/y));
    return this.#match(string) || this.#match(scalar);
  }

  atEnd(): boolean {
    return this.at === this.#text.length;
  }

  #members(): boolean {
    do {
      if (!this.#match(string) || !this.#match(/:/y) || !this.value()) return false;
    } while (this.#match(/,/y));
    return true;
  }

  #elements(): boolean {
    do {
      if (!this.value()) return false;
    } while (this.#match(/,/y));
    return true;
  }

  /** Consumes a match of the pattern at the current position, and the white space after it. */
  #match(pattern: RegExp): boolean {
    pattern.lastIndex = this.at;
    if (!pattern.test(this.#text)) return false;
    space.lastIndex = pattern.lastIndex;
    space.test(this.#text);
    this.at = space.lastIndex;
    return true;
  }
}

const space = /[ \t\n\r]*/y;
const string = /"(?:[^"\\\p{Cc}]|[\u007f-\u009f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/uy;
const scalar = /(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)/y;
