/*
 * Text from a model, a file or a name must not control the terminal. Every character that could
 * (those that begin escape sequences, bell, backspace, marks that change the text direction) is
 * escaped.
 */

/** Escapes every control character in text shown on one line: a name, a path, a message. */
export function escapeLine(text: string): string {
  return text.toWellFormed().replace(/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/gu, escapeCharacter);
}

/**
 * Quotes an id for a shell command line that coffer suggests, if it needs to be: a snapshot's name
 * may contain spaces or shell syntax.
 */
export function shellWord(text: string): string {
  return /^[\w.@+,/][\w.@+,/-]*$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/**
 * Like {@link escapeLine}, for text of several lines, such as a model's reply: keeps line feeds and
 * tabs, and turns CR LF into a line feed.
 */
export function escapeText(text: string): string {
  return text
    .replaceAll('\r\n', '\n')
    .split(/([\n\t])/)
    .map(escapePart)
    .join('');
}

/** Like {@link escapeText}, for text that arrives in pieces, cut anywhere. */
export class TextEscaper {
  #held = '';

  /**
   * Escapes the next piece. Holds back a final character whose meaning depends on the piece after
   * it: a CR, or half of a surrogate pair.
   */
  push(piece: string): string {
    const text = this.#held + piece;
    const cut = /[\r\ud800-\udbff]$/.test(text) ? text.length - 1 : text.length;
    this.#held = text.slice(cut);
    return escapeText(text.slice(0, cut));
  }

  /** Returns the text still held back, escaped. */
  end(): string {
    const rest = escapeText(this.#held);
    this.#held = '';
    return rest;
  }
}

function escapePart(part: string): string {
  return part === '\n' || part === '\t' ? part : escapeLine(part);
}

const short: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

function escapeCharacter(character: string): string {
  const code = character.charCodeAt(0);
  return short[character] ?? (code < 256 ? `\\x${hex(code, 2)}` : `\\u${hex(code, 4)}`);
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, '0');
}

/**
 * Serialises a value as indented JSON, with every control character as a JSON escape. Parsing
 * returns exactly the same value.
 */
export function escapeJson(value: unknown): string {
  return escapeControls(JSON.stringify(value, undefined, 2));
}

/** Like {@link escapeJson}, in one line. */
export function escapeJsonLine(value: unknown): string {
  return escapeControls(JSON.stringify(value));
}

function escapeControls(json: string): string {
  return json.replace(
    /[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\u${hex(character.charCodeAt(0), 4)}`,
  );
}
