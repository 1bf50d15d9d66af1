import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { ToolBox } from '../../../src/chat/tools/toolbox.ts';
import { CofferError } from '../../../src/errors.ts';
import type { Approval, NewEvent } from '../../../src/session/event/event.ts';
import { requireUnix } from '../../support/keychain.ts';
import { begin, home } from '../../support/vault.ts';
import { Recorder } from '../recorder.ts';
import { until, world } from './support.ts';

beforeEach(requireUnix);

const nothing = { allow: [], deny: [] };

/** Summarises the steps of a call. */
function brief(steps: readonly NewEvent[][]): string[] {
  return steps.map((step) => step.map(({ type }) => type).join(' + '));
}

/** The steps of every call that needs no answer from the user. */
const plain = ['tool-start', 'tool-end + message'];
const asked = ['tool-start', 'approval-asked', 'approval-answered', 'tool-end + message'];

describe('the definitions', () => {
  it('describe the tools, with JSON schemas for their inputs', () => {
    const place = { directory: '/', protected: [], env: {}, commandTimeout: 1, maxToolOutput: 1 };
    const { definitions } = new ToolBox({ place });
    expect(definitions.map(({ name }) => name)).toEqual([
      'read_file',
      'list_files',
      'search_files',
      'write_file',
      'edit_file',
      'run_command',
    ]);
    for (const definition of definitions) {
      expect(Object.keys(definition)).toEqual(['name', 'description', 'inputSchema']);
      expect(definition.inputSchema).toMatchObject({ type: 'object', additionalProperties: false });
      expect(JSON.parse(JSON.stringify(definition.inputSchema))).toEqual(definition.inputSchema);
    }
    expect(definitions[0]?.inputSchema).toMatchObject({
      properties: { path: { type: 'string' }, offset: { type: 'integer', minimum: 1 } },
      required: ['path'],
    });
  });
});

