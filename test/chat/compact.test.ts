import { beforeEach, describe, expect, it } from 'vitest';
import { canCompact, compact } from '../../src/chat/compact.ts';
import { contextOf } from '../../src/chat/context.ts';
import { type TurnEvents, turn } from '../../src/chat/loop.ts';
import { type ChatModel, openModel, type ReplyPart } from '../../src/chat/models/models.ts';
import { CofferError } from '../../src/errors.ts';
import type { FilePart } from '../../src/session/event/attachment.ts';
import type { Message } from '../../src/session/event/event.ts';
import { startModelServer } from '../support/model-server.ts';
import { Recorder } from './recorder.ts';
import { scriptedModel } from './scripted.ts';

const usage = { inputTokens: 90, outputTokens: 10, cost: 0.25 };
const silent: TurnEvents = { onText: () => undefined };

let session: Recorder;
beforeEach(() => {
  session = new Recorder();
});

describe('compact', () => {
  it('replaces all but the newest messages with a summary, in one step with its usage', async () => {
    await talk(6);
    const model = summing('they counted');
    expect(await compact(session, model, { keepMessages: 4 })).toMatchObject({ messages: 8 });
    expect(session.steps.at(-1)).toEqual([
      { type: 'usage', model: 'mock/sum', usage },
      { type: 'compaction', summary: 'they counted', through: 8, model: 'mock/sum' },
    ]);
    expect(contextOf(session.state).map(({ content }) => content)).toEqual([
      expect.stringContaining('they counted'),
      ...['u5', 'a5', 'u6', 'a6'],
    ]);
    expect(session.state.messages.length).toBe(12);
    expect(session.state).toMatchObject({ cost: 0.25, contextTokens: null });
    const asked = JSON.stringify(model.asked[0]);
    expect(asked).toContain('u4');
    expect(asked).not.toContain('u5');
  });

  it('rejects a summary that was cut off at its length limit', async () => {
    await talk(6);
    const before = session.state.compaction;
    const model = scriptedModel(() => [
      { type: 'text', text: 'they coun' },
      { type: 'finish', usage, reason: 'length' },
    ]);
    await expect(compact(session, model, { keepMessages: 4 })).rejects.toMatchObject({
      code: 'LIMIT_REACHED',
      message: expect.stringMatching(
        /^the summary of .* was cut off at its length limit; raise maxOutputTokens of mock/,
      ),
    });
    expect(session.state.compaction).toEqual(before);
  });

  it('summarises the earlier summary together with newer messages', async () => {
    await talk(4);
    await compact(session, summing('the beginning'), { keepMessages: 2 });
    await talk(4, 'later ');
    const model = summing('all of it');
    expect(await compact(session, model, { keepMessages: 2 })).toMatchObject({ messages: 8 });
    const asked = JSON.stringify(model.asked[0]);
    expect(asked).toContain('the beginning');
    expect(asked).toContain('later u1');
    expect(asked).not.toContain('u3"');
    expect(contextOf(session.state).map(({ content }) => content)).toEqual([
      expect.stringContaining('all of it'),
      'later u4',
      'later a4',
    ]);
  });

  it.each([
    [1, 'u2'],
    [2, 'u2'],
    [5, 'u2'],
    [6, 'u1'],
  ])('cuts before a user message, keeping %d or more', async (keepMessages, first) => {
    await message({ role: 'user', content: 'u0' });
    await message({ role: 'user', content: 'u1' });
    await message({ role: 'assistant', content: 'a1' });
    await message({ role: 'user', content: 'u2' });
    await message(calling('a'));
    await message(resultOf('a'));
    await message(calling('b'));
    await message(resultOf('b'));
    await compact(session, summing('s'), { keepMessages });
    const [summary, left] = contextOf(session.state);
    expect(summary?.role).toBe('system');
    expect(left).toEqual({ role: 'user', content: first });
  });

  it('includes shortened tool results in the request and sends no call as a call', async () => {
    await message({ role: 'user', content: 'go' });
    await message(calling('a'));
    await message(resultOf('a', `begin ${'x'.repeat(100_000)} end`));
    await message({ role: 'user', content: 'on' });
    const model = summing('s');
    await compact(session, model, { keepMessages: 1 });
    const [task, told] = model.asked[0] ?? [];
    expect([task?.role, told?.role, model.asked[0]?.length]).toEqual(['system', 'user', 2]);
    expect(told?.content).toMatch(
      /calls read_file: \{"path":"a"\}.*read_file returned: begin x+ … \d+ characters omitted … x+ end/s,
    );
    expect(String(told?.content).length).toBeLessThan(10_000);
  });

  it('includes attached texts, shortened, and the names of images', async () => {
    const fileOf = (filename: string, data: string | Buffer): FilePart => {
      return { type: 'file', mediaType: 'text/plain', filename, data: Buffer.from(data).toString('base64') };
    };
    const text = fileOf('plan.txt', `begin ${'x'.repeat(100_000)} end`);
    const image = fileOf('cat.png', Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'));
    await message({ role: 'user', content: [{ type: 'text', text: 'see' }, text, image] });
    await message({ role: 'assistant', content: 'seen' });
    await message({ role: 'user', content: 'on' });
    const model = summing('s');
    await compact(session, model, { keepMessages: 1 });
    const told = String(model.asked[0]?.[1]?.content);
    expect(told).toMatch(/see\n\(file plan\.txt\)\nbegin x+ … \d+ characters omitted … x+ end\n\(file cat\.png\)\n\n/);
    expect(told.length).toBeLessThan(10_000);
  });

  it('summarises more than fits into the window in parts, each with the summary so far', async () => {
    await talk(50, `${'long '.repeat(40)}`);
    let made = 0;
    const model = { ...summing('s'), contextWindow: 2000 };
    const parts = answering(
      Array.from({ length: 9 }, () => [{ type: 'text', text: `summary ${++made}` }]),
      2000,
    );
    await compact(session, parts, { keepMessages: 2 });
    const told = parts.asked.map((messages) => String(messages[1]?.content));
    expect(told.length).toBeGreaterThan(2);
    expect(told[0]).toMatch(/^\[user\]/);
    for (const [at, text] of told.slice(1).entries()) {
      expect(text.startsWith(`Summary of what came before:\n\nsummary ${at + 1}\n\n`)).toBe(true);
      expect(text.length).toBeLessThan(2000 * 2.5);
    }
    for (let at = 1; at < 50; at++) expect(told.filter((text) => text.includes(` a${at}\n`)).length).toBe(1);
    expect(session.state.compaction?.summary).toBe(`summary ${told.length}`);
    expect(model.asked).toEqual([]);
  });

  it('summarises a single message longer than the window in parts', async () => {
    await message({ role: 'user', content: `begin ${'x'.repeat(20_000)} end` });
    await message({ role: 'assistant', content: 'seen' });
    await message({ role: 'user', content: 'on' });
    const model = { ...summing('s'), contextWindow: 2000 };
    await compact(session, model, { keepMessages: 1 });
    const told = model.asked.map((messages) => String(messages[1]?.content));
    expect(told.length).toBeGreaterThan(3);
    for (const text of told) expect(text.length).toBeLessThan(2000 * 2.5);
    expect([told[0], told.at(-1)]).toEqual([expect.stringContaining('begin x'), expect.stringContaining('x end')]);
  });

  it('asks for the size of the window first, if it is unknown', async () => {
    await talk(6, 'x'.repeat(400));
    const model = findingOut(1000);
    expect(await compact(session, model)).toMatchObject({ messages: 8 });
  });

  it('omits the beginning if more than eight parts would be needed', async () => {
    await talk(500, `${'long '.repeat(40)}`);
    const model = { ...summing('s'), contextWindow: 1000 };
    await compact(session, model, { keepMessages: 2 });
    const told = model.asked.map((messages) => String(messages[1]?.content));
    expect(told.length).toBe(8);
    expect(told[0]).toMatch(/^\(the beginning is omitted: it does not fit\)/);
    expect(told.at(-1)).toContain('a499');
  });

  it('keeps as many of the newest messages as fit into half of a small window, down to the last turn', async () => {
    await talk(6, 'x'.repeat(400));
    const model = { ...summing('s'), contextWindow: 1000 };
    expect(canCompact(session.state, 50, model)).toBe(true);
    await compact(session, model);
    const left = contextOf(session.state).slice(1);
    expect(left.map(({ content }) => String(content).replace(/x+/, ''))).toEqual(['u5', 'a5', 'u6', 'a6']);
    await message({ role: 'user', content: 'y'.repeat(3000) });
    await message({ role: 'assistant', content: 'z'.repeat(3000) });
    await compact(session, model);
    expect(contextOf(session.state).map(({ role }) => role)).toEqual(['system', 'user', 'assistant']);
    expect(canCompact(session.state, 50, model)).toBe(false);
  });

  it('summarises the beginning of a turn that alone is too long, and keeps its prompt', async () => {
    await message({ role: 'user', content: 'do it all' });
    for (let at = 1; at <= 9; at++) {
      await message(calling(`c${at}`));
      await message(resultOf(`c${at}`, 'r'.repeat(400)));
    }
    const model = { ...summing('s'), contextWindow: 1000 };
    await compact(session, model);
    const [summary, prompt, ...rest] = contextOf(session.state);
    expect([summary?.role, prompt?.content]).toEqual(['system', 'do it all']);
    expect(rest.map(({ role }) => role)).toEqual(['assistant', 'tool', 'assistant', 'tool', 'assistant', 'tool']);
    expect(JSON.stringify(rest)).toContain('"c9"');
  });

  it('does nothing if there are too few messages', async () => {
    await talk(2);
    const before = session.steps.length;
    const model = summing('s');
    expect(await compact(session, model)).toMatchObject({ messages: 0 });
    expect(await compact(session, model, { keepMessages: 4 })).toMatchObject({ messages: 0 });
    expect({ steps: session.steps.length, asked: model.asked.length }).toEqual({ steps: before, asked: 0 });
    expect(canCompact(session.state, 4, model)).toBe(false);
    expect(canCompact(session.state, 2, model)).toBe(true);
  });

  it('does nothing a second time', async () => {
    await talk(4);
    await compact(session, summing('s'), { keepMessages: 2 });
    expect(canCompact(session.state, 2, summing('s'))).toBe(false);
    expect(await compact(session, summing('t'), { keepMessages: 2 })).toMatchObject({ messages: 0 });
    expect(session.state.compaction?.summary).toBe('s');
  });

  it.each([
    ['fails', failing(new CofferError('MODEL_LIMITED', 'later')), 'MODEL_LIMITED'],
    ['fails halfway', failing(new CofferError('MODEL_FAILED', 'broke off'), 'half a summ'), 'MODEL_FAILED'],
    ['is empty', summing('  \n'), 'MODEL_FAILED'],
    ['is cancelled', failing(new CofferError('CANCELLED', 'the reply was cancelled')), 'CANCELLED'],
  ])('changes nothing if the summary %s, and records the error', async (_, model, code) => {
    await talk(4);
    const before = contextOf(session.state);
    await expect(compact(session, model, { keepMessages: 2 })).rejects.toMatchObject({ code });
    expect(contextOf(session.state)).toEqual(before);
    expect(session.steps.at(-1)).toEqual([{ type: 'error', code, message: expect.any(String) }]);
  });

  it('discards a summary if it is cancelled after it has arrived', async () => {
    await talk(4);
    const cancel = new AbortController();
    const model = summing('too late', () => cancel.abort());
    await expect(compact(session, model, { keepMessages: 2, signal: cancel.signal })).rejects.toMatchObject({
      code: 'CANCELLED',
    });
    expect(session.state.compaction).toBeUndefined();
  });
});

describe('a turn whose context exceeds its share of the window', () => {
  const options = { autoCompactAt: 0.5, keepMessages: 3 };

  it('warns, compacts, and then asks the model', async () => {
    await talk(4);
    await session.record({ type: 'usage', model: 'x', usage: { inputTokens: 590, outputTokens: 10, cost: null } });
    const told: unknown[] = [];
    const model = { ...summing('short'), contextWindow: 1000 };
    const events: TurnEvents = {
      ...silent,
      onContextWarning: (context) => told.push(context),
      onCompacted: ({ messages }) => told.push(messages),
    };
    await turn(session, model, 'next', events, idle(), options);
    expect(told).toEqual([{ tokens: expect.any(Number), window: 1000, refused: false }, 6]);
    const types = session.steps.slice(-4).map((step) => step.map(({ type }) => type));
    expect(types).toEqual([['message'], ['context-warning'], ['usage', 'compaction'], ['message', 'usage']]);
    expect(model.asked[1]?.map(({ role }) => role)).toEqual(['system', 'user', 'assistant', 'user']);
  });

  it('asks for the size of the window first, if it is unknown', async () => {
    await talk(4);
    await session.record({ type: 'usage', model: 'x', usage: { inputTokens: 590, outputTokens: 10, cost: null } });
    const told: unknown[] = [];
    const events: TurnEvents = { ...silent, onContextWarning: ({ window }) => told.push(window) };
    await turn(session, findingOut(1000), 'next', events, idle(), options);
    expect(told).toEqual([1000]);
  });

  it('does not compact below the share, or if compaction is turned off', async () => {
    await talk(4);
    await session.record({ type: 'usage', model: 'x', usage: { inputTokens: 480, outputTokens: 10, cost: null } });
    const model = { ...summing('short'), contextWindow: 1000 };
    await turn(session, model, 'next', silent, idle(), options);
    await session.record({ type: 'usage', model: 'x', usage: { inputTokens: 990, outputTokens: 10, cost: null } });
    await turn(session, model, 'next', silent, idle(), { ...options, autoCompactAt: false });
    await turn(session, model, 'next', silent, idle(), { keepMessages: 3 });
    expect(session.steps.flat().some(({ type }) => type === 'context-warning' || type === 'compaction')).toBe(false);
  });

  it('compacts once per turn, even if the summary does not help', async () => {
    await talk(4);
    const calls: ReplyPart = { type: 'tool-call', toolCallId: 'c', toolName: 'nothing', input: {} };
    const full: ReplyPart = {
      type: 'finish',
      usage: { inputTokens: 999, outputTokens: 1, cost: null },
      reason: 'stop',
    };
    const replies: ReplyPart[][] = [
      [calls, full],
      [{ type: 'text', text: 'short' }, full],
      [calls, full],
      [calls, full],
    ];
    const model = answering([...replies, [{ type: 'text', text: 'done' }, full]], 1000);
    const result = await turn(session, model, 'next', silent, idle(), options);
    expect(result.text).toBe('done');
    expect(model.asked.length).toBe(5);
    expect(session.steps.flat().filter(({ type }) => type === 'context-warning')).toHaveLength(1);
  });

  it('continues with the full context if the summary fails', async () => {
    await talk(4);
    await session.record({ type: 'usage', model: 'x', usage: { inputTokens: 990, outputTokens: 10, cost: null } });
    const told: CofferError[] = [];
    const error = new CofferError('MODEL_LIMITED', 'later');
    const model = answering([[], [{ type: 'text', text: 'all the same' }]], 1000, [error]);
    const events = { ...silent, onCompactionFailed: (fault: CofferError) => told.push(fault) };
    expect((await turn(session, model, 'next', events, idle(), options)).text).toBe('all the same');
    expect(told).toEqual([error]);
    expect(model.asked[1]).toHaveLength(9);
    expect(session.steps.flat().filter(({ type }) => type === 'error')).toHaveLength(1);
  });

  it('is also compacted, once, if the model refuses it as too long', async () => {
    await using server = await startModelServer();
    const refusal = { error: { message: 'prompt is too long: 210000 tokens > 200000 maximum' }, status: 400 };
    const asked: number[] = [];
    server.respond('short', (messages) => {
      asked.push(messages.length);
      if (messages[0]?.role === 'system' && messages.length === 2) return { content: 'the beginning' };
      return messages.length > 4 ? refusal : { content: 'hello' };
    });
    const providers = { mock: { baseURL: server.openai } };
    const model = await openModel('mock/short', { providers, env: {} });
    await talk(4);
    const told: boolean[] = [];
    const events: TurnEvents = { ...silent, onContextWarning: ({ refused }) => told.push(refused) };
    expect(await turn(session, model, 'next', events, idle(), options)).toMatchObject({ text: 'hello' });
    expect({ asked, told }).toEqual({ asked: [9, 2, 4], told: [true] });
    expect(session.steps.flat().some(({ type }) => type === 'error')).toBe(false);
    await talk(4);
    // The model's window is known by now, so keepMessages keeps no more than fits.
    const more = await turn(session, model, 'next', silent, idle(), { ...options, keepMessages: 7 });
    expect(more).toMatchObject({ outcome: 'completed', text: 'hello' });
    await talk(4);
    const refused = await turn(session, model, 'next', silent, idle(), { autoCompactAt: false });
    expect(refused).toMatchObject({ outcome: 'failed', error: { code: 'CONTEXT_TOO_LONG' } });
    await compact(session, model);
    const again = await turn(session, model, 'again', silent, idle(), { autoCompactAt: false });
    expect(again.outcome).toBe('completed');
  });

  it('reports that there is nothing to summarise', async () => {
    await talk(1);
    await session.record({ type: 'usage', model: 'x', usage: { inputTokens: 990, outputTokens: 10, cost: null } });
    const told: number[] = [];
    const model = answering([[{ type: 'text', text: 'ok' }]], 1000);
    const events = { ...silent, onCompacted: ({ messages }: { messages: number }) => told.push(messages) };
    expect((await turn(session, model, 'next', events, idle(), options)).text).toBe('ok');
    expect(told).toEqual([0]);
  });

  it('can be cancelled while the summary arrives', async () => {
    await talk(4);
    await session.record({ type: 'usage', model: 'x', usage: { inputTokens: 990, outputTokens: 10, cost: null } });
    const cancel = new AbortController();
    const told: CofferError[] = [];
    const model = { ...summing('s', () => cancel.abort()), contextWindow: 1000 };
    const events = { ...silent, onCompactionFailed: (fault: CofferError) => told.push(fault) };
    const result = await turn(session, model, 'next', events, cancel.signal, options);
    expect(result.outcome).toBe('cancelled');
    expect(told).toEqual([]);
    expect(session.state.compaction).toBeUndefined();
  });
});

async function message(one: Message): Promise<void> {
  await session.record({ type: 'message', message: one });
}

/** Records prompts and replies, each named: u1, a1, u2, … */
async function talk(count: number, prefix = ''): Promise<void> {
  for (let at = 1; at <= count; at++) {
    await message({ role: 'user', content: `${prefix}u${at}` });
    await message({ role: 'assistant', content: `${prefix}a${at}` });
  }
}

function calling(toolCallId: string): Message {
  const call = { type: 'tool-call' as const, toolCallId, toolName: 'read_file', input: { path: toolCallId } };
  return { role: 'assistant', content: [call] };
}

function resultOf(toolCallId: string, value = 'ok'): Message {
  const output = { type: 'text', value };
  return { role: 'tool', content: [{ type: 'tool-result', toolCallId, toolName: 'read_file', output }] };
}

type Asked = ChatModel & { asked: (readonly Message[])[] };

/** Returns a model that always sends the same reply. */
function summing(summary: string, onFinish: () => void = () => undefined): Asked {
  const asked: (readonly Message[])[] = [];
  return {
    name: 'mock/sum',
    isLocal: true,
    contextWindow: 128_000,
    refuses: new Set(),
    asked,
    async *reply(messages, signal) {
      if (signal.aborted) throw new CofferError('CANCELLED', 'the reply was cancelled');
      asked.push(messages);
      yield { type: 'text', text: summary };
      yield { type: 'finish', usage, reason: 'stop' };
      onFinish();
    },
  };
}

/** Returns a model that learns its context window only when asked to prepare. */
function findingOut(contextWindow: number): Asked {
  return {
    ...summing('s'),
    async prepare() {
      this.contextWindow = contextWindow;
    },
  };
}

function failing(error: CofferError, said = ''): Asked {
  return answering([said === '' ? [] : [{ type: 'text', text: said }]], 128_000, [error]);
}

/**
 * Returns a model that sends one reply after another; those with an error fail with it at their
 * end.
 */
function answering(
  replies: readonly (readonly ReplyPart[])[],
  contextWindow: number,
  errors: readonly CofferError[] = [],
): Asked {
  const asked: (readonly Message[])[] = [];
  return {
    name: 'mock/sum',
    isLocal: true,
    contextWindow,
    refuses: new Set(),
    asked,
    async *reply(messages) {
      const at = asked.push(messages) - 1;
      yield* replies[at] ?? [];
      if (errors[at] !== undefined) throw errors[at];
    },
  };
}

function idle(): AbortSignal {
  return new AbortController().signal;
}
