import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type TurnEvents, type TurnOptions, type TurnResult, turn } from '../../src/chat/loop.ts';
import { type ChatModel, openModel, type ReplyPart } from '../../src/chat/models/models.ts';
import type { Message, NewEvent } from '../../src/session/event/event.ts';
import { type ModelServer, startModelServer } from '../support/model-server.ts';
import { Recorder } from './recorder.ts';
import { scriptedModel } from './scripted.ts';

let server: ModelServer;
beforeAll(async () => {
  server = await startModelServer();
});
afterAll(() => server[Symbol.asyncDispose]());

const user = (content: string): NewEvent => ({ type: 'message', message: { role: 'user', content } });
const silent: TurnEvents = { onText: () => undefined };

function open(model: string, base: 'openai' | 'held' = 'openai'): Promise<ChatModel> {
  return openModel(`mock/${model}`, { providers: { mock: { baseURL: server[base] } }, env: {} });
}

describe('turn', () => {
  it('records the prompt as a step, then the reply with its usage as another', async () => {
    const session = new Recorder();
    const heard: string[] = [];
    const events = { onText: (delta: string) => heard.push(delta) };
    const result = await turn(session, await open('reply'), 'hello', events, idle());
    expect(result).toEqual({ outcome: 'completed', text: 'you said: hello' });
    expect(heard.length).toBeGreaterThan(1);
    expect(heard.join('')).toBe('you said: hello');
    expect(session.steps).toEqual([
      [user('hello')],
      [
        { type: 'message', message: { role: 'assistant', content: 'you said: hello' }, model: 'mock/reply' },
        { type: 'usage', model: 'mock/reply', usage: { inputTokens: 7, outputTokens: 5, cost: null } },
      ],
    ]);
    expect(session.draft).toBeUndefined();
  });

  it('asks the model only after the prompt has been recorded', async () => {
    const session = new Recorder();
    const before = server.requests.length;
    const recorded = Promise.withResolvers<void>();
    const record = session.record.bind(session);
    session.record = async (...events) => {
      await recorded.promise;
      await record(...events);
      expect(server.requests.length).toBe(before);
      session.record = record;
    };
    const result = turn(session, await open('reply'), 'hello', silent, idle());
    recorded.resolve();
    expect((await result).outcome).toBe('completed');
    expect(server.requests.length).toBe(before + 1);
  });

  it('sends the model the whole conversation on each turn', async () => {
    const session = new Recorder();
    const echo = await openModel('demo/echo', { providers: {}, env: {} });
    await turn(session, echo, 'one', silent, idle());
    const model = scripted([{ type: 'text', text: 'three' }]);
    await turn(session, model, 'two', silent, idle());
    expect(model.asked).toEqual([
      [
        { role: 'user', content: 'one' },
        { role: 'assistant', content: 'echo: one' },
        { role: 'user', content: 'two' },
      ],
    ]);
    expect(session.state.messageCount).toBe(4);
  });

  it('keeps the blank parts of a reply', async () => {
    const blank = { type: 'text', text: ' \n' } as const;
    const call = { type: 'tool-call', toolCallId: 'a', toolName: 'read', input: {} } as const;
    const finish = (reason: string): ReplyPart => ({
      type: 'finish',
      usage: { inputTokens: null, outputTokens: null, cost: null },
      reason,
    });
    const session = new Recorder();
    const parts = [[blank, finish('stop')], [blank, call, finish('tool-calls')], [finish('stop')]];
    const model = scriptedModel((request) => parts[request] ?? []);
    expect((await turn(session, model, 'one', silent, idle())).outcome).toBe('failed');
    expect(session.state.messages.at(-1)?.content).toBe(' \n');
    await turn(session, model, 'two', silent, idle());
    expect(session.state.messages.map(({ content }) => content)).toContainEqual([blank, call]);
  });

  it('runs no call of a reply that was cut off at its length limit', async () => {
    const session = new Recorder();
    const model = scriptedModel(() => [
      { type: 'text', text: 'let me read' },
      { type: 'tool-call', toolCallId: 'a', toolName: 'read', input: {} },
      { type: 'finish', usage: { inputTokens: null, outputTokens: null, cost: null }, reason: 'length' },
    ]);
    const ran: string[] = [];
    const definitions = [{ name: 'read', description: 'reads', inputSchema: {} }];
    const tools = { definitions, run: async ({ toolName }: { toolName: string }) => void ran.push(toolName) };
    const result = await turn(session, model, 'go', silent, idle(), { tools });
    expect([result.outcome, result.error?.code, ran]).toEqual(['failed', 'LIMIT_REACHED', []]);
    expect(session.state.messages.at(-1)?.content).toBe('let me read');
  });

  it('keeps reasoning as a part of the message', async () => {
    const session = new Recorder();
    let reasoning = '';
    const events = { ...silent, onReasoning: (delta: string) => (reasoning += delta) };
    const result = await turn(session, await open('thinking'), 'hello', events, idle());
    expect(result.text).toBe('you said: hello');
    expect(reasoning).toBe('let me see');
    expect(session.state.messages.at(-1)).toEqual({
      role: 'assistant',
      content: [
        { type: 'reasoning', text: 'let me see', providerOptions: { coffer: { field: 'reasoning_content' } } },
        { type: 'text', text: 'you said: hello' },
      ],
    });
  });

  it.each(['half', 'cut', 'erring'])(
    'records the part of a reply that breaks off (`%s`), marked partial',
    async (model) => {
      const session = new Recorder();
      const result = await turn(session, await open(model, 'held'), 'hello', silent, idle());
      expect(result).toMatchObject({ outcome: 'failed', text: 'part 1 part 2 ' });
      const { code, message } = result.error ?? {};
      expect(session.steps[1]).toEqual([
        {
          type: 'message',
          message: { role: 'assistant', content: 'part 1 part 2 ' },
          model: `mock/${model}`,
          partial: true,
        },
        { type: 'error', code, message },
      ]);
      expect(session.steps.length).toBe(2);
      expect(session.draft).toBeUndefined();
    },
  );

  it('records the part of a cancelled reply, marked partial, without an error', async () => {
    const session = new Recorder();
    const cancel = new AbortController();
    const events = {
      onText: (delta: string) => {
        if (delta === 'part 3 ') cancel.abort();
      },
    };
    const result = turn(session, await open('endless', 'held'), 'hello', events, cancel.signal);
    await server.streaming(1);
    server.release(2);
    expect(await result).toEqual({ outcome: 'cancelled', text: 'part 1 part 2 part 3 ' });
    expect(session.steps[1]).toEqual([
      {
        type: 'message',
        message: { role: 'assistant', content: 'part 1 part 2 part 3 ' },
        model: 'mock/endless',
        partial: true,
      },
    ]);
    expect(session.draft).toBeUndefined();
  });

  it('records the error but no message if nothing arrived', async () => {
    const session = new Recorder();
    const result = await turn(session, await open('limited'), 'hello', silent, idle());
    expect(result).toMatchObject({ outcome: 'failed', text: '', error: { code: 'MODEL_LIMITED' } });
    expect(session.steps).toEqual([
      [user('hello')],
      [{ type: 'error', code: 'MODEL_LIMITED', message: result.error?.message }],
    ]);
  });

  it('records nothing of a reply cancelled before it began', async () => {
    const session = new Recorder();
    const result = await turn(session, await open('reply'), 'hello', silent, AbortSignal.abort());
    expect(result).toEqual({ outcome: 'cancelled', text: '' });
    expect(session.steps).toEqual([[user('hello')]]);
  });

  it('fails if the reply is empty, and records its usage', async () => {
    const session = new Recorder();
    const result = await turn(session, await open('mute'), 'hello', silent, idle());
    expect(result).toMatchObject({ outcome: 'failed', text: '', error: { code: 'MODEL_FAILED' } });
    expect(session.steps[1]?.map(({ type }) => type)).toEqual(['usage', 'error']);
    expect(session.state.messageCount).toBe(1);
  });

  it('sends the unanswered prompt again after a failure', async () => {
    const session = new Recorder();
    await turn(session, await open('failing'), 'one', silent, idle());
    const model = scripted([{ type: 'text', text: 'yes' }]);
    expect((await turn(session, model, 'two', silent, idle())).outcome).toBe('completed');
    expect(model.asked[0]).toEqual([{ role: 'user', content: 'one\n\ntwo' }]);
  });

  it('rethrows an error of its listener and records the part', async () => {
    const session = new Recorder();
    const fault = new TypeError('the terminal is gone');
    const events = {
      onText: () => {
        throw fault;
      },
    };
    await expect(turn(session, await open('slow', 'held'), 'hello', events, idle())).rejects.toBe(fault);
    expect(session.steps[1]).toEqual([expect.objectContaining({ type: 'message', partial: true })]);
    expect(session.draft).toBeUndefined();
  });
});