describe('a call', () => {
  it('is recorded in steps, with its result', async () => {
    const at = world();
    at.put('project/a', 'ü');
    const { steps } = await at.call('read_file', { path: 'a' });
    const names = { toolCallId: 'call-1', toolName: 'read_file' };
    expect(steps).toEqual([
      [{ type: 'tool-start', ...names }],
      [
        { type: 'tool-end', ...names, outcome: 'completed', bytes: 2 },
        {
          type: 'message',
          message: { role: 'tool', content: [{ type: 'tool-result', ...names, output: { type: 'text', value: 'ü' } }] },
        },
      ],
    ]);
  });

  it('is saved in the vault, with the decision of the user', async () => {
    const at = world();
    at.put('outside/a', 'text');
    const vault = home();
    {
      await using sessions = await vault.open();
      const session = begin(sessions);
      const place = { directory: at.project, protected: [], env: {}, commandTimeout: 1000, maxToolOutput: 1000 };
      const box = new ToolBox({ place });
      const call = { toolCallId: 'c', toolName: 'read_file', input: { path: join(at.outside, 'a') } };
      await box.run(call, session, async () => 'session', new AbortController().signal);
      await session.close();
    }
    await using sessions = await vault.open();
    const [row] = await sessions.list();
    const { state, events } = await sessions.read(row!);
    expect(events.map(({ type }) => type).filter((type) => !['begin', 'model', 'status'].includes(type))).toEqual([
      'tool-start',
      'approval-asked',
      'approval-answered',
      'permission',
      'tool-end',
      'message',
    ]);
    expect(state.permissions).toEqual([
      { rule: `read:${at.outside}/a`, decision: 'allow', directory: at.project, unsandboxed: false },
    ]);
    expect(state.messages).toEqual([
      {
        role: 'tool',
        content: [
          { type: 'tool-result', toolCallId: 'c', toolName: 'read_file', output: { type: 'text', value: 'text' } },
        ],
      },
    ]);
  });

  it.each([
    ['an unknown tool', 'make_coffee', {}, /^unknown tool make_coffee; available: read_file, /],
    ['the name of an object property', 'constructor', {}, /^unknown tool constructor/],
    ['no input', 'read_file', undefined, /^invalid input for read_file: the input: /],
    ['an extra field', 'read_file', { path: 'a', mode: 'w' }, /invalid input .*: the input: .*mode/],
    ['a field of the wrong type', 'read_file', { path: ['a'] }, /invalid input .*: path: /],
    ['a path with a NUL in it', 'read_file', { path: 'a\0b' }, /invalid input .*: path: /],
    ['an empty path', 'write_file', { path: '', content: '' }, /invalid input .*: path: /],
  ])('with %s gets an error result', async (_, name, input, message) => {
    const done = await world().call(name, input);
    expect(done).toMatchObject({ outcome: 'failed', type: 'error-text', text: expect.stringMatching(message) });
    expect(brief(done.steps)).toEqual(plain);
  });

  it('that a rule allows does not ask', async () => {
    const at = world();
    const done = await at.call(
      'list_files',
      {},
      {
        permissions: { allow: ['read'], deny: [] },
        approve: () => {
          throw new Error('somebody was asked');
        },
      },
    );
    expect(brief(done.steps)).toEqual(plain);
  });

  it.each([
    ['the settings', { permissions: { allow: ['write'], deny: ['command'] } }],
    ['the session', { permissions: { allow: ['command'], deny: [] }, session: { command: 'deny' } as const }],
  ])('that a rule of %s denies is not run, does not ask, and says so', async (_, rules) => {
    const at = world();
    const done = await at.call(
      'run_command',
      { command: 'touch here' },
      {
        ...rules,
        approve: () => {
          throw new Error('somebody was asked');
        },
      },
    );
    expect(done).toMatchObject({ outcome: 'denied', type: 'error-text' });
    expect(done.text).toBe('denied by a rule of the user (command:touch here)');
    expect(brief(done.steps)).toEqual(['tool-start', 'approval-answered', 'tool-end + message']);
    expect(done.steps[1]?.[0]).toMatchObject({ answer: 'deny', by: 'rule' });
    expect(existsSync(join(at.project, 'here'))).toBe(false);
  });

  it('that no user is present to allow is not run', async () => {
    const at = world();
    const done = await at.call('write_file', { path: 'here', content: '' }, { permissions: nothing });
    expect(done).toMatchObject({
      outcome: 'denied',
      text: 'denied: no user is present to allow it, and no rule does (write)',
    });
    expect(brief(done.steps)).toEqual(asked);
    expect(done.steps[2]?.[0]).toMatchObject({ answer: 'deny', by: 'nobody' });
    expect(existsSync(join(at.project, 'here'))).toBe(false);
  });
});

describe('the user', () => {
  const answers: [Approval, string, string[]][] = [
    ['once', 'completed', []],
    ['session', 'completed', ['allow write']],
    ['deny', 'denied', []],
    ['always', 'denied', ['deny write']],
  ];

  it.each(answers)('answers %s: the call is %s', async (answer, outcome, permissions) => {
    const at = world();
    const done = await at.call(
      'write_file',
      { path: 'a', content: 'x' },
      { permissions: nothing, approve: async () => answer },
    );
    expect(done.outcome).toBe(outcome);
    const told = done.recorder.state.permissions;
    expect(told.map(({ rule, decision }) => `${decision} ${rule}`)).toEqual(permissions);
    expect(told.every(({ directory }) => directory === at.project)).toBe(true);
    expect(done.steps[1]).toEqual([
      { type: 'approval-asked', toolCallId: 'call-1', rule: 'write', about: 'create a (+1 -0)' },
    ]);
    expect(done.steps[2]?.[0]).toEqual({
      type: 'approval-answered',
      toolCallId: 'call-1',
      rule: 'write',
      answer,
      by: 'person',
    });
    expect(existsSync(join(at.project, 'a'))).toBe(outcome === 'completed');
  });

  it.each([
    ['session', 'completed'],
    ['always', 'denied'],
  ] as const)('is not asked again after %s', async (answer, outcome) => {
    const at = world();
    const recorder = new Recorder();
    let questions = 0;
    for (const content of ['1', '2']) {
      const done = await at.call(
        'write_file',
        { path: 'a', content },
        {
          permissions: nothing,
          recorder,
          approve: async () => {
            questions++;
            return answer;
          },
        },
      );
      expect(done.outcome).toBe(outcome);
    }
    expect(questions).toBe(1);
  });

  it('is asked again after once', async () => {
    const at = world();
    const recorder = new Recorder();
    let questions = 0;
    for (const content of ['1', '2']) {
      await at.call(
        'write_file',
        { path: 'a', content },
        {
          permissions: nothing,
          recorder,
          approve: async () => {
            questions++;
            return 'once';
          },
        },
      );
    }
    expect(questions).toBe(2);
  });

  it('allows one command line, not another', async () => {
    const at = world();
    const recorder = new Recorder();
    const once = (answer: Approval, command: string): Promise<{ outcome: string }> =>
      at.call('run_command', { command }, { permissions: nothing, recorder, approve: async () => answer });
    expect((await once('session', 'echo 1')).outcome).toBe('completed');
    expect((await once('deny', 'echo 1')).outcome).toBe('completed');
    expect((await once('deny', 'echo 1; echo 2')).outcome).toBe('denied');
  });
});

