import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { Input } from '../../src/terminal/input/input.ts';
import { Terminal as Pty } from '../support/pty.ts';
import { FakeTerminal } from './fake-terminal.ts';

const UP = '\u001b[A';
const LEFT = '\u001b[D';
const CTRL_C = '\u0003';
const CTRL_D = '\u0004';
const CTRL_L = '\u000c';
const CTRL_X = '\u0018';
const HIDE = '\u001b[?25l';
const SHOW = '\u001b[?25h';

describe('a hidden question', () => {
  it('does not show an answer that was typed ahead, and keeps no answer in the history', async () => {
    const fake = new FakeTerminal({ tty: true });
    const input = new Input(fake.terminal);
    const first = input.ask('first: ', { hidden: true });
    fake.type('correct\r');
    expect(await first).toBe('correct');
    const read = new Promise((resolve) => fake.stdin.once('data', () => setImmediate(resolve)));
    fake.type('horse\rshown\r');
    await read;
    expect(await input.ask('second: ', { hidden: true })).toBe('horse');
    expect(await input.ask('third: ')).toBe('shown');
    const line = input.next('» ');
    fake.type(`${UP}\r`);
    expect(await line).toBe('shown');
    const older = input.next('» ');
    fake.type(`${UP}${UP}${UP}\r`);
    await older;
    input.close();
    expect(stripVTControlCharacters(fake.shown)).toContain('first: \nsecond: \nthird: shown\n');
    expect(fake.shown).not.toMatch(/correct|horse/);
  });

  it('is asked with control characters escaped', async () => {
    const { fake, input } = await atPrompt();
    const answer = input.ask('send all to a/b\u001b]0;x\u0007\u202e? ');
    await type(fake, 'y\r');
    expect(await answer).toBe('y');
    input.close();
    expect(fake.shown).toContain('send all to a/b\\x1b]0;x\\x07\\u202e? ');
    expect(fake.shown).not.toContain('\u001b]0;');
  });

  it('does not show an answer that was begun before it was asked', async () => {
    const { fake, input } = await atPrompt();
    const first = input.next('» ');
    await type(fake, 'go\rcorrect ho');
    expect(await first).toBe('go');
    const answer = input.ask('secret: ', { hidden: true });
    await type(fake, 'rse\r');
    expect(await answer).toBe('correct horse');
    input.close();
    expect(fake.shown).not.toMatch(/correct|horse/);
  });
});

describe('a lent terminal', () => {
  it('receives keys instead of the prompt, which keeps its line and history', async () => {
    const { fake, input } = await atPrompt();
    const raw: boolean[] = [];
    Object.assign(fake.stdin, { setRawMode: (mode: boolean) => raw.push(mode) });
    const first = input.next('» ');
    await type(fake, 'first\rtyped ahead');
    await first;
    const listeners = fake.stdout.listenerCount('resize');
    const given = input.lend(async (stdin, stdout) => {
      const heard = read(stdin, 5);
      await type(fake, 'abc\r');
      await type(fake, CTRL_C);
      stdout.write('drawn\nby it');
      return heard;
    });
    expect(await given).toEqual(['a', 'b', 'c', 'return', 'escape']);
    expect(fake.stdout.listenerCount('resize')).toBe(listeners);
    expect(fake.shown.endsWith('drawn\nby it\u001b[1A\r\u001b[J')).toBe(true);
    const second = input.next('» ');
    await fake.waitFor(/» typed ahead$/);
    await type(fake, ' and more\r');
    expect(await second).toBe('typed ahead and more');
    const third = input.next('» ');
    await type(fake, `${UP}${UP}\r`);
    expect(await third).toBe('first');
    expect(raw).toEqual([true]);
    input.close();
    expect(fake.shown.split('\u001b[?2004').map((rest) => rest[0])).toEqual([undefined, 'h', 'l']);
  });

  it('shows no styles if they are disabled', async () => {
    const fake = new FakeTerminal({ tty: true, env: { NO_COLOR: '1' } });
    const input = new Input(fake.terminal);
    await input.lend(async (_, stdout) => stdout.write('\u001b[1;31mred\u001b[m \u001b[2Dmoved'));
    expect(fake.shown).toContain('red \u001b[2Dmoved');
    input.close();
  });

  it('is restored if the borrower fails', async () => {
    const { fake, input } = await atPrompt();
    const failed = input.lend(async (_, stdout) => {
      stdout.write(HIDE);
      throw new Error('broken');
    });
    await expect(failed).rejects.toThrow('broken');
    expect(fake.shown).toContain(SHOW);
    const line = input.next('» ');
    await type(fake, 'as before\r');
    expect(await line).toBe('as before');
    input.close();
  });

  it.each([
    ['the terminal is closed', (fake: FakeTerminal) => fake.stdin.emit('error', new Error('read EIO')), ['hangup']],
    ['the input is stopped', (_: FakeTerminal, input: Input) => input.stop(), ['end']],
    ['the process ends', (_: FakeTerminal, input: Input) => input.close(), ['end']],
  ] as const)('aborts the signal when %s, and shows the cursor immediately', async (_, end, wanted) => {
    const { fake, input } = await atPrompt();
    const heard: string[] = [];
    input.onHangup = () => heard.push('hangup');
    input.onEnd = () => heard.push('end');
    const done = input.lend(async (_, stdout, signal) => {
      stdout.write(HIDE);
      end(fake, input);
      expect(signal.aborted).toBe(true);
      expect(fake.shown.lastIndexOf(SHOW)).toBeGreaterThan(fake.shown.lastIndexOf(HIDE));
    });
    await done;
    expect(heard).toEqual(wanted);
    expect(await input.lend(async (_, __, { aborted }) => aborted)).toBe(true);
    input.close();
  });

  it('shows the cursor if the process exits by an error, and listens only while lent', async () => {
    const { fake, input } = await atPrompt();
    const before = process.listeners('exit');
    await input.lend(async (_, stdout) => {
      stdout.write(HIDE);
      for (const listener of process.listeners('exit')) if (!before.includes(listener)) listener.call(process, 1);
      expect(fake.shown.endsWith(SHOW)).toBe(true);
    });
    expect(process.listeners('exit')).toEqual(before);
    input.close();
  });

  it.each(['SIGTERM', 'SIGHUP'] as const)('is restored on %s if nothing else handles it', async (signal) => {
    const code = `
      import { Input } from './src/terminal/input/input.ts';
      import { Terminal } from './src/terminal/output/terminal.ts';
      const input = new Input(new Terminal());
      await input.lend((_, stdout) => new Promise(() => stdout.write('${HIDE}lent')));`;
    const cwd = join(import.meta.dirname, '../..');
    await using pty = new Pty(process.execPath, ['--input-type=module', '-e', code], { cwd, env: { TERM: 'xterm' } });
    await pty.waitFor(/lent/);
    pty.kill(signal);
    expect(await pty.exit).toEqual({ code: null, signal });
    expect(pty.raw().lastIndexOf(SHOW)).toBeGreaterThan(pty.raw().lastIndexOf(HIDE));
  });

  it('is lent to one borrower at a time, and not while a line is being read', async () => {
    const { fake, input } = await atPrompt();
    await input.lend(async () => {
      await expect(input.lend(async () => undefined)).rejects.toThrow(TypeError);
    });
    const line = input.next('» ');
    await expect(input.lend(async () => undefined)).rejects.toThrow(TypeError);
    await type(fake, 'x\r');
    expect(await line).toBe('x');
    input.close();
  });
});

