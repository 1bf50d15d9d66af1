import { watch } from 'node:fs';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makePlace, type Place } from '../support/coffer.ts';
import { type ModelServer, type SentMessage, startModelServer } from '../support/model-server.ts';
import type { Terminal } from '../support/pty.ts';

const COMMAND = 'echo > begun; exec sleep 30';

let server: ModelServer;
let place: Place;
let sent: SentMessage[][];

beforeEach(async () => {
  server = await startModelServer();
  const providers = { mock: { baseURL: server.openai } };
  place = await makePlace({ settings: { providers, permissions: { allow: ['read', 'command'] } } });
  sent = [];
  server.respond('caller', (messages) => {
    sent.push(messages);
    if (messages.at(-1)?.content !== 'go') return { content: 'I see' };
    const input = (command: string): string => JSON.stringify({ command });
    return {
      toolCalls: [
        { id: 'c1', name: 'run_command', arguments: input('echo one') },
        { id: 'c2', name: 'run_command', arguments: input(COMMAND) },
        { id: 'c3', name: 'list_files', arguments: '{}' },
      ],
    };
  });
});
afterEach(async () => {
  await place[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

describe('a chat that ends while a tool runs', () => {
  it('resumes after kill -9: the model learns that the result is unknown, the record is unchanged', async () => {
    await using chat = await begin();
    chat.kill('SIGKILL');
    await chat.exit;
    expect(await results()).toEqual([expect.stringContaining('one\n')]);
    const again = await place.run(['resume', 'last', '--prompt', 'what happened?']);
    expect(again).toMatchObject({ code: 0, stdout: expect.stringContaining('I see\n') });
    const last = sent.at(-1) ?? [];
    expect(last.map(({ role }) => role)).toEqual(['user', 'assistant', 'tool', 'tool', 'tool', 'assistant', 'user']);
    expect(last.map(({ tool_call_id: id }) => id).filter(Boolean)).toEqual(['call00001', 'call00002', 'call00003']);
    for (const { content } of last.slice(3, 5)) expect(content).toMatch(/^interrupted: its outcome is unknown/);
    expect(await results()).toEqual([expect.stringContaining('one\n')]);
  });

  it('has a result for every call after SIGTERM', async () => {
    await using chat = await begin();
    chat.kill('SIGTERM');
    expect(await chat.exit).toEqual({ code: null, signal: 'SIGTERM' });
    const interrupted = 'interrupted: the chat ended before this finished';
    expect(await results()).toEqual([expect.stringContaining('one\n'), interrupted, interrupted]);
  });

  it('keeps the conversation when Ctrl+C cancels the tool', async () => {
    await using chat = await begin();
    chat.key('ctrl+c');
    await chat.waitFor(/run_command echo > begun; exec sleep 30: cancelled\nlist_files: cancelled\ncancelled\n.*» $/s);
    chat.enter('what happened?');
    await chat.waitFor(/I see\n.*» $/s);
    chat.enter('/exit');
    expect((await chat.exit).code).toBe(0);
    expect(await results()).toEqual([
      expect.stringContaining('one\n'),
      expect.stringContaining('cancelled by the user'),
      expect.stringContaining('cancelled by the user'),
    ]);
  });
});

/** Starts a chat in which the long command runs. */
async function begin(): Promise<Terminal> {
  const begun = new Promise<void>((resolve) => {
    const watcher = watch(place.project, () => {
      access(join(place.project, 'begun')).then(
        () => {
          watcher.close();
          resolve();
        },
        () => undefined, // another file was written; keep waiting for this one
      );
    });
  });
  const chat = place.terminal(['--model', 'mock/caller']);
  await chat.waitFor(/» $/);
  chat.enter('go');
  await begun;
  return chat;
}

async function results(): Promise<string[]> {
  return (await place.exported('last')).events.flatMap(({ message }) => {
    const parts = message?.role === 'tool' ? (message.content as unknown as { output: { value: string } }[]) : [];
    return parts.map(({ output }) => output.value);
  });
}
