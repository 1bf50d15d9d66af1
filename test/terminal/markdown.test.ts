import { stripVTControlCharacters } from 'node:util';
import fc from 'fast-check';
import type { Tokens } from 'marked';
import { describe, expect, it, vi } from 'vitest';
import { MarkdownStream } from '../../src/terminal/output/markdown.ts';

const lexed = vi.hoisted(() => ({ characters: 0, items: 0 }));
vi.mock('marked', async (original) => {
  const marked = await original<typeof import('marked')>();
  const lexer: typeof marked.lexer = (text, ...rest) => {
    lexed.characters += text.length;
    const blocks = marked.lexer(text, ...rest);
    for (const block of blocks) {
      for (const item of block.type === 'list' ? (block as Tokens.List).items : []) countReads(item);
    }
    return blocks;
  };
  /** Counts how often the source of an item is read. */
  function countReads(item: Tokens.ListItem): void {
    const { raw } = item;
    Object.defineProperty(item, 'raw', {
      get() {
        lexed.items++;
        return raw;
      },
    });
  }
  return { ...marked, lexer };
});

/** Renders a text that arrives in pieces of `size` characters. */
function render(text: string, size: number = text.length): string {
  let shown = '';
  const stream = new MarkdownStream((piece) => {
    shown += piece;
  });
  for (let at = 0; at < text.length; at += size) stream.push(text.slice(at, at + size));
  stream.end();
  return shown;
}

/** Returns what is shown of a text before its end. */
function shownSoFar(text: string): string {
  let shown = '';
  const stream = new MarkdownStream((piece) => {
    shown += piece;
  });
  for (const character of text) stream.push(character);
  return stripVTControlCharacters(shown);
}

/** Texts of one kind of block, `count` lines or items long. */
const long: Readonly<Record<string, (count: number) => string>> = {
  'a list': (count) => lines(count, (at) => `- item ${at} of **them**`),
  'a numbered list': (count) => lines(count, (at) => `${at + 3}. item ${at}`),
  'a list with gaps and more in it': (count) => lines(count, (at) => `* item ${at}\n  - inside\n\n  more of it\n`),
  code: (count) => `\`\`\`js\n${lines(count, (at) => `  call(${at});\n`)}\`\`\`\n\nbehind\n`,
  'code behind an indented fence': (count) => `  ~~~\n${lines(count, (at) => `  line ${at}`)}  ~~~\nbehind\n`,
  'a paragraph': (count) =>
    lines(count, (at) => `some words and **bold ones** go on, ${at} of them`).replaceAll('\n', ' '),
  'a paragraph of many lines': (count) =>
    lines(count, (at) => `line ${at} of [many](https://a.example/${at}) and more`),
  'a table': (count) => `| a | b |\n|---|---|\n${lines(count, (at) => `| cell ${at} | more |`)}`,
  'a quote': (count) => lines(count, (at) => `> quoted line ${at} with some words`),
  'words without blanks': (count) => lines(count, () => '没有空格的文字').replaceAll('\n', ''),
  paragraphs: (count) => lines(count, (at) => `a paragraph, number ${at}\n`),
};

function lines(count: number, line: (at: number) => string): string {
  return Array.from({ length: count }, (_, at) => `${line(at)}\n`).join('');
}

/** Returns the number of characters parsed to render a text that arrives word by word. */
function workOf(text: string): number {
  lexed.characters = 0;
  render(text, 5);
  return lexed.characters;
}

const bold = (text: string): string => `\u001b[1m${text}\u001b[22m`;
const cyan = (text: string): string => `\u001b[36m${text}\u001b[39m`;
const dim = (text: string): string => `\u001b[2m${text}\u001b[22m`;