describe('maxMessages', () => {
  const history: readonly Message[] = [
    { role: 'system', content: 'be brief' },
    { role: 'user', content: 'u1' },
    { role: 'assistant', content: 'a1' },
    { role: 'user', content: 'u2' },
    { role: 'assistant', content: 'a2' },
  ];

  it.each([
    [1, ['be brief', 'u3']],
    [2, ['be brief', 'u3']],
    [3, ['be brief', 'u2', 'a2', 'u3']],
    [4, ['be brief', 'u2', 'a2', 'u3']],
    [99, ['be brief', 'u1', 'a1', 'u2', 'a2', 'u3']],
    [undefined, ['be brief', 'u1', 'a1', 'u2', 'a2', 'u3']],
  ])('%s sends messages starting with one of the user', async (maxMessages, sent) => {
    const session = new Recorder();
    await session.record(...history.map((message): NewEvent => ({ type: 'message', message })));
    const model = scripted([{ type: 'text', text: 'a3' }]);
    await turn(session, model, 'u3', silent, idle(), { maxMessages });
    expect(model.asked[0]?.map(({ content }) => content)).toEqual(sent);
    expect(session.state.messages.length).toBe(7);
  });

  it.each([{ maxMessages: 0 }, { maxMessages: Number.NaN }, { saveInterval: 0 }])(
    '%j is a mistake',
    async (options) => {
      const session = new Recorder();
      await expect(turn(session, scripted([]), 'x', silent, idle(), options)).rejects.toThrow(RangeError);
      expect(session.steps).toEqual([]);
    },
  );
});

