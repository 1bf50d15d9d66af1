import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { CofferError } from '../../src/errors.ts';
import type { Command, Live, LiveEvent } from '../../src/live/live.ts';
import { Input } from '../../src/terminal/input/input.ts';
import { LiveView } from '../../src/terminal/live-view.ts';
import { FakeTerminal } from './fake-terminal.ts';

const request = { toolCallId: 'c1', toolName: 'run_command', rule: 'command:ls', about: 'run ls', detail: 'ls' };

describe('the view of a live session', () => {
  it('takes a question back if another client answers it', async () => {
    const { fake, input, live, sent } = viewed();
    live.write({ type: 'ask', question: { ask: 7, kind: 'approval', request } } satisfies LiveEvent);
    await fake.waitFor(/(?:session|eny): $/);
    live.write({ type: 'ask-over', ask: 7, answer: 'deny' } satisfies LiveEvent);
    live.write({ type: 'notice', notice: { kind: 'wait', seconds: 1, error: busy } } satisfies LiveEvent);
    await fake.waitFor(/busy/);
    const next = input.next('» ');
    await fake.waitFor(/» $/);
    fake.type('once\r');
    expect(await next).toBe('once');
    expect(sent).toEqual([]);
  }, 20_000);

  it.each([
    ['CANCELLED', undefined],
    ['MODEL_FAILED', { code: 'MODEL_FAILED' }],
  ] as const)('returns the error of a prompt, and none if it was cancelled: %s', async (code, expected) => {
    const { live, sent, view } = viewed();
    const prompted = view.prompt('hello');
    const tag = sent[0]?.type === 'SendMessage' ? sent[0].tag : '';
    const error = new CofferError(code, 'not sent');
    live.write({ type: 'idle', tag, outcome: 'unsent', text: false, error } satisfies LiveEvent);
    const returned = await prompted;
    if (expected === undefined) expect(returned).toBeUndefined();
    else expect(returned).toMatchObject(expected);
  });
});

const busy = new CofferError('MODEL_LIMITED', 'the provider is busy');

/** A view on a terminal of a live session whose events are written by the test. */
function viewed(): { fake: FakeTerminal; input: Input; live: PassThrough; sent: Command[]; view: LiveView } {
  const fake = new FakeTerminal({ tty: true });
  const input = new Input(fake.terminal);
  const live = new PassThrough({ objectMode: true });
  const sent: Command[] = [];
  const session = {
    events: () => live,
    async send(command: Command): Promise<void> {
      sent.push(command);
    },
  } as unknown as Live;
  return { fake, input, live, sent, view: new LiveView(session, { terminal: fake.terminal, input }) };
}
