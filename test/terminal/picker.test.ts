import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { CofferError } from '../../src/errors.ts';
import type { Row } from '../../src/session/list/row.ts';
import { Input } from '../../src/terminal/input/input.ts';
import { type Choice, pick, pickSession } from '../../src/terminal/input/picker.ts';
import { widthOf } from '../../src/terminal/output/width.ts';
import { FakeTerminal } from './fake-terminal.ts';

const ESC = '\u001b';
const UP = `${ESC}[A`;
const DOWN = `${ESC}[B`;
const PAGE_DOWN = `${ESC}[6~`;
const CTRL_U = '\u0015';

const fruits: readonly Choice<string>[] = [
  { value: 'a', title: 'Apple', details: 'red', words: ['round', undefined] },
  { value: 'b', title: 'Banana', details: 'yellow' },
  { value: 'c', title: 'Cherry', details: 'red too', words: ['round', 'É'] },
];

/** Opens a picker, and resolves once it was drawn. */
async function picking<T>(
  choices: readonly Choice<T>[],
  options: { env?: NodeJS.ProcessEnv } = {},
): Promise<{ fake: FakeTerminal; input: Input; picked: Promise<T | undefined> }> {
  const fake = new FakeTerminal({ tty: true, ...options });
  const input = new Input(fake.terminal);
  const picked = pick(fake.terminal, input, choices, { question: 'which?' });
  await fake.waitFor(/which\?/);
  return { fake, input, picked };
}

/** Matches the focused choice when it is next drawn. */
function focus(title: string): RegExp {
  return new RegExp(`● (\\d+ {2})?${title}`);
}