describe('a chord of Ctrl+X and a key', () => {
  it.each([
    ['l', 'l'],
    ['L', 'L'],
    ['Ctrl+L', CTRL_L],
    ['Ctrl+X and l', `${CTRL_X}l`],
  ])('completed by %s answers the prompt, and restores the line at the next one', async (_, key) => {
    const { fake, input } = await atPrompt();
    const command = input.next('» ');
    await type(fake, `half${LEFT}${LEFT}`);
    await type(fake, `${CTRL_X}${key}`);
    expect(await command).toBe('/resume');
    expect(fake.shown.endsWith('\r\u001b[J')).toBe(true);
    const line = input.next('» ');
    await fake.waitFor(/» half$/);
    await type(fake, 'X\r');
    expect(await line).toBe('haXlf');
    const older = input.next('» ');
    await type(fake, `${UP}${UP}x\r`);
    expect(await older).toBe('x');
    input.close();
  });

  it('wipes a line of many rows that arrived in one piece', async () => {
    const { fake, input } = await atPrompt();
    const command = input.next('» ');
    await type(fake, 'word '.repeat(40));
    await type(fake, `${CTRL_X}l`);
    await command;
    expect(fake.shown.endsWith('\u001b[2A\r\u001b[J')).toBe(true);
    input.close();
  });

  it('does not restore the interrupted line in a question', async () => {
    const { fake, input } = await atPrompt();
    const command = input.next('» ');
    await type(fake, `half${CTRL_X}l`);
    await command;
    const answer = input.ask('sure? ');
    await fake.waitFor(/sure\? $/);
    await type(fake, `${CTRL_X}l\r`);
    expect(await answer).toBe('l');
    const line = input.next('» ');
    await type(fake, '\r');
    expect(await line).toBe('half');
    input.close();
  });

  it('passes keys typed before the list opens to the list, and later ones to the line', async () => {
    const { fake, input } = await atPrompt();
    const command = input.next('» ');
    await type(fake, `half${CTRL_X}labc`);
    await command;
    expect(await input.lend((stdin) => read(stdin, 3))).toEqual(['a', 'b', 'c']);
    await type(fake, ' more\r');
    const line = input.next('» ');
    expect(await line).toBe('half more');
    input.close();
  });

  it('handles a paste that arrived while nothing was reading, and Ctrl+D', async () => {
    const { fake, input } = await atPrompt();
    const heard: string[] = [];
    input.onEnd = () => heard.push('end');
    input.onHangup = () => heard.push('hangup');
    const command = input.next('» ');
    await type(fake, `${CTRL_X}l`);
    await command;
    await type(fake, '\u001b[200~one\rtwo\u001b[201~');
    expect(await input.lend((stdin) => read(stdin, 7))).toEqual([...'one two']);
    await type(fake, '\u001b[200~one\rtwo\u001b[201~');
    await type(fake, `\r${CTRL_D}`);
    expect(await input.next('» ')).toBe('one\ntwo');
    expect(heard).toEqual(['end']);
    input.close();
  });

  it('keeps pasted lines for the next message', async () => {
    const { fake, input } = await atPrompt();
    const command = input.next('» ');
    await type(fake, '\u001b[200~one\rtwo\u001b[201~');
    await type(fake, `${CTRL_X}l`);
    await command;
    const line = input.next('» ');
    await type(fake, '\r');
    expect(await line).toBe('one\ntwo');
    input.close();
  });

  it.each([
    ['a letter', 'a', 'ka'],
    ['Enter', '', 'k'],
    ['a paste', '\u001b[200~l\u001b[201~', 'kl'],
    ['a paste of both', `\u001b[200~${CTRL_X}l\u001b[201~`, 'kl'],
    ['Meta and l', '\u001bl', 'k'],
  ])('is not completed by %s', async (_, key, wanted) => {
    const { fake, input } = await atPrompt();
    const line = input.next('» ');
    await type(fake, `k${CTRL_X}${key}\r`);
    expect(await line).toBe(wanted);
    input.close();
  });

  it('lets Ctrl+C interrupt and Ctrl+D end at any point', async () => {
    const { fake, input } = await atPrompt();
    const heard: string[] = [];
    input.onInterrupt = () => heard.push('interrupt');
    input.onEnd = () => heard.push('end');
    const command = input.next('» ');
    await type(fake, CTRL_X + CTRL_C);
    expect(heard).toEqual(['interrupt']);
    await type(fake, `${CTRL_X}l`);
    expect(await command).toBe('/resume');
    await type(fake, CTRL_C);
    expect(heard).toEqual(['interrupt', 'interrupt']);
    const line = input.next('» ');
    await type(fake, CTRL_X + CTRL_D);
    expect(await line).toBeUndefined();
    expect(heard).toEqual(['interrupt', 'interrupt', 'end']);
    input.close();
  });

  it('does nothing while no prompt is waiting', async () => {
    const { fake, input } = await atPrompt();
    const first = input.next('» ');
    await type(fake, '\rsecond\r');
    await first;
    for (const line of ['second', 'third', '']) {
      expect(await input.next('» ')).toBe(line);
      const { shown } = fake;
      await type(fake, `${CTRL_X}l${line === 'second' ? 'third' : ''}\r`);
      expect(fake.shown).toBe(shown);
    }
    input.close();
  });
});