describe('the draft of a reply', () => {
  it('is the text so far, marked partial, before the listener is called', async () => {
    const session = new Recorder();
    const drafts: unknown[] = [];
    const events = {
      onText: () => drafts.push(session.draft),
    };
    await turn(session, scripted(['a ', 'b'].map((text) => ({ type: 'text', text }))), 'hello', events, idle());
    const draft = (content: string): NewEvent => ({
      type: 'message',
      message: { role: 'assistant', content },
      model: 'mock/scripted',
      partial: true,
    });
    expect(drafts).toEqual([draft('a '), draft('a b')]);
  });

  it('is saved while the reply hangs', async () => {
    const session = new Recorder();
    const result = turn(session, await open('slow', 'held'), 'hello', silent, idle(), { saveInterval: 1 });
    await session.draftsSaved(1);
    expect(session.savedDrafts[0]).toMatchObject({ message: { content: 'part 1 ' }, partial: true });
    server.release();
    await session.draftsSaved(2);
    expect(session.savedDrafts[1]).toMatchObject({ message: { content: 'part 1 part 2 ' } });
    server.finish();
    expect((await result).outcome).toBe('completed');
  });

  it('is saved once per interval, only if something is new, and not after the end', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
    try {
      const { saves, left } = await stream({ saveInterval: 1000 }, async (arrive, pass) => {
        for (let part = 0; part < 40; part++) {
          await arrive();
          await pass(100);
        }
        await pass(10_000);
        await arrive();
      });
      expect(saves).toBe(4);
      expect(left).toBe(0);
      const defaults = await stream({}, async (arrive, pass) => {
        await arrive();
        await pass(29_999);
      });
      expect(defaults.saves).toBe(0);
      const longer = await stream({}, async (arrive, pass) => {
        await arrive();
        await pass(30_000);
      });
      expect(longer.saves).toBe(1);
    } finally {
      vi.useRealTimers();
    }
  });
});

/**
 * Takes a turn with a scripted model and clock; returns how often its draft was saved and the
 * timers left.
 */
async function stream(
  options: TurnOptions,
  script: (arrive: () => Promise<void>, pass: (ms: number) => Promise<void>) => Promise<void>,
): Promise<{ saves: number; left: number; result: TurnResult }> {
  const session = new Recorder();
  let send = Promise.withResolvers<boolean>();
  let told = Promise.withResolvers<void>();
  const model: ChatModel = {
    name: 'mock/clockwork',
    isLocal: true,
    contextWindow: 128_000,
    refuses: new Set(),
    async *reply(): AsyncGenerator<ReplyPart> {
      while (await send.promise) {
        send = Promise.withResolvers();
        yield { type: 'text', text: 'tick ' };
      }
    },
  };
  const result = turn(session, model, 'hello', { onText: () => told.resolve() }, idle(), options);
  const arrive = async (): Promise<void> => {
    told = Promise.withResolvers();
    send.resolve(true);
    await told.promise;
  };
  await script(arrive, async (ms) => void (await vi.advanceTimersByTimeAsync(ms)));
  send.resolve(false);
  const settled = await result;
  return { saves: session.savedDrafts.length, left: vi.getTimerCount(), result: settled };
}

/** Returns a model that sends its parts at once and keeps what it was asked. */
function scripted(parts: readonly ReplyPart[]): ReturnType<typeof scriptedModel> {
  return scriptedModel(() => parts);
}

function idle(): AbortSignal {
  return new AbortController().signal;
}
