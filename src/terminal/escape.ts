/*
 * What comes from a model, a file or a name may not drive the terminal: whatever could (escape sequences
 * begin with one of these, and so do a bell, a backspace and the marks that turn text around) is written out.
 */

/** Writes out every control character of something shown on one line: a name, a path, a message. */
export function escapeLine(text: string): string {
  return text.toWellFormed().replace(/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/gu, writtenOut);
}

/** An id as a word of a command line that is advised: a snapshot's name may have spaces in it, or what a shell would run. */
export function shellWord(text: string): string {
  return /^[\w.@+,/][\w.@+,/-]*$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** {@link escapeLine} for a text of many lines, a model's reply: line feeds and tabs stay, CR LF becomes a line feed. */
export function escapeText(text: string): string {
  return text
    .replaceAll('\r\n', '\n')
    .split(/([\n\t])/)
    .map(keepGap)
    .join('');
}

/** {@link escapeText} for a text that comes in pieces, cut anywhere. */
export class TextEscaper {
  #held = '';

  /** Escapes the next piece; what only the piece after it can decide (a CR, half of a character) is held back. */
  push(piece: string): string {
    const text = this.#held + piece;
    const cut = /[\r\ud800-\udbff]$/.test(text) ? text.length - 1 : text.length;
    this.#held = text.slice(cut);
    return escapeText(text.slice(0, cut));
  }

  /** Gives what is still held back. */
  end(): string {
    const rest = escapeText(this.#held);
    this.#held = '';
    return rest;
  }
}

function keepGap(part: string): string {
  return part === '\n' || part === '\t' ? part : escapeLine(part);
}

const short: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

function writtenOut(character: string): string {
  const code = character.charCodeAt(0);
  return short[character] ?? (code < 256 ? `\\x${hex(code, 2)}` : `\\u${hex(code, 4)}`);
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, '0');
}

/** Writes JSON in which every control character is an escape of JSON's own: a parser gives back exactly what was there. */
export function escapeJson(value: unknown): string {
  return escapeControls(JSON.stringify(value, undefined, 2));
}

/** {@link escapeJson} in one line. */
export function escapeJsonLine(value: unknown): string {
  return escapeControls(JSON.stringify(value));
}

function escapeControls(json: string): string {
  return json.replace(
    /[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\u${hex(character.charCodeAt(0), 4)}`,
  );
}
