/** Where a text stops being JSON: lines and columns count from 1. */
export interface JsonFault {
  readonly line: number;
  readonly column: number;
}

/** Finds where `text` stops being JSON (RFC 8259); undefined where it is. JSON.parse does not always say. */
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
    this.#take(space);
  }

  value(): boolean {
    if (this.#take(/\{/y)) return this.#take(/\}/y) || (this.#members() && this.#take(/\}/y));
    if (this.#take(/\[/y)) return this.#take(/\]/y) || (this.#elements() && this.#take(/\]/y));
    return this.#take(string) || this.#take(scalar);
  }

  atEnd(): boolean {
    return this.at === this.#text.length;
  }

  #members(): boolean {
    do {
      if (!this.#take(string) || !this.#take(/:/y) || !this.value()) return false;
    } while (this.#take(/,/y));
    return true;
  }

  #elements(): boolean {
    do {
      if (!this.value()) return false;
    } while (this.#take(/,/y));
    return true;
  }

  /** Takes what the pattern fits here, and the space behind it. */
  #take(pattern: RegExp): boolean {
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
