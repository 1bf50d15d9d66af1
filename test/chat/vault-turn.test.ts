import { mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { turn } from '../../src/chat/loop.ts';
import { type ChatModel, openModel } from '../../src/chat/models/models.ts';
import { MemoryKeyring } from '../../src/keyring/memory.ts';
import { isKnown, type NewEvent } from '../../src/session/event/event.ts';
import { openVault } from '../../src/session/open-vault.ts';
import type { Session } from '../../src/session/session.ts';
import type { Sessions } from '../../src/session/sessions.ts';
import { type ModelServer, startModelServer } from '../support/model-server.ts';

let server: ModelServer;
let directory: string;
let keyring: MemoryKeyring;
let vault: Sessions;
let session: Session;

beforeAll(async () => {
  server = await startModelServer();
});
afterAll(() => server[Symbol.asyncDispose]());
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'coffer-turn-'));
  keyring = new MemoryKeyring();
  vault = await openVault({ directory, keyring });
  session = vault.begin({ directory: '/work', model: 'mock/reply' });
});
afterEach(async () => {
  await vault.close();
  await rm(directory, { recursive: true });
});

const events = { onText: () => undefined };

describe('a turn in a vault', () => {
  it('is on disk when it resolves', async () => {
    expect(await turn(session, await open('reply'), 'hello', events, idle())).toMatchObject({ outcome: 'completed' });
    expect(await onDisk()).toEqual([
      { role: 'user', content: 'hello' },
      { role: 'assistant', content: 'you said: hello' },
    ]);
    expect(session.state).toMatchObject({ inputTokens: 7, outputTokens: 5, cost: null });
  });

  it('leaves the part of a broken reply on disk, marked partial, with its error', async () => {
    await turn(session, await open('half', 'held'), 'hello', events, idle());
    const recorded = await eventsOnDisk();
    expect(recorded.slice(-2)).toEqual([
      expect.objectContaining({
        type: 'message',
        partial: true,
        message: { role: 'assistant', content: 'part 1 part 2 ' },
      }),
      expect.objectContaining({ type: 'error', code: 'MODEL_FAILED' }),
    ]);
  });

  it('has the text so far on disk while the reply hangs, and the whole reply once afterwards', async () => {
    const slow = turn(session, await open('slow', 'held'), 'hello', events, idle(), { saveInterval: 1 });
    await server.streaming(1);
    await until(async () => (await onDisk()).length === 2);
    expect((await onDisk())[1]).toEqual({ role: 'assistant', content: 'part 1 ' });
    expect((await eventsOnDisk()).at(-1)).toMatchObject({ partial: true });
    server.release();
    server.finish();
    await slow;
    expect(await onDisk()).toEqual([
      { role: 'user', content: 'hello' },
      { role: 'assistant', content: 'part 1 part 2 ' },
    ]);
    expect((await eventsOnDisk()).some((event) => 'partial' in event)).toBe(false);
  });

  it('leaves the text so far to a final save, once', async () => {
    const arrived = Promise.withResolvers<void>();
    const cancel = new AbortController();
    const slow = turn(session, await open('slow', 'held'), 'hello', { onText: () => arrived.resolve() }, cancel.signal);
    await arrived.promise;
    session.finalSave();
    expect(await onDisk()).toEqual([
      { role: 'user', content: 'hello' },
      { role: 'assistant', content: 'part 1 ' },
    ]);
    cancel.abort();
    await slow.catch((error: unknown) => expect(error).toBeInstanceOf(TypeError));
    expect((await onDisk()).length).toBe(2);
  });

  it('continues while saving fails, and is on disk with the next step that is saved', async () => {
    await turn(session, await open('reply'), 'one', events, idle());
    await rename(join(directory, 'sessions'), join(directory, 'away'));
    expect(await turn(session, await open('reply'), 'two', events, idle())).toMatchObject({ outcome: 'completed' });
    expect(session.unsaved?.error.code).toBe('NOT_SAVED');
    await rename(join(directory, 'away'), join(directory, 'sessions'));
    await turn(session, await open('reply'), 'three', events, idle());
    expect(session.unsaved).toBeUndefined();
    expect((await onDisk()).length).toBe(6);
  });

  it('continues the same conversation in a resumed session', async () => {
    await turn(session, await open('reply'), 'one', events, idle());
    await session.close();
    const [row] = await vault.list();
    if (row === undefined) throw new Error('no session');
    await using resumed = await vault.resume(row);
    await turn(resumed, await open('reply'), 'two', events, idle());
    expect(JSON.stringify(server.requests.at(-1)?.body)).toContain('you said: one');
    expect((await onDisk()).length).toBe(4);
  });
});

function open(model: string, base: 'openai' | 'held' = 'openai'): Promise<ChatModel> {
  return openModel(`mock/${model}`, { providers: { mock: { baseURL: server[base] } }, env: {} });
}

function idle(): AbortSignal {
  return new AbortController().signal;
}

/** Returns the conversation as another reader of the vault finds it. */
async function onDisk(): Promise<unknown[]> {
  return (await eventsOnDisk()).flatMap((event) => (event.type === 'message' ? [event.message] : []));
}

async function eventsOnDisk(): Promise<NewEvent[]> {
  await using reader = await openVault({ directory, keyring });
  const [row] = await reader.list();
  if (row === undefined) return [];
  return (await reader.read(row)).events.filter(isKnown);
}

/** Resolves when `condition` holds; checks after each turn of the event loop. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setImmediate(resolve));
}