describe('pick', () => {
  it('starts at the first choice and moves by arrow keys, wrapping around', async () => {
    const { fake, input, picked } = await picking(fruits);
    fake.type(DOWN);
    await fake.waitFor(focus('Banana'));
    fake.type(UP + UP);
    await fake.waitFor(focus('Cherry'));
    fake.type('\r');
    expect(await picked).toBe('c');
    input.close();
  });

  it.each([
    ['a title', 'nan', 'b'],
    ['another case', 'CHERRY', 'c'],
    ['hidden words', 'round rr', 'c'],
    ['a composed letter', 'e\u0301', 'c'],
    ['a text after backspace', 'cherx\u007f', 'c'],
    ['a text after Ctrl+U', `apple${CTRL_U}ban`, 'b'],
  ])('filters by %s', async (_, text, wanted) => {
    const { fake, input, picked } = await picking(fruits);
    fake.type(text);
    await fake.waitFor(/\(1 match\)/);
    fake.type('\r');
    expect(await picked).toBe(wanted);
    input.close();
  });

  it.each([
    ['Esc', ESC],
    ['Ctrl+C', '\u0003'],
    ['Ctrl+D', '\u0004'],
  ])('returns undefined after %s, which neither interrupts nor ends the input', async (_, key) => {
    const { fake, input, picked } = await picking(fruits);
    const heard: string[] = [];
    input.onInterrupt = () => heard.push('interrupt');
    input.onEnd = () => heard.push('end');
    input.onHangup = () => heard.push('hangup');
    fake.type(`some filter${DOWN}`);
    await fake.waitFor(/some filter/);
    fake.type(key);
    expect(await picked).toBeUndefined();
    expect(heard).toEqual([]);
    input.close();
  });

  it('ignores Enter if nothing matches or the choice is disabled', async () => {
    const { fake, input, picked } = await picking([
      { value: 'x', title: 'Xylophone', disabled: true },
      ...fruits,
      { value: 'z', title: 'Zither', disabled: true },
    ]);
    fake.type('\r');
    await fake.waitFor(/nothing here can be chosen/);
    fake.type('qqq');
    await fake.waitFor(/No matches found/);
    fake.type('\r');
    await fake.waitFor(/nothing here can be chosen/);
    fake.type(`${CTRL_U}zither`);
    await fake.waitFor(/\(1 match\)/);
    fake.type('\r');
    await fake.waitFor(/nothing here can be chosen/);
    fake.type(`${CTRL_U}${DOWN}${UP}${UP}`);
    await fake.waitFor(focus('Cherry'));
    fake.type('\r');
    expect(await picked).toBe('c');
    input.close();
  });

  it('escapes titles and details', async () => {
    const evil = `a${ESC}[2J${ESC}]0;title\u0007b\u009bc\u202ed\u2066e\nf\rg\u0008`;
    const { fake, input, picked } = await picking([{ value: 1, title: evil, details: evil }]);
    fake.type('\r');
    expect(await picked).toBe(1);
    expect(fake.shown).toContain('a\\x1b[2J\\x1b]0;title\\x07b\\x9bc\\u202ed\\u2066e\\nf\\rg\\x08');
    for (const sequence of [`${ESC}[2J`, `${ESC}]`, ...'\u0007\u0008\u009b\u202e\u2066'])
      expect(fake.shown).not.toContain(sequence);
    input.close();
  });

  it('cuts long and wide text to the terminal, and again after a resize', async () => {
    const long = { value: 1, title: '漢字かな😀👨‍👩‍👧'.repeat(40), details: 'é'.repeat(5000) };
    const { fake, input, picked } = await picking([long, { value: 2, title: 'short' }]);
    expect(widest(fake.shown)).toBeLessThan(80);
    expect(widest(fake.shown)).toBeGreaterThan(75);
    const before = fake.shown.length;
    Object.assign(fake.stdout, { columns: 40 });
    fake.stdout.emit('resize');
    await fake.waitFor(/short/);
    expect(widest(fake.shown.slice(before))).toBeLessThan(40);
    fake.type('\r');
    expect(await picked).toBe(1);
    input.close();
  });

  it('assumes 80 columns and 24 rows for a terminal without a size', async () => {
    const fake = new FakeTerminal({ tty: true });
    Object.assign(fake.stdout, { columns: 0, rows: 0 });
    const input = new Input(fake.terminal);
    const many = Array.from({ length: 50 }, (_, value) => ({
      value,
      title: `title ${value} ${'x'.repeat(100)}`,
      details: 'y',
    }));
    const picked = pick(fake.terminal, input, many, { question: 'which?' });
    await fake.waitFor(/which\?/);
    expect(widest(fake.shown)).toBe(79);
    expect(fake.shown.split('\n').length).toBeGreaterThan(15);
    expect(fake.shown.split('\n').length).toBeLessThanOrEqual(24);
    fake.type('\r');
    expect(await picked).toBe(0);
    input.close();
  });

  it('shows a screenful of thousands of choices, and finds the last one', async () => {
    const many = Array.from({ length: 2000 }, (_, index) => ({
      value: index,
      title: `title ${index}`,
      details: 'details',
    }));
    const { fake, input, picked } = await picking(many);
    expect(fake.shown.split('\n').length).toBeLessThanOrEqual(24);
    fake.type(PAGE_DOWN.repeat(150));
    await fake.waitFor(focus('title 1500'));
    fake.type(`${UP}x${CTRL_U}1999`);
    await fake.waitFor(/\(1 match\)/);
    fake.type('\r');
    expect(await picked).toBe(1999);
    input.close();
  });

  it('does not choose on a paste', async () => {
    const { fake, input, picked } = await picking(fruits);
    fake.type(`${ESC}[200~ban\rana${ESC}[201~`);
    await fake.waitFor(/Search: ban ana/);
    fake.type(`${CTRL_U}cherry`);
    await fake.waitFor(/\(1 match\)/);
    fake.type('\r');
    expect(await picked).toBe('c');
    input.close();
  });

  it('wipes what it drew, and shows the cursor again', async () => {
    const { fake, input, picked } = await picking(fruits);
    const begun = fake.shown.indexOf(`${ESC}[?25l`);
    expect(begun).toBeGreaterThan(-1);
    fake.type(`${DOWN}\r`);
    await picked;
    const shown = fake.shown.slice(begun);
    expect(shown.lastIndexOf(`${ESC}[?25h`)).toBeGreaterThan(shown.lastIndexOf(`${ESC}[?25l`));
    expect(rowAtEnd(shown)).toBe(0);
    expect(shown.endsWith(`\r${ESC}[J`)).toBe(true);
    input.close();
  });

  it.each([
    ['the terminal is closed', (fake: FakeTerminal) => fake.stdin.emit('error', new Error('read EIO'))],
    ['the input ends', (fake: FakeTerminal) => fake.stdin.end()],
    ['the chat ends', (_: FakeTerminal, input: Input) => input.stop()],
  ] as const)('returns undefined when %s, and leaves the screen as it was', async (_, end) => {
    const { fake, input, picked } = await picking(fruits);
    input.onHangup = () => undefined;
    end(fake, input);
    expect(await picked).toBeUndefined();
    const shown = fake.shown.slice(fake.shown.indexOf(`${ESC}[?25l`));
    expect(shown.lastIndexOf(`${ESC}[?25h`)).toBeGreaterThan(0);
    expect(rowAtEnd(shown)).toBe(0);
    input.close();
  });

  it('has no styles with NO_COLOR', async () => {
    const { fake, input, picked } = await picking(fruits, { env: { NO_COLOR: '1' } });
    fake.type(`ch${UP}\r`);
    expect(await picked).toBe('c');
    expect(fake.shown).not.toMatch(new RegExp(`${ESC}\\[[\\d;]*m`));
    input.close();
  });

  it("asks for a number if the cursor can't be moved", async () => {
    const fake = new FakeTerminal({ tty: true, env: { TERM: 'dumb' } });
    const input = new Input(fake.terminal);
    const many = Array.from({ length: 30 }, (_, index) => ({ value: index, title: `title ${index}` }));
    const off = { value: -1, title: 'off', number: 99, disabled: true };
    const picked = pick(fake.terminal, input, [...many, off], { question: 'which?' });
    await fake.waitFor(/ 20\) title 19\nand 11 more\n.*which\?/s);
    fake.type('99\r');
    await fake.waitFor(/no match for 99\n.*which\?/s);
    fake.type('title 2\r');
    await fake.waitFor(/ {2}3\) title 2\n 13\) title 12\n 21\) title 20\n/);
    fake.type('21\r');
    expect(await picked).toBe(20);
    const left = pick(fake.terminal, input, many, { question: 'which?' });
    await fake.waitFor(/which\?/);
    fake.type('\r');
    expect(await left).toBeUndefined();
    input.close();
  });

  it('throws without a terminal', async () => {
    const fake = new FakeTerminal();
    const input = new Input(fake.terminal);
    await expect(pick(fake.terminal, input, fruits, { question: 'which?' })).rejects.toThrow(/print the list/);
    await expect(input.lend(async () => undefined)).rejects.toThrow(TypeError);
  });
});

