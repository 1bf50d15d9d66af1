import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { Input } from '../../src/cli/input.ts';
import { FakeTerminal } from './fake-terminal.ts';

const UP = '\u001b[A';

describe('a hidden question', () => {
  it('shows nothing of an answer that was typed before it was asked, and keeps none in the history', async () => {
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
});
