import { describe, expect, it } from 'vitest';
import { FakeTerminal } from './fake-terminal.ts';

describe('Terminal', () => {
  it('writes out control characters wherever text comes from', async () => {
    const fake = new FakeTerminal({ tty: true });
    fake.terminal.say('a\u001b[2J\n', 'b\u0007');
    fake.terminal.tell('c\u009b\n');
    fake.terminal.fail('d\r');
    fake.terminal.write('e\u001b\n\tf');
    const reply = await fake.terminal.startReply();
    reply.push('g\u001b]0;x');
    reply.push('\u0007 `h\u001b`');
    reply.end();
    await fake.terminal.flush();
    expect(fake.out).toBe(
      'a\\x1b[2J\\n  \u001b[2mb\\x07\u001b[22m\ne\\x1b\n\tfg\\x1b]0;x\\x07 \u001b[36mh\\x1b\u001b[39m\n',
    );
    expect(fake.err).toBe('c\\x9b\\n\ncoffer: d\\r\n');
  });

  it.each([
    ['NO_COLOR', { NO_COLOR: '1' }],
    ['TERM=dumb', { TERM: 'dumb' }],
  ])('shows a reply as it came, without a style, under %s', async (_, env) => {
    const fake = new FakeTerminal({ tty: true, env });
    fake.terminal.say('a', 'details');
    const reply = await fake.terminal.startReply();
    reply.push('**b** \u001b[1m');
    reply.end();
    await fake.terminal.flush();
    expect(fake.shown).toBe('a\n**b** \\x1b[1m\n');
  });

  it('shows a piped reply as it came, and ends its line once', async () => {
    const fake = new FakeTerminal();
    for (const text of ['**a**', 'b\n', '']) {
      const reply = await fake.terminal.startReply();
      reply.push(text);
      reply.end();
    }
    await fake.terminal.flush();
    expect(fake.out).toBe('**a**\nb\n');
  });

  it('pours no faster than it is drunk, and no more once the stream is gone', async () => {
    const fake = new FakeTerminal();
    fake.stdout.removeAllListeners('data').pause();
    let made = 0;
    const pieces = function* (): Generator<string, void> {
      for (; made < 100; made++) yield `${'x'.repeat(100_000)}\n`;
    };
    const poured = fake.terminal.pour(pieces());
    await new Promise(setImmediate);
    expect(made).toBe(0);
    let drunk = 0;
    for await (const data of fake.stdout) {
      drunk += data.length;
      expect(made * 100_001).toBeLessThan(drunk + 300_000);
      if (made < 50) continue;
      fake.stdout.emit('error', Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
      break;
    }
    await poured;
    expect(made).toBeLessThan(60);
  });

  it('tells once that an output is gone, and goes on with the other', async () => {
    const fake = new FakeTerminal();
    const gone: string[] = [];
    fake.terminal.onGone = (how) => gone.push(how);
    fake.stdout.emit('error', Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
    fake.terminal.say('lost');
    fake.terminal.tell('kept');
    fake.stderr.emit('error', Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
    await fake.terminal.flush();
    expect(gone).toEqual(['closed']);
    expect(fake.out).toBe('');
    expect(fake.err).toBe('kept\n');
  });

  it('takes EIO for a terminal that was closed', () => {
    const fake = new FakeTerminal({ tty: true });
    const gone: string[] = [];
    fake.terminal.onGone = (how) => gone.push(how);
    fake.stdout.emit('error', Object.assign(new Error('write EIO'), { code: 'EIO' }));
    expect(gone).toEqual(['hangup']);
  });

  it('fails at the end where the output could not be taken', async () => {
    const fake = new FakeTerminal();
    fake.stdout.emit('error', Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' }));
    await expect(fake.terminal.flush()).rejects.toMatchObject({ code: 'FAILED', message: /no space left/ });
  });

  it('is interactive only where somebody can read the question', () => {
    expect(new FakeTerminal().terminal.interactive).toBe(false);
    expect(new FakeTerminal({ tty: true }).terminal.interactive).toBe(true);
    const piped = new FakeTerminal();
    Object.assign(piped.stdin, { isTTY: true });
    expect(piped.terminal.interactive).toBe(false);
  });
});
