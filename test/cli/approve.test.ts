import { describe, expect, it } from 'vitest';
import { approverOf } from '../../src/cli/approve.ts';
import type { Chat } from '../../src/cli/chat.ts';
import { Input } from '../../src/cli/input.ts';
import { FakeTerminal } from './fake-terminal.ts';

const QUESTION = /lways no: $/;
const request = { toolCallId: 'c1', toolName: 'run_command', rule: 'command:ls', about: 'run ls', detail: 'ls' };

describe('the question whether a tool may', () => {
  it('is not answered by keys that had arrived and were not read when it was asked', async () => {
    const { fake, input, approve } = at();
    const first = input.next('» ');
    fake.type('go\r');
    await first;
    const answer = approve(request, idle());
    fake.type('o\r');
    await fake.waitFor(QUESTION);
    fake.type('s\r');
    expect(await answer).toBe('session');
    expect(await input.next('» ')).toBe('o');
  });

  it('is not answered by keys that wait in a terminal nobody has listened to', async () => {
    const { fake, approve } = at();
    fake.type('o\r');
    const answer = approve(request, idle());
    await fake.waitFor(QUESTION);
    fake.type('s\r');
    expect(await answer).toBe('session');
  });

  it('takes back what was typed', async () => {
    const { fake, approve } = at();
    const answer = approve(request, idle());
    await fake.waitFor(QUESTION);
    fake.type('ox\u007f\u007fs\u0015a\r');
    expect(await answer).toBe('always');
  });

  it('is withdrawn when the turn is cancelled from elsewhere', async () => {
    const { fake, approve } = at();
    const cancel = new AbortController();
    const answer = approve(request, cancel.signal);
    await fake.waitFor(QUESTION);
    cancel.abort();
    expect(await answer).toBe('deny');
  });

  it('is not asked where nobody is there', () => {
    const { terminal } = new FakeTerminal();
    expect(approverOf({ terminal } as Chat, () => undefined)).toBeUndefined();
  });
});

function at(): { fake: FakeTerminal; input: Input; approve: NonNullable<ReturnType<typeof approverOf>> } {
  const fake = new FakeTerminal({ tty: true });
  const input = new Input(fake.terminal);
  const approve = approverOf({ terminal: fake.terminal, input } as Chat, () => undefined);
  if (approve === undefined) throw new Error('somebody is there');
  return { fake, input, approve };
}

function idle(): AbortSignal {
  return new AbortController().signal;
}
