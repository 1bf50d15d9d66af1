import { stripVTControlCharacters, styleText } from 'node:util';
import { lexer, type Token, type Tokens } from 'marked';

/**
 * Renders Markdown for a terminal while it streams. Every block is shown as soon as no later text can change it:
 * a list item by item, code line by line, a paragraph word by word. The text pushed in must be escaped already;
 * the only escape sequences that come out are the styles put on here. Nothing pushed in is ever lost: where what
 * was shown turns out to be the beginning of something else, the rest of it is shown unrendered.
 */
export class MarkdownStream {
  readonly #write: (text: string) => void;
  #pending = '';
  #gap = '';
  #shown = nothing;

  constructor(write: (text: string) => void) {
    this.#write = write;
  }

  push(delta: string): void {
    this.#pending += delta;
    const blocks = blocksOf(this.#pending);
    if (blocks === undefined) {
      this.#pass();
      return;
    }
    const growing = takeGrowing(blocks);
    for (const block of blocks) this.#finish(block);
    this.#pending = this.#pending.slice(blocks.reduce((length, block) => length + block.raw.length, 0));
    if (growing[0] !== undefined && !UNDECIDED.test(this.#pending)) this.#grow(growing[0]);
  }

  /** Shows what is left, and ends the line. */
  end(): void {
    const raw = this.#pending;
    for (const block of blocksOf(raw) ?? [{ type: 'text', raw, text: raw }]) this.#finish(block);
    this.#pending = '';
    if (this.#gap !== '') this.#write('\n');
    this.#gap = '';
  }

  /** Shows what the lexer can't take apart as it is, up to the last blank line: what follows may make sense again. */
  #pass(): void {
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
    else this.#showPieces(block, pieces(block));
    this.#gap = /\n\s*\n$/.test(block.raw) ? '\n\n' : '\n';
    // The last line of what was a paragraph may turn out to be the head of a table.
    const excess = this.#shown.raw - block.raw.length;
    this.#shown = excess > 0 ? { ...this.#shown, raw: excess } : nothing;
  }

  #grow(block: Token): void {
    if (block.type === 'paragraph') this.#showParagraph(block as Tokens.Paragraph, settled(block as Tokens.Paragraph));
    if (block.type === 'list' || block.type === 'code') this.#showPieces(block, pieces(block).slice(0, -1));
  }

  #showPieces(block: Token, texts: readonly string[]): void {
    const items = block.type === 'list' ? (block as Tokens.List).items : [];
    for (const text of texts.slice(this.#shown.pieces)) {
      this.#write((this.#shown.type === '' ? this.#gap : '\n') + text);
      const pieces = this.#shown.pieces + 1;
      const source = items.slice(0, pieces).map(({ raw }) => raw);
      this.#shown = { type: block.type, pieces, raw: source.join('').trimEnd().length };
    }
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

/** Undefined where the lexer breaks off: marked 18.2 does at a quote within an item that ends in an empty item. */
function blocksOf(text: string): Token[] | undefined {
  try {
    return lexer(text);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return undefined;
  }
}

/** A last line that may yet be an item, a line of code or neither: so long, the lines before it may be taken for other pieces than they are. */
const UNDECIDED = /\n(?!$)[ \t]*([*+-]|\d+[.)])?[ \t]*$/;

/** How much of the growing block is shown: whole pieces, or characters of a paragraph's source. */
const nothing: { readonly type: string; readonly pieces: number; readonly raw: number } = {
  type: '',
  pieces: 0,
  raw: 0,
};

/** Takes the block that later text may still change off the end; a list goes on after a blank line. */
function takeGrowing(blocks: Token[]): Token[] {
  const last = blocks.pop();
  if (last === undefined) return [];
  if (last.type !== 'space' || blocks.at(-1)?.type !== 'list') return [last];
  return [...blocks.splice(-1), last];
}

/** How many characters of a growing paragraph can be shown: up to the first mark that may still be closed. */
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

function pieces(block: Token): string[] {
  if (block.type === 'list')
    return (block as Tokens.List).items.map((item, at) => listItem(block as Tokens.List, item, at));
  if (block.type === 'code') return (block as Tokens.Code).text.split('\n').map((line) => style('cyan', line));
  return [renderBlock(block)];
}

function renderBlock(block: Token): string {
  switch (block.type) {
    case 'heading':
      return style('bold', inline((block as Tokens.Heading).tokens));
    case 'paragraph':
      return inline((block as Tokens.Paragraph).tokens);
    case 'text':
      return inlineToken(block);
    case 'list':
    case 'code':
      return pieces(block).join('\n');
    case 'blockquote':
      return indented(renderBlocks((block as Tokens.Blockquote).tokens), style('dim', '│ '));
    case 'table':
      return table(block as Tokens.Table);
    case 'hr':
      return style('dim', '────────');
    default:
      return block.raw.trimEnd();
  }
}

function renderBlocks(blocks: readonly Token[]): string {
  return blocks
    .filter((block) => block.type !== 'space' && block.type !== 'checkbox')
    .map(renderBlock)
    .join('\n');
}

function listItem(list: Tokens.List, item: Tokens.ListItem, at: number): string {
  const mark = list.ordered ? `${Number(list.start || 1) + at}. ` : '• ';
  const box = item.task ? (item.checked === true ? '[x] ' : '[ ] ') : '';
  return mark + indented(box + renderBlocks(item.tokens), ' '.repeat(mark.length)).trimStart();
}

function indented(text: string, prefix: string): string {
  return prefix + text.replaceAll('\n', `\n${prefix}`);
}

function table(block: Tokens.Table): string {
  const rows = [block.header, ...block.rows].map((row) => row.map((cell) => inline(cell.tokens)));
  const widths = block.header.map((_, at) => Math.max(...rows.map((row) => width(row[at] ?? ''))));
  const lines = rows.map((row) =>
    row
      .map((cell, at) => cell + ' '.repeat((widths[at] ?? 0) - width(cell)))
      .join('  ')
      .trimEnd(),
  );
  return [style('bold', lines[0] ?? ''), ...lines.slice(1)].join('\n');
}

function width(text: string): number {
  return [...stripVTControlCharacters(text)].length;
}

function inline(tokens: readonly Token[]): string {
  return tokens.map(inlineToken).join('');
}

function inlineToken(token: Token): string {
  switch (token.type) {
    case 'strong':
      return style('bold', inline(token.tokens ?? []));
    case 'em':
      return style('italic', inline(token.tokens ?? []));
    case 'del':
      return style('strikethrough', inline(token.tokens ?? []));
    case 'codespan':
      return style('cyan', (token as Tokens.Codespan).text);
    case 'link':
      return link(token as Tokens.Link);
    case 'image':
      return `${(token as Tokens.Image).text} ${style('dim', `(${(token as Tokens.Image).href})`)}`;
    case 'checkbox':
      return '';
    case 'br':
      return '\n';
    case 'escape':
      return (token as Tokens.Escape).text;
    case 'text':
      return token.tokens === undefined ? (token as Tokens.Text).text : inline(token.tokens);
    default:
      return token.raw;
  }
}

/** Where a link leads is always shown: one that hides it is a trap. */
function link(token: Tokens.Link): string {
  const text = inline(token.tokens);
  return token.href.endsWith(token.text) ? text : `${text} ${style('dim', `(${token.href})`)}`;
}

function style(format: Parameters<typeof styleText>[0], text: string): string {
  return styleText(format, text, { validateStream: false });
}