describe('pickSession', () => {
  it('shows the newest first, with details, and unreadable sessions last', async () => {
    const fake = new FakeTerminal({ tty: true });
    const input = new Input(fake.terminal);
    const now = Date.now();
    const rows = [
      row(1, { updated: now - 7_200_000, label: '_autosave', title: 'older', held: { pid: 1, since: 0 } }),
      row(2, { updated: now, name: 'named', title: 'newer', tags: ['x', 'y'], pinned: true }),
      row(3, { updated: now, unreadable: new CofferError('UNAUTHENTIC', 'broken'), label: 'f'.repeat(32) }),
      row(4, { updated: now - 1000, kind: 'snapshot', rolledBack: 'it is older' }),
    ];
    const picked = pickSession(fake.terminal, input, rows);
    await fake.waitFor(/resume which session\?/);
    const lines = stripVTControlCharacters(fake.shown).split('\n').slice(2, 10);
    expect(lines).toEqual([
      '● 2  named',
      '  2 messages, just now, demo/echo, completed, pinned, /work/two, #x, #y',
      '○ 4  2025-07-04_12-34',
      '  2 messages, just now, demo/echo, snapshot, not as last seen, /work/two',
      '○ 1  older',
      '  2 messages, 2 hours ago, demo/echo, in use, /work/two',
      `○ 3  ${'f'.repeat(32)}`,
      "  can't be opened",
    ]);
    fake.type('fff\r');
    await fake.waitFor(/nothing here can be chosen/);
    fake.type(ESC);
    expect(await picked).toBeUndefined();
    input.close();
  });

  it.each([
    ['title', 'something', 1],
    ['id', '12-31', 1],
    ['name', 'mine', 2],
    ['tag', 'urgent', 2],
    ['directory', 'elsewhere', 1],
    ['model', 'eliza', 2],
  ])('filters by the %s', async (_, text, wanted) => {
    const fake = new FakeTerminal({ tty: true });
    const input = new Input(fake.terminal);
    const picked = pickSession(fake.terminal, input, [
      row(1, { title: 'something', directory: '/elsewhere' }),
      row(2, { name: 'mine', tags: ['urgent'], model: 'demo/eliza' }),
    ]);
    await fake.waitFor(/which/);
    fake.type(text);
    await fake.waitFor(/\(1 match\)/);
    fake.type('\r');
    expect((await picked)?.number).toBe(wanted);
    input.close();
  });

  it('reports if there are no sessions', async () => {
    const fake = new FakeTerminal({ tty: true });
    expect(await pickSession(fake.terminal, new Input(fake.terminal), [])).toBeUndefined();
    await fake.terminal.flush();
    expect(fake.shown).toBe('no saved sessions yet\n');
  });
});

function row(number: number, changes: Partial<Row>): Row {
  const id = `2025-07-04_12-3${number}`;
  return {
    ...{ number, fileId: 'f'.repeat(32), label: id, autosave: false, kind: 'session', id, uuid: '', begun: 0 },
    ...{ updated: number, directory: '/work/two', model: 'demo/echo', messages: 2 },
    ...{ inputTokens: null, outputTokens: null, cost: null, status: 'completed', firstEvent: 1, lastEvent: 1 },
    ...changes,
  };
}

function widest(shown: string): number {
  return Math.max(...stripVTControlCharacters(shown).split('\n').map(widthOf));
}

/** Returns the row that the cursor ends in, relative to where it began. */
function rowAtEnd(shown: string): number {
  let at = 0;
  for (const [found, count = '1', way] of shown.matchAll(new RegExp(`\\n|${ESC}\\[(\\d*)([AB])`, 'g'))) {
    at += found === '\n' ? 1 : Number(count) * (way === 'A' ? -1 : 1);
  }
  return at;
}
