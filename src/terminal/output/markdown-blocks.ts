import { stripVTControlCharacters, styleText } from 'node:util';
import type { Token, Tokens } from 'marked';

/**
 * Renders a block in pieces that can be shown one by one while it grows: items of a list, lines of
 * code.
 */
export function pieces(block: Token): string[] {
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
  const mark = list.ordered ? `${(list.start === '' ? 1 : list.start) + at}. ` : '• ';
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

/** Renders an inline token. */
export function inlineToken(token: Token): string {
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

/** Renders a link. Always shows its target, because a hidden one could deceive the user. */
function link(token: Tokens.Link): string {
  const text = inline(token.tokens);
  return token.href.endsWith(token.text) ? text : `${text} ${style('dim', `(${token.href})`)}`;
}

function style(format: Parameters<typeof styleText>[0], text: string): string {
  return styleText(format, text, { validateStream: false });
}