describe('clear', () => {
  it('shows the notice below the whole dropped line, wherever the cursor was', async () => {
    const { fake, input } = await atPrompt();
    const line = input.next('» ');
    await type(fake, `${'word '.repeat(40)}\u001b[H`);
    const before = fake.shown.length;
    input.clear('dropped');
    expect(fake.shown.slice(before, fake.shown.indexOf('dropped'))).toContain('\u001b[43G');
    await type(fake, 'x\r');
    expect(await line).toBe('x');
    input.close();
  });
});

describe('forget', () => {
  it('removes the lines with a text from the history, and keeps the others', async () => {
    const { fake, input } = await atPrompt();
    for (const line of ['kept', '/redact sk-live-012345', 'it is sk-live-012345']) {
      const next = input.next('» ');
      await type(fake, `${line}\r`);
      expect(await next).toBe(line);
    }
    input.forget('sk-live-012345');
    const next = input.next('» ');
    await type(fake, '\u001b[A\r');
    expect(await next).toBe('kept');
    input.close();
  });
});

describe("a terminal that can't move its cursor", () => {
  it('drops control keys from its lines', async () => {
    // readline reads the environment of the process itself.
    vi.stubEnv('TERM', 'dumb');
    onTestFinished(() => void vi.unstubAllEnvs());
    const { fake, input } = await atPrompt({ TERM: 'dumb' });
    const line = input.next('» ');
    await type(fake, `${CTRL_L}/resume\ta\r`);
    expect(await line).toBe('/resume\ta');
    input.close();
  });
});

async function atPrompt(env: NodeJS.ProcessEnv = {}): Promise<{ fake: FakeTerminal; input: Input }> {
  const fake = new FakeTerminal({ tty: true, env });
  const input = new Input(fake.terminal);
  input.chords = { l: '/resume' };
  return { fake, input };
}

/** Types a text, and resolves once it was read. */
async function type(fake: FakeTerminal, text: string): Promise<void> {
  const isRead = new Promise((resolve) => fake.stdin.once('data', () => setImmediate(resolve)));
  fake.type(text);
  await isRead;
}

/** Reads `count` keys. Returns what each types, or else its name. */
function read(stdin: NodeJS.EventEmitter, count: number): Promise<string[]> {
  const heard: string[] = [];
  return new Promise((resolve) => {
    stdin.on('keypress', (text: string | undefined, key: { name?: string }) => {
      heard.push(text ?? key.name ?? '');
      if (heard.length === count) resolve(heard);
    });
  });
}
