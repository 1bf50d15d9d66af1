import { mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { demoModel } from '../../src/chat/models/demo.ts';
import type { ChatModel } from '../../src/chat/models/models.ts';
import { cancelled } from '../../src/chat/wire/faults.ts';
import { Host } from '../../src/live/host/host.ts';
import type { LiveEvent } from '../../src/live/live.ts';
import { textOf } from '../../src/session/event/message-text.ts';
import type { Sessions } from '../../src/session/sessions.ts';
import { defaultSettings } from '../../src/settings/settings.ts';
import { scriptedModel } from '../chat/scripted.ts';
import { liveSuite, type SetUp, type SuiteModel } from '../suites/live.ts';
import { type Home, home, temporaryFolder } from '../support/vault.ts';

const setUp: SetUp = async ({ model: name, attended }) => {
  const { at, sessions, host } = await hosted(attended);
  const slow = new SlowModel();
  const model = modelOf(name, slow);
  const live = host.begin(model, model.name);
  const files = join(at.directory, 'sessions');
  return {
    live,
    release: () => slow.release(),
    failSaves() {
      renameSync(files, `${files}.away`);
      return () => renameSync(`${files}.away`, files);
    },
    crash: async () => slow.crash(),
    async onDisk() {
      await using reader = await at.open();
      const row = (await reader.list()).find(({ kind }) => kind === 'session');
      if (row === undefined) return [];
      const { state } = await reader.read(row);
      return state.messages.map(textOf);
    },
    async [Symbol.asyncDispose]() {
      slow.release();
      live.finalSave();
      await sessions.close();
    },
  };
};

async function hosted(attended: boolean, maySend = true): Promise<{ at: Home; sessions: Sessions; host: Host }> {
  const at = home();
  const directory = join(temporaryFolder(), 'project');
  mkdirSync(directory);
  const sessions = await at.open();
  const host = new Host({
    ...{
      sessions,
      settings: defaultSettings,
      settingsIn: async () => defaultSettings,
      env: { ...process.env, ANTHROPIC_API_KEY: 'k' },
    },
    ...{ inMemory: false, incognito: false, attended, maySend },
    surroundings: { directory, branch: undefined, worktree: undefined, project: undefined },
  });
  return { at, sessions, host };
}

function modelOf(name: SuiteModel, slow: SlowModel): ChatModel {
  return name === 'slow' ? slow : demoModel(name);
}

/** Sends the first part of a reply, and the second one once it is released. */
class SlowModel implements ChatModel {
  readonly name = 'mock/slow';
  readonly isLocal = true;
  contextWindow = 128_000;
  readonly refuses: Set<'tools' | 'files'> = new Set();
  readonly #released = Promise.withResolvers<void>();

  async *reply(_: unknown, signal: AbortSignal): ReturnType<ChatModel['reply']> {
    yield { type: 'text', text: 'part 1 ' };
    if (signal.aborted) throw cancelled();
    const aborted = Promise.withResolvers<never>();
    signal.addEventListener('abort', () => aborted.reject(cancelled()));
    await Promise.race([this.#released.promise, aborted.promise]);
    yield { type: 'text', text: 'part 2' };
    yield { type: 'finish', usage: { inputTokens: null, outputTokens: null, cost: null }, reason: 'stop' };
  }

  release(): void {
    this.#released.resolve();
  }

  crash(): void {
    this.#released.reject(new Error('a fault of the program'));
  }
}

liveSuite('a session in this process', setUp);

describe('a turn of several replies', () => {
  it('counts the text of each reply from its own beginning, and says once for each that it reasons', async () => {
    const model = scriptedModel((request) => [
      { type: 'reasoning', text: 'let me ' },
      { type: 'reasoning', text: 'see' },
      { type: 'text', text: request === 0 ? 'I look' : 'I saw it' },
      ...(request === 0 ? [{ type: 'tool-call', toolCallId: 'c', toolName: 'list_files', input: {} } as const] : []),
      { type: 'finish', usage: { inputTokens: null, outputTokens: null, cost: null }, reason: 'stop' },
    ]);
    const { sessions, host } = await hosted(true);
    const live = host.begin(model, model.name);
    const events: LiveEvent[] = [];
    const coming = live.events();
    await live.send({ type: 'SendMessage', text: 'go', tag: 'go' });
    for await (const event of coming) {
      events.push(event);
      if (event.type === 'idle') break;
    }
    await live.close();
    await sessions.close();
    const seen = events.flatMap((event) => {
      if (event.type === 'delta') return [`${event.at}: ${event.text}`];
      return event.type === 'thinking' || event.type === 'call-end' ? [event.type] : [];
    });
    expect(seen).toEqual(['thinking', '0: I look', 'call-end', 'thinking', '0: I saw it']);
  });
});

it('a session that closes withdraws a question that no turn has asked', async () => {
  const { sessions, host } = await hosted(true, false);
  const live = host.begin(demoModel('echo'), 'demo/echo');
  const coming = live.events();
  await live.send({ type: 'SendMessage', text: 'go', tag: 'go' });
  const chosen = live.send({ type: 'ChooseModel', model: 'anthropic/claude' }).catch((error: unknown) => error);
  for await (const event of coming) if (event.type === 'ask') break;
  await live.close();
  await sessions.close();
  expect(await chosen).toMatchObject({ code: 'MODEL_ELSEWHERE' });
}, 20_000);
