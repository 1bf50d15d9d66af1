import { lexer, type Token, type Tokens } from 'marked';
import { inlineToken, pieces } from './markdown-blocks.ts';

/**
 * A renderer of Markdown for a terminal while it streams. It shows text as soon as later text can't
 * change it: a list item by item, code line by line, a paragraph word by word. The text pushed in
 * must already be escaped; the only escape sequences in the output are the styles added here. No
 * text is lost: if shown text turns out to be the beginning of something else, the rest is shown
 * unrendered.
 *
 * The cost is linear in the length of the text: the shown part of a growing block is cut off, and
 * if that isn't possible, the block is parsed again only once it has grown by an eighth.
 */
export class MarkdownStream {
  readonly #write: (text: string) => void;
  #pending = '';
  #gap = '';
  #shown = nothing;
  /** The length, in UTF-16 code units, from which the pending text is parsed again. */
  #parseFrom = 0;
  /** The number of items cut off the growing list, and the number of its first item. */
  #cut = { items: 0, start: 1 };

  constructor(write: (text: string) => void) {
    this.#write = write;
  }

  /** Adds text, and shows what can be shown. */
  push(delta: string): void {
    this.#pending += delta;
    if (this.#pending.length < this.#parseFrom) return;
    this.#render();
    const { length } = this.#pending;
    this.#parseFrom = length > SMALL ? length + length / 8 : 0;
  }

  #render(): void {
    const blocks = blocksOf(this.#pending);
    if (blocks === undefined) {
      this.#showRaw();
      return;
    }
    const growing = takeGrowing(blocks);
    for (const block of blocks) this.#finish(block);
    this.#pending = this.#pending.slice(blocks.reduce((length, block) => length + block.raw.length, 0));
    const [block] = growing;
    if (block === undefined || UNDECIDED.test(this.#pending)) return;
    this.#grow(block);
    if (this.#shown.type === block.type && this.#pending.startsWith(block.raw)) this.#cutShown(block);
  }

  /** Cuts off the shown part of the growing block such that the rest parses as before. */
  #cutShown(block: Token): void {
    if (block.type === 'list') this.#cutItems(block as Tokens.List);
    if (block.type === 'code') this.#cutLines(block as Tokens.Code);
    if (block.type === 'paragraph') this.#cutWords(block as Tokens.Paragraph);
  }

  /** Cuts off all shown items except the last, to which later text may still belong. */
  #cutItems({ items, start }: Tokens.List): void {
    const count = this.#shown.pieces - 1;
    const raw = items.slice(0, count).map((item) => item.raw);
    const { length } = raw.join('');
    const rest = this.#pending.slice(length);
    if (count < 1 || !/^ {0,3}\S/.test(rest)) return;
    if (this.#cut.items === 0) this.#cut.start = start === '' ? 1 : start;
    this.#cut.items += count;
    this.#pending = rest;
    this.#shown = { ...this.#shown, pieces: 1, raw: Math.max(0, this.#shown.raw - length) };
  }

  /** Cuts off all shown lines except the last. Keeps the opening fence. */
  #cutLines({ raw, codeBlockStyle }: Tokens.Code): void {
    const count = this.#shown.pieces - 1;
    if (codeBlockStyle === 'indented' || count < 1) return;
    const lines = raw.split('\n', count + 1);
    this.#pending = `${lines[0]}\n${this.#pending.slice(lines.join('\n').length + 1)}`;
    this.#shown = { ...this.#shown, pieces: 1, raw: 0 };
  }

  /** Cuts off the shown text up to a word of the last shown token, if it is long enough. */
  #cutWords({ tokens }: Tokens.Paragraph): void {
    const end = this.#shown.raw;
    if (end < SMALL / 4) return;
    let start = 0;
    for (const { type, raw } of tokens) {
      if (start + raw.length < end) {
        start += raw.length;
        continue;
      }
      const words = raw.slice(0, end - start);
      const at = type === 'text' ? words.search(/(?<= )\p{L}\S*\s*$/u) : -1;
      if (at === -1) return;
      this.#pending = this.#pending.slice(start + at);
      this.#shown = { ...this.#shown, raw: end - start - at };
      return;
    }
  }

  /** Shows the remaining text, and ends the line. */
  end(): void {
    const raw = this.#pending;
    for (const block of blocksOf(raw) ?? [{ type: 'text', raw, text: raw }]) this.#finish(block);
    this.#pending = '';
    this.#parseFrom = 0;
    if (this.#gap !== '') this.#write('\n');
    this.#gap = '';
  }

  /**
   * Shows text that the lexer can't parse unrendered, up to the last blank line. The text after it
   * may be parsable again.
   */
  #showRaw(): void {
    const end = this.#pending.lastIndexOf('\n\n') + 2;
    if (end < 2) return;
    const raw = this.#pending.slice(0, end);
    this.#finish({ type: 'text', raw, text: raw });
    this.#pending = this.#pending.slice(end);
  }

  #finish(block: Token): void {
    if (block.type === 'space') {
      if (this.#gap !== '') this.#gap = '\n\n';
      return;
    }
    if (this.#shown.type !== '' && this.#shown.type !== block.type)
      this.#write(block.raw.slice(this.#shown.raw).trimEnd());
    else if (block.type === 'paragraph') this.#showParagraph(block as Tokens.Paragraph, block.raw.trimEnd().length);
    else this.#showPieces(block, this.#pieces(block));
    this.#cut = { items: 0, start: 1 };
    this.#gap = /\n\s*\n$/.test(block.raw) ? '\n\n' : '\n';
    // The last line of a shown paragraph may turn out to be the header of a table.
    const excess = this.#shown.raw - block.raw.length;
    this.#shown = excess > 0 ? { ...this.#shown, raw: excess } : nothing;
  }

  #grow(block: Token): void {
    if (block.type === 'paragraph') this.#showParagraph(block as Tokens.Paragraph, settled(block as Tokens.Paragraph));
    if (block.type === 'list' || block.type === 'code') this.#showPieces(block, this.#pieces(block).slice(0, -1));
  }

  #pieces(block: Token): string[] {
    const { items, start } = this.#cut;
    return items === 0 ? pieces(block) : pieces({ ...block, start: start + items } as Token);
  }