describe('MarkdownStream', () => {
  it.each([
    ['emphasis', 'a **b** and *c*, ~~d~~', `a ${bold('b')} and \u001b[3mc\u001b[23m, \u001b[9md\u001b[29m\n`],
    ['code in a line', 'say `x**y**`', `say ${cyan('x**y**')}\n`],
    ['headings', '# One\n\ntext', `${bold('One')}\n\ntext\n`],
    ['lists, nested and ordered', '- **a**\n- b\n  - c\n\n3. d\n4. e', `• ${bold('a')}\n• b\n  • c\n\n3. d\n4. e\n`],
    ['a list that begins with 0', '0. a\n1. b', '0. a\n1. b\n'],
    ['lists with gaps', '- a\n\n- b\n\n  more', '• a\n• b\n  more\n'],
    ['tasks', '- [x] done\n- [ ] open', '• [x] done\n• [ ] open\n'],
    ['code', '```js\nlet a;\n\nb();\n```', `${cyan('let a;')}\n${cyan('')}\n${cyan('b();')}\n`],
    ['quotes', '> a\n> b', `${dim('│ ')}a\n${dim('│ ')}b\n`],
    ['tables', '| a | b |\n|---|---|\n| **long** | c |', `${bold('a     b')}\n${bold('long')}  c\n`],
    ['rules', 'a\n\n---\n\nb', `a\n\n${dim('────────')}\n\nb\n`],
    ['where a link leads', '[here](https://evil.example)', `here ${dim('(https://evil.example)')}\n`],
    ['an address once', 'see https://a.example/b_c', 'see https://a.example/b_c\n'],
    ['an image by its address', '![cat](https://a.example/c)', `cat ${dim('(https://a.example/c)')}\n`],
    ['escaped marks and line breaks', '1\\. a\\\nb', '1. a\nb\n'],
    ['HTML as it is', '<b>x</b>', '<b>x</b>\n'],
  ])('renders %s', (_, text, shown) => {
    expect(render(text)).toBe(shown);
    for (const size of [1, 2, 5]) expect(render(text, size)).toBe(shown);
  });

  it('shows words, items and lines of code before the reply ends', () => {
    expect(shownSoFar('Hello there, wor')).toBe('Hello there, wor');
    expect(shownSoFar('It is **bold** so')).toBe('It is bold so');
    expect(shownSoFar('It is **bo')).toBe('It is');
    expect(shownSoFar('It *is `not` done')).toBe('It');
    expect(shownSoFar('- one\n- two\n- thr')).toBe('• one\n• two');
    expect(shownSoFar('```\none\ntwo\nthr')).toBe('one\ntwo');
  });

  it('keeps what it showed if that turns out to be something else', () => {
    expect(stripVTControlCharacters(render('Title\n=====\ntext', 1))).toBe('Title\n=====\ntext\n');
    expect(stripVTControlCharacters(render('Name | Age\n---|---\nx | 1', 1))).toBe('Name | Age\n---|---\nx | 1\n');
  });

  it('shows nothing for a reply without text', () => {
    expect(render('')).toBe('');
    expect(render('\n\n', 1)).toBe('');
  });

  it.each([
    ['code behind an indented fence', '  ```\n  a\n  b\n  ```\nc', 'a\nb\nc\n'],
    ['stars that might have been the next item', '* one```\n**two', '• one```\n  **two\n'],
    ['a number behind an item', '- one\n2. two\n10 three', '• one\n2. two\n   10 three\n'],
    ['the second line of a paragraph that heads a table', 'a\nb | c\n--|--\nd | e', 'a\nb | c\n--|--\nd | e\n'],
    ['text that the lexer cannot parse', 'before\n\n1. a\n   > + \n   a', 'before\n\n1. a\n   > + \n   a\n'],
    [
      'text that the lexer cannot parse, and the rest rendered',
      '1. a\n2. b\n   > + \n   c\n\n**d**\n\n- e',
      '1. a\n2. b\n   > + \n   c\n\nd\n\n• e\n',
    ],
  ])('shows %s exactly once', (_, text, shown) => {
    expect(stripVTControlCharacters(render(text, 1))).toBe(shown);
  });

  it.each(Object.entries(long))('shows the same for %s, however it is cut', (_, text) => {
    const whole = text(300);
    for (const size of [3, 50]) expect(render(whole, size)).toBe(render(whole));
  });

  it.each(Object.entries(long))('takes linear time for %s', (_, text) => {
    const [some, more] = [300, 3000].map((count) => workOf(text(count)));
    expect(more).toBeLessThan(Number(some) * 15);
    expect(more).toBeGreaterThanOrEqual(text(3000).length);
  });

  it('reads each item of a list that arrives at once only a few times', () => {
    lexed.items = 0;
    render(long['a list']?.(300) ?? '');
    expect(lexed.items).toBeGreaterThanOrEqual(300);
    expect(lexed.items).toBeLessThan(1500);
  });

  it('loses no letter, however the text is cut', () => {
    const unit = fc.constantFrom(
      'a',
      'b ',
      'C',
      '*',
      '**',
      '`',
      '\n',
      '\n\n',
      '- ',
      '1. ',
      '# ',
      '> ',
      '| ',
      '```\n',
      '_',
      '  ',
      '===',
      '[x](y)',
    );
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 40 }), fc.integer({ min: 1, max: 9 }), (text, size) => {
        // Not shown: the language after a code fence, and cells beyond the last column of a table.
        fc.pre(!/`{3}[^`\n]*[abC]/.test(text) && !/-.*\|.*\n|\|.*-.*\n/.test(text));
        const letters = (shown: string): string => stripVTControlCharacters(shown).replace(/[^abC]/g, '');
        expect(letters(render(text, size))).toBe(letters(text));
      }),
      { numRuns: 1000 },
    );
  });
});
