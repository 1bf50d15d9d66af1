import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FixtureResponse } from '@copilotkit/aimock';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Approve, type CallEnd, type TurnEvents, type TurnOptions, turn } from '../../src/chat/loop.ts';
import { type ChatModel, openModel, type ReplyPart } from '../../src/chat/models/models.ts';
import { ToolBox } from '../../src/chat/tools/toolbox.ts';
import { CofferError } from '../../src/errors.ts';
import type { Message, NewEvent } from '../../src/session/event/event.ts';
import { type ModelServer, type SentMessage, startModelServer } from '../support/model-server.ts';
import { Recorder } from './recorder.ts';
import { scriptedModel } from './scripted.ts';

const silent: TurnEvents = { onText: () => undefined };
const allow: Approve = async () => 'once';

let server: ModelServer;
let directory: string;
beforeAll(async () => {
  server = await startModelServer();
  directory = await mkdtemp(join(tmpdir(), 'coffer-turn-'));
  await writeFile(join(directory, 'notes.txt'), 'my notes\n');
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

let session: Recorder;
beforeEach(() => {
  session = new Recorder();
});

describe('a turn with tools', () => {
  it.each(['openai-compatible', 'anthropic'] as const)(
    'runs what the reply calls, a step each, and asks again with the results until nothing is called (%s)',
    async (type) => {
      const model = await answering(
        (messages) =>
          messages.at(-1)?.role === 'user'
            ? {
                content: 'let me look',
                toolCalls: [call('read_file', { path: 'notes.txt' }, 'c1')],
                usage: used(20, 3),
              }
            : { content: `it says ${messages.at(-1)?.content}`, usage: used(40, 4) },
        type,
      );
      const ends: CallEnd[] = [];
      const result = await turn(
        session,
        model,
        'go',
        { ...silent, onCallEnd: (end) => ends.push(end) },
        idle(),
        withTools(),
      );
      expect(result).toEqual({ outcome: 'completed', text: 'it says my notes\n' });
      expect(session.steps.map((step) => step.map(({ type }) => type))).toEqual([
        ['message'],
        ['message', 'usage'],
        ['tool-start'],
        ['tool-end', 'message'],
        ['message', 'usage'],
      ]);
      expect(session.state.messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'tool', 'assistant']);
      expect(session.state).toMatchObject({
        inputTokens: 60,
        outputTokens: 7,
        toolCalls: 1,
        tasks: 1,
        contextTokens: 44,
      });
      expect(ends).toMatchObject([{ outcome: 'completed', text: 'my notes\n', unattended: false }]);
      expect(session.draft).toBeUndefined();
    },
  );

  it('runs the calls of one reply one after another, in order', async () => {
    const model = scripted([
      [toolCall('write_file', { path: 'a.txt', content: 'one' }), toolCall('read_file', { path: 'a.txt' })],
      [{ type: 'text', text: 'done' }],
    ]);
    await turn(session, model, 'go', silent, idle(), withTools({ approve: allow }));
    expect(outputs(session.state.messages)).toEqual([expect.stringMatching(/^created a\.txt/), 'one']);
    expect(await readFile(join(directory, 'a.txt'), 'utf8')).toBe('one');
  });

  it.each([
    [
      'input that is not JSON',
      { id: 'c1', name: 'read_file', arguments: '{"path": "not' },
      /invalid input for read_file/,
    ],
    ['incomplete input', { id: 'c1', name: 'read_file', arguments: '{}' }, /path/],
    ['an unknown tool', { id: 'c1', name: 'rm_rf', arguments: '{}' }, /unknown tool rm_rf/],
  ])('answers a call with %s with an error result', async (_, broken, words) => {
    const model = await answering((messages) =>
      messages.at(-1)?.role === 'user' ? { toolCalls: [broken] } : { content: 'I see' },
    );
    expect((await turn(session, model, 'go', silent, idle(), withTools())).outcome).toBe('completed');
    expect(outputs(session.state.messages)).toEqual([expect.stringMatching(words)]);
    expect(typesOf(session, 'tool-end')).toMatchObject([{ outcome: 'failed' }]);
    const { tool_calls: sent } = lastSent().find(({ role }) => role === 'assistant') ?? {};
    expect(JSON.parse(sent?.[0]?.function.arguments ?? '')).toEqual({});
  });

  it('reports that a call was denied because no user was present', async () => {
    const ends: CallEnd[] = [];
    const model = scripted([[toolCall('write_file', { path: 'no.txt', content: '' })], [{ type: 'text', text: 'ok' }]]);
    await turn(session, model, 'go', { ...silent, onCallEnd: (end) => ends.push(end) }, idle(), withTools());
    expect(ends).toMatchObject([{ outcome: 'denied', unattended: true }]);
  });

  it('assigns unique ids to calls from a server that restarts its count or sends none', async () => {
    const again = (): ReplyPart => toolCall('read_file', { path: 'notes.txt' }, '0');
    const none = (): ReplyPart => toolCall('read_file', { path: 'notes.txt' }, '');
    const model = scripted([[again(), again()], [again(), none()], [{ type: 'text', text: 'done' }]]);
    await turn(session, model, 'go', silent, idle(), withTools());
    const started = typesOf(session, 'tool-start').map((event) => Reflect.get(event, 'toolCallId'));
    expect(started).toEqual(['0', '0-2', '0-3', 'call']);
  });

  it('denies every call if no tools are offered', async () => {
    const model = scripted([[toolCall('read_file', { path: 'notes.txt' })], [{ type: 'text', text: 'ok' }]]);
    expect((await turn(session, model, 'go', silent, idle())).outcome).toBe('completed');
    expect(outputs(session.state.messages)).toEqual(['denied: no tools are available here']);
  });

  it('stops offering tools to a model that refuses them', async () => {
    let refusals = 0;
    let told = 0;
    server.respond('toolless', (_, tools) => {
      if (tools === undefined) return { content: 'hello' };
      refusals++;
      const error = { message: 'registry.ollama.ai/library/gemma:latest does not support tools', type: 'api_error' };
      return { error, status: 400 };
    });
    const model = await open('toolless');
    const events = { ...silent, onRefused: () => told++ };
    for (const text of ['one', 'two']) {
      expect((await turn(session, model, text, events, idle(), withTools())).text).toBe('hello');
    }
    expect({ refusals, told }).toEqual({ refusals: 1, told: 1 });
    expect(session.steps.flat().filter(({ type }) => type === 'error')).toEqual([]);
  });
});

describe('the limits of a turn', () => {
  it('deny the calls beyond maxToolCalls and end the turn', async () => {
    const two = (): ReplyPart[] => [toolCall('read_file', { path: 'notes.txt' }), toolCall('list_files', {})];
    const model = scripted([two(), two(), two(), [{ type: 'text', text: 'never' }]]);
    const result = await turn(session, model, 'go', silent, idle(), withTools({ maxToolCalls: 3 }));
    expect(result).toMatchObject({ outcome: 'failed', error: { code: 'LIMIT_REACHED' } });
    expect(result.error?.message).toContain('at most 3 tool calls (maxToolCalls)');
    expect(outputs(session.state.messages).map((text) => text.startsWith('denied: a turn'))).toEqual([
      false,
      false,
      false,
      true,
    ]);
    expect(session.steps.at(-1)?.map(({ type }) => type)).toEqual(['tool-end', 'message', 'error']);
    expect(model.asked.length).toBe(2);
    expectPairs(session.state.messages);
  });

  it('deny the calls of the last of maxTurns requests and end the turn', async () => {
    const model = scripted(Array.from({ length: 5 }, () => [toolCall('list_files', {})]));
    const result = await turn(session, model, 'go', silent, idle(), withTools({ maxTurns: 3 }));
    expect(result.error).toMatchObject({ code: 'LIMIT_REACHED', message: expect.stringContaining('maxTurns') });
    expect(model.asked.length).toBe(3);
    expect(outputs(session.state.messages).at(-1)).toMatch(/^denied: .*maxTurns/);
    expectPairs(session.state.messages);
  });

  it('are 128 requests and 200 calls', async () => {
    const one = scripted(Array.from({ length: 130 }, () => [toolCall('nothing', {})]));
    await turn(session, one, 'go', silent, idle(), withTools());
    expect(one.asked.length).toBe(128);
    const many = scripted([Array.from({ length: 201 }, () => toolCall('nothing', {}))]);
    session = new Recorder();
    const result = await turn(session, many, 'go', silent, idle(), withTools());
    expect(result.error?.message).toContain('200');
    expect(typesOf(session, 'tool-start').length).toBe(200);
  });

  it('start over in the next turn', async () => {
    const model = scripted([
      [toolCall('list_files', {}), toolCall('list_files', {})],
      [toolCall('list_files', {})],
      [{ type: 'text', text: 'done' }],
    ]);
    await turn(session, model, 'go', silent, idle(), withTools({ maxToolCalls: 1 }));
    const result = await turn(session, model, 'on', silent, idle(), withTools({ maxToolCalls: 1 }));
    expect(result).toEqual({ outcome: 'completed', text: 'done' });
  });

  it.each([{ maxTurns: 0 }, { maxToolCalls: 0 }, { keepMessages: Number.NaN }])('reject %j', async (options) => {
    await expect(turn(session, scripted([]), 'x', silent, idle(), options)).rejects.toThrow(RangeError);
    expect(session.steps).toEqual([]);
  });
});

describe('a turn that ends while tools run', () => {
  it('records a result for every call if it is cancelled during one', async () => {
    const cancel = new AbortController();
    const model = scripted([
      [toolCall('run_command', { command: 'echo begun; sleep 1000' }), toolCall('list_files', {}), toolCall('x', {})],
      [{ type: 'text', text: 'never' }],
    ]);
    const approve: Approve = async () => {
      setImmediate(() => cancel.abort());
      return 'once';
    };
    const result = await turn(session, model, 'go', silent, cancel.signal, withTools({ approve }));
    expect(result.outcome).toBe('cancelled');
    expect(typesOf(session, 'tool-end').map((event) => Reflect.get(event, 'outcome'))).toEqual(
      Array(3).fill('cancelled'),
    );
    expect(typesOf(session, 'tool-start')).toHaveLength(1);
    expect(session.steps.at(-1)?.map(({ type }) => type)).toEqual(['tool-end', 'message', 'tool-end', 'message']);
    expect(model.asked.length).toBe(1);
    expectPairs(session.state.messages);
  });

  it('has a result for each unfinished call in its draft, once, for a final save', async () => {
    const drafts: unknown[] = [];
    const record = session.record.bind(session);
    session.record = async (...events) => {
      await record(...events);
      if (session.draft !== undefined)
        drafts.push([...outputs(session.state.messages), ...draftOutputs(session.draft)]);
    };
    const model = scripted([[toolCall('list_files', {}), toolCall('nothing', {})], [{ type: 'text', text: 'done' }]]);
    await turn(session, model, 'go', silent, idle(), withTools());
    const interrupted = expect.stringMatching(/^interrupted/);
    expect(drafts).toEqual([
      [interrupted, interrupted],
      [expect.any(String), interrupted],
      [expect.any(String), interrupted],
    ]);
    expect(session.draft).toBeUndefined();
  });

  it('records a result for every call if the program fails during one', async () => {
    const fault = new TypeError('the terminal is gone');
    const approve: Approve = async () => {
      throw fault;
    };
    const model = scripted([[toolCall('run_command', { command: 'ls' }), toolCall('list_files', {})]]);
    await expect(turn(session, model, 'go', silent, idle(), withTools({ approve }))).rejects.toBe(fault);
    expect(outputs(session.state.messages)).toEqual([
      expect.stringContaining('internal error'),
      expect.stringMatching(/^interrupted/),
    ]);
    expectPairs(session.state.messages);
    expect(session.draft).toBeUndefined();
  });

  it('records a result for every call if a listener fails', async () => {
    const fault = new TypeError('the terminal is gone');
    const onCall = (): void => {
      throw fault;
    };
    const model = scripted([[toolCall('list_files', {}), toolCall('list_files', {})]]);
    await expect(turn(session, model, 'go', { ...silent, onCall }, idle(), withTools())).rejects.toBe(fault);
    expectPairs(session.state.messages);
  });

  it('records no calls of a reply that broke off, since none were run', async () => {
    const model = scripted([[{ type: 'text', text: 'let me' }, toolCall('list_files', {})]]);
    const cancel = new AbortController();
    const events = { onText: () => cancel.abort() };
    const breaking: ChatModel = {
      ...model,
      async *reply(messages, signal) {
        yield* model.reply(messages, signal);
        throw new CofferError('CANCELLED', 'the reply was cancelled');
      },
    };
    const result = await turn(session, breaking, 'go', events, cancel.signal, withTools());
    expect(result.outcome).toBe('cancelled');
    expect(session.state.messages.at(-1)).toEqual({ role: 'assistant', content: 'let me' });
  });
});

function withTools(more: TurnOptions = {}): TurnOptions {
  const place = {
    directory,
    protected: [],
    env: process.env,
    commandTimeout: 60_000,
    maxToolOutput: 1_000_000,
    sandbox: 'off',
  } as const;
  return { tools: new ToolBox({ place }), ...more };
}

type Protocol = 'openai-compatible' | 'anthropic';

function open(model: string, type: Protocol = 'openai-compatible'): Promise<ChatModel> {
  return openModel(`mock/${model}`, { providers: { mock: { type, baseURL: server.openai } }, env: {} });
}

function answering(respond: (messages: SentMessage[]) => FixtureResponse, type?: Protocol): Promise<ChatModel> {
  server.respond('tooled', respond);
  return open('tooled', type);
}

function call(name: string, input: object, id: string): { id: string; name: string; arguments: string } {
  return { id, name, arguments: JSON.stringify(input) };
}

function used(input: number, output: number): Record<string, number> {
  return { prompt_tokens: input, completion_tokens: output, input_tokens: input, output_tokens: output };
}

function lastSent(): SentMessage[] {
  return Reflect.get(Object(server.requests.at(-1)?.body), 'messages');
}

let count = 0;
function toolCall(toolName: string, input: object, toolCallId: string = `s${++count}`): ReplyPart {
  return { type: 'tool-call', toolCallId, toolName, input };
}

/** Returns a model that sends one reply after another and keeps the requests. */
function scripted(replies: readonly (readonly ReplyPart[])[]): ReturnType<typeof scriptedModel> {
  return scriptedModel((request) => replies[request] ?? []);
}

function typesOf(recorder: Recorder, type: NewEvent['type']): NewEvent[] {
  return recorder.steps.flat().filter((event) => event.type === type);
}

function outputs(messages: readonly Message[]): string[] {
  return messages.flatMap((message) =>
    message.role === 'tool' ? message.content.map(({ output }) => Reflect.get(Object(output), 'value')) : [],
  );
}

function draftOutputs(draft: NewEvent): string[] {
  return draft.type === 'message' ? outputs([draft.message]) : [];
}

/** Expects exactly one result for each call, in the messages right after it. */
function expectPairs(messages: readonly Message[]): void {
  const ids = (role: Message['role'], type: string): unknown[] =>
    messages
      .filter((message) => message.role === role && typeof message.content !== 'string')
      .flatMap(({ content }) =>
        (content as { type: string; toolCallId?: string }[]).filter((part) => part.type === type),
      )
      .map(({ toolCallId }) => toolCallId);
  expect(ids('tool', 'tool-result')).toEqual(ids('assistant', 'tool-call'));
}

function idle(): AbortSignal {
  return new AbortController().signal;
}