  #showPieces(block: Token, texts: readonly string[]): void {
    const fresh = texts.slice(this.#shown.pieces);
    if (fresh.length === 0) return;
    for (const [at, text] of fresh.entries())
      this.#write((at === 0 && this.#shown.type === '' ? this.#gap : '\n') + text);
    const items = block.type === 'list' ? (block as Tokens.List).items.slice(0, texts.length) : [];
    const source = items.map(({ raw }) => raw).join('');
    this.#shown = { type: block.type, pieces: texts.length, raw: source.trimEnd().length };
  }

  #showParagraph(block: Tokens.Paragraph, end: number): void {
    if (end <= this.#shown.raw) return;
    if (this.#shown.type === '') this.#write(this.#gap);
    let start = 0;
    for (const token of block.tokens) {
      const from = Math.max(0, this.#shown.raw - start);
      const to = Math.min(token.raw.length, end - start);
      if (from < to)
        this.#write(from === 0 && to === token.raw.length ? inlineToken(token) : token.raw.slice(from, to));
      start += token.raw.length;
    }
    this.#shown = { type: block.type, pieces: 0, raw: end };
  }
}

/**
 * Parses a text into blocks. Returns undefined if the lexer throws: marked 18.2 does for a quote in
 * a list item if the quote ends in an empty item.
 */
function blocksOf(text: string): Token[] | undefined {
  try {
    return lexer(text);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return undefined;
  }
}

/**
 * Matches a last line that may still become an item, a line of code or neither. Until it is
 * decided, the lines before it may be parsed into the wrong pieces.
 */
const UNDECIDED = /\n(?!$)[ \t]*([*+-]|\d+[.)])?[ \t]*$/;

/** The length, in UTF-16 code units, up to which pending text is parsed on every push. */
const SMALL = 4096;

/**
 * The shown part of the growing block: its type, the number of whole pieces, and UTF-16 code units
 * of the source.
 */
const nothing: { readonly type: string; readonly pieces: number; readonly raw: number } = {
  type: '',
  pieces: 0,
  raw: 0,
};

/**
 * Removes and returns the last block, which later text may still change. A list is returned
 * together with a blank line after it, because it may continue there.
 */
function takeGrowing(blocks: Token[]): Token[] {
  const last = blocks.pop();
  if (last === undefined) return [];
  if (last.type !== 'space' || blocks.at(-1)?.type !== 'list') return [last];
  return [...blocks.splice(-1), last];
}

/**
 * Returns the length of the part of a growing paragraph that can be shown, in UTF-16 code units: up
 * to the first mark that may still be closed.
 */
function settled(block: Tokens.Paragraph): number {
  let end = 0;
  for (const [at, token] of block.tokens.entries()) {
    if (token.type === 'text') {
      const plain = plainStart(token.raw);
      end += plain;
      if (plain < token.raw.length) break;
    } else if (at === block.tokens.length - 1) break;
    else end += token.raw.length;
  }
  const lines = block.raw.slice(0, end).split('\n');
  while (lines.length > 0 && !/^[\p{L}("'“„«]/u.test(lines.at(-1) ?? '')) lines.pop();
  return lines.join('\n').trimEnd().length;
}

function plainStart(text: string): number {
  const mark = text.search(/[*_`[\]!<>~|\\&]/);
  return mark === -1 ? text.length : mark;
}
