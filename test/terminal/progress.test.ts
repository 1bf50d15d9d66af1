import { describe, expect, it } from 'vitest';
import { Progress } from '../../src/terminal/output/progress.ts';
import { FakeTerminal } from './fake-terminal.ts';

describe('progress', () => {
  it('is one line, which `end` wipes and which is redrawn only if it changed', async () => {
    const fake = new FakeTerminal({ tty: true });
    const progress = new Progress(fake.terminal, 'searching');
    progress.show(1, 4);
    progress.show(1, 4);
    progress.end();
    fake.terminal.say('found');
    progress.show(1, 4);
    progress.show(4, 4);
    progress.end();
    progress.end();
    const quarter = `\rsearching 1 of 4 ${'█'.repeat(5)}${'░'.repeat(15)}\u001b[K`;
    const wiped = '\r\u001b[K';
    await fake.terminal.flush();
    expect(fake.shown).toBe(`${quarter}${wiped}found\n${quarter}\rsearching 4 of 4 ${'█'.repeat(20)}\u001b[K${wiped}`);
  });

  it('leaves the last column free, so that it never wraps', async () => {
    const fake = new FakeTerminal({ tty: true });
    Object.assign(fake.stdout, { columns: 12 });
    const progress = new Progress(fake.terminal, 'searching');
    progress.show(1, 4);
    await fake.terminal.flush();
    expect(fake.shown).toBe('\rsearching …\u001b[K');
  });

  it.each([
    ['a pipe', { tty: false }],
    ["a terminal that can't wipe a line", { tty: true, env: { TERM: 'dumb' } }],
  ])('shows nothing on %s', async (_, options) => {
    const fake = new FakeTerminal(options);
    const progress = new Progress(fake.terminal, 'searching');
    progress.show(1, 4);
    progress.end();
    await fake.terminal.flush();
    expect(fake.shown).toBe('');
  });

  it('shows nothing for a total of 0', async () => {
    const fake = new FakeTerminal({ tty: true });
    new Progress(fake.terminal, 'searching').show(0, 0);
    await fake.terminal.flush();
    expect(fake.shown).toBe('');
  });
});