describe('an abort', () => {
  it('before a call prevents it and records a result', async () => {
    const at = world();
    const done = await at.call('write_file', { path: 'a', content: '' }, { signal: AbortSignal.abort() });
    expect(done).toMatchObject({
      outcome: 'cancelled',
      type: 'error-text',
      text: 'cancelled by the user before it finished',
    });
    expect(brief(done.steps)).toEqual(plain);
    expect(existsSync(join(at.project, 'a'))).toBe(false);
  });

  it.each([
    ['is never answered', () => new Promise<Approval>(() => undefined)],
    ['fails', (signal: AbortSignal) => failure(signal)],
  ])('while the user is asked prevents the call, even if the question %s', async (_, answer) => {
    const at = world();
    const stop = new AbortController();
    const done = await at.call(
      'write_file',
      { path: 'a', content: '' },
      {
        permissions: nothing,
        signal: stop.signal,
        approve: (_request, signal) => {
          queueMicrotask(() => stop.abort());
          return answer(signal);
        },
      },
    );
    expect(done.outcome).toBe('cancelled');
    expect(brief(done.steps)).toEqual(asked);
    expect(done.steps[2]?.[0]).toMatchObject({ answer: 'deny', by: 'nobody' });
    expect(existsSync(join(at.project, 'a'))).toBe(false);
  });

  it('ends a search and records a result', async () => {
    const at = world();
    for (let number = 0; number < 300; number++) at.put(`project/${number}`, 'x');
    const stop = new AbortController();
    const recorder = new Recorder();
    const call = at.call('search_files', { text: 'x' }, { signal: stop.signal, recorder });
    await until(() => recorder.steps.length > 0);
    stop.abort();
    expect((await call).outcome).toBe('cancelled');
  });
});

function failure(signal: AbortSignal): Promise<Approval> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(new CofferError('CANCELLED', 'the question was taken back')));
  });
}

describe('a bug in the program', () => {
  it('is thrown, after a result was recorded', async () => {
    const at = world();
    const recorder = new Recorder();
    const call = at.call(
      'write_file',
      { path: 'a', content: '' },
      {
        permissions: nothing,
        recorder,
        approve: async () => {
          throw new TypeError('a bug in the dialogue');
        },
      },
    );
    await expect(call).rejects.toThrow('a bug in the dialogue');
    expect(recorder.steps.at(-1)).toMatchObject([{ type: 'tool-end', outcome: 'failed' }, { type: 'message' }]);
  });
});

it('records a long output whole', async () => {
  const at = world();
  const text = 'x'.repeat(600_000);
  at.put('project/long', text);
  const done = await at.call('read_file', { path: 'long' });
  expect(done.text).toBe(text);
  expect(readFileSync(join(at.project, 'long'), 'utf8')).toBe(text);
});
