import { access, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { FixtureResponse } from '@copilotkit/aimock';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Event } from '../../src/session/event/event.ts';
import { makePlace, type Place } from '../support/coffer.ts';
import { type ModelServer, startModelServer } from '../support/model-server.ts';
import type { Terminal } from '../support/pty.ts';

const QUESTION = /allow\? \[y\]es, once; for this \[s\]ession; \[n\]o; \[d\]eny for this session: $/;

let place: Place;
beforeEach(async () => {
  place = await makePlace();
});
afterEach(() => place[Symbol.asyncDispose]());

describe('a tool call that no rule allows', () => {
  it('is shown in full, and runs once when the answer is "once"', async () => {
    await writeFile(join(place.project, 'x.txt'), 'old\n');
    const chat = await begin();
    chat.enter('write x.txt new');
    await chat.waitFor(/write_file: change x\.txt \(\+1 -1\)\n.*\n {2}-old\n {2}\+new\n/s);
    await chat.waitFor(/ {2}session: writing anything in the working directory\n {2}deny: writing anything anywhere\n/);
    await chat.waitFor(QUESTION);
    expect(await readFile(join(place.project, 'x.txt'), 'utf8')).toBe('old\n');
    chat.enter('o');
    await chat.waitFor(/session: yes, once\nwrite_file x\.txt\n.*changed x\.txt.*» $/s);
    expect(await readFile(join(place.project, 'x.txt'), 'utf8')).toBe('new\n');
    chat.enter('write x.txt newer');
    await chat.waitFor(QUESTION);
    chat.enter('n');
    await chat.waitFor(/» $/);
    await leave(chat);
    expect(await answers()).toEqual([
      ['write', 'once', 'person'],
      ['write', 'deny', 'person'],
    ]);
  });

  it('is not asked about again in a session that granted it, nor after a resume, but is in another session', async () => {
    const chat = await begin();
    chat.enter('run echo one');
    await chat.waitFor(/run_command: run echo one\n.*this exact command, in this directory, only in a sandbox\n/s);
    await chat.waitFor(QUESTION);
    chat.enter('session');
    await chat.waitFor(/session: for this session\nrun_command echo one\n.*exit status 0.*» $/s);
    chat.enter('run echo one');
    await chat.waitFor(/run_command echo one\n.*exit status 0.*» $/s);
    await leave(chat);
    const again = place.terminal(['resume', 'last']);
    await again.waitFor(/» $/);
    again.enter('run echo one');
    await again.waitFor(/run_command echo one\n.*exit status 0.*» $/s);
    again.enter('run echo two');
    await again.waitFor(QUESTION);
    again.enter('');
    await again.waitFor(/denied.*» $/s);
    await leave(again);
    const other = await begin();
    other.enter('run echo one');
    await other.waitFor(QUESTION);
    other.enter('');
    await other.waitFor(/» $/);
    await leave(other);
  });

  it('is denied from then on when the answer is "deny"', async () => {
    const chat = await begin();
    chat.enter('write x.txt one');
    await chat.waitFor(QUESTION);
    chat.enter('deny');
    await chat.waitFor(/session: deny for this session\nwrite_file x\.txt: denied\n.*» $/s);
    chat.enter('write y.txt two');
    await chat.waitFor(/write_file y\.txt: denied\n.*» $/s);
    await leave(chat);
    expect(await answers()).toEqual([
      ['write', 'always', 'person'],
      ['write', 'deny', 'rule'],
    ]);
  });

  it('takes Enter alone as no, and repeats the question after an invalid answer', async () => {
    const chat = await begin();
    chat.enter('write x.txt one');
    await chat.waitFor(QUESTION);
    chat.enter('always');
    await chat.waitFor(/session: always\n/);
    await chat.waitFor(QUESTION);
    chat.key('enter');
    await chat.waitFor(/session: no\nwrite_file x\.txt: denied\n.*» $/s);
    await leave(chat);
    await expect(access(join(place.project, 'x.txt'))).rejects.toThrow('ENOENT');
  });

  it.each(['ctrl+c', 'escape', 'ctrl+d'] as const)('is denied, and the turn ends, with %s', async (key) => {
    const chat = await begin();
    chat.enter('write x.txt one');
    await chat.waitFor(QUESTION);
    chat.key(key);
    await chat.waitFor(/session: no, turn cancelled\nwrite_file x\.txt: cancelled\ncancelled\n.*» $/s);
    chat.enter('nothing');
    await chat.waitFor(/I follow instructions.*» $/s);
    await leave(chat);
    await expect(access(join(place.project, 'x.txt'))).rejects.toThrow('ENOENT');
    expect(await results()).toEqual(['cancelled by the user before it finished']);
  });

  it.each([
    ['its terminal is closed', (chat: Terminal) => chat.hangUp()],
    ['it is asked to end', (chat: Terminal) => chat.kill('SIGTERM')],
  ])('is not run, and gets a result, when %s', async (_, end) => {
    const chat = await begin();
    chat.enter('write x.txt one');
    await chat.waitFor(QUESTION);
    end(chat);
    await chat.exit;
    await expect(access(join(place.project, 'x.txt'))).rejects.toThrow('ENOENT');
    expect(await results()).toEqual([expect.stringMatching(/^(?:interrupted: the chat ended|cancelled by the user)/)]);
    expect((await recorded()).some(({ type }) => type === 'tool-start')).toBe(true);
  });

  it('is not approved by input typed before the question', async () => {
    await using server = await startModelServer();
    const { asked, answer } = await slowCaller(server);
    const chat = place.terminal(['--model', 'mock/slow']);
    await chat.waitFor(/» $/);
    chat.enter('go');
    await asked;
    chat.type('o\rs\ro');
    answer();
    await chat.waitFor(QUESTION);
    await expect(access(join(place.project, 'x.txt'))).rejects.toThrow('ENOENT');
    chat.key('enter');
    await chat.waitFor(/session: no\nwrite_file x\.txt: denied\n/);
    await chat.waitFor(/» o\ndone\n.*» s\ndone\n.*» o$/s);
    chat.key('ctrl+u');
    await leave(chat);
    await expect(access(join(place.project, 'x.txt'))).rejects.toThrow('ENOENT');
  });

  it('is not approved by input typed while a single prompt was answered', async () => {
    await using server = await startModelServer();
    const { asked, answer } = await slowCaller(server);
    const run = place.terminal(['--model', 'mock/slow', '-p', 'go']);
    await asked;
    run.type('o\r');
    await run.waitFor(/o\n/);
    answer();
    await run.waitFor(QUESTION);
    run.key('enter');
    await run.waitFor(/write_file x\.txt: denied\n.*done/s);
    expect((await run.exit).code).toBe(0);
    await expect(access(join(place.project, 'x.txt'))).rejects.toThrow('ENOENT');
  });

  it('is asked about in an incognito chat too, of which nothing is kept', async () => {
    const chat = place.terminal(['--incognito', '--model', 'demo/tools']);
    await chat.waitFor(/» $/);
    chat.enter('write x.txt one');
    await chat.waitFor(QUESTION);
    chat.enter('o');
    await chat.waitFor(/session: yes, once\nwrite_file x\.txt\n.*» $/s);
    await leave(chat);
    expect(await readFile(join(place.project, 'x.txt'), 'utf8')).toBe('one\n');
    expect(await place.sessionFiles()).toEqual([]);
  });

  it('can neither control the terminal nor hide what it does', async () => {
    const chat = await begin();
    chat.type('\u001b[200~run echo a\u202eb\u200b; echo \u00a0c\u001b[201~\r');
    await chat.waitFor(/run_command: run echo a\\u202eb\\u\{200b\}; echo \\u\{a0\}c\n/);
    await chat.waitFor(QUESTION);
    chat.key('enter');
    await chat.waitFor(/» $/);
    await leave(chat);
  });

  it('is shown cut if it is long, and in full on request', async () => {
    const lines = Array.from({ length: 100 }, (_, at) => `line ${at}`);
    const chat = await begin();
    chat.type(`\u001b[200~run cat <<X ${lines.join('; ')}\u001b[201~\r`);
    await chat.waitFor(/… \d+ more characters\n.*v to see all\n/s);
    await chat.waitFor(QUESTION);
    expect(chat.screen().split('run_command:')[1]).not.toContain('line 99');
    chat.enter('v');
    await chat.waitFor(/session: show all\n.*line 99\n/s);
    await chat.waitFor(QUESTION);
    chat.key('enter');
    await chat.waitFor(/denied.*» $/s);
    await leave(chat);
  });
});

describe('without a terminal', () => {
  it('denies what no rule allows, and says once that no user is present', async () => {
    await writeFile(join(place.project, 'notes.txt'), 'my notes\n');
    const input = 'read notes.txt\nwrite x.txt one\nrun ls\n';
    const { stdout, stderr, code } = await place.run(['--model', 'demo/tools'], { input });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^my notes\ndenied: no user is present .*\ndenied: no user is present .*\n$/);
    expect(stderr.split('\n').slice(1)).toEqual([
      'read_file notes.txt',
      'write_file x.txt: denied',
      expect.stringMatching(/^no user is present to allow it; set permissions\.allow /),
      'run_command ls: denied',
      '',
    ]);
  });

  it('ends a turn at the limits in the settings, and says which limit', async () => {
    await writeFile(join(place.config, 'settings.json'), JSON.stringify({ maxToolCalls: 1 }));
    const { stdout, stderr, code } = await place.run(['--model', 'demo/tools', '-p', 'list\nlist']);
    expect({ stdout, code }).toEqual({ stdout: '', code: 1 });
    expect(stderr).toMatch(/^list_files\n.*at most 1 tool calls \(maxToolCalls\): send another prompt to continue/m);
    expect(await results()).toEqual(['[the directory is empty]\n', expect.stringMatching(/^denied: .*maxToolCalls/)]);
    expect((await recorded()).at(-2)).toMatchObject({ type: 'error', code: 'LIMIT_REACHED' });
  });

  it('offers no tools if the settings exclude them', async () => {
    await writeFile(join(place.config, 'settings.json'), JSON.stringify({ tools: false }));
    const { stdout } = await place.run(['--model', 'demo/tools', '-p', 'list']);
    expect(stdout).toBe('I have no tools here.\n');
  });

  it('runs what the settings allow', async () => {
    await writeFile(
      join(place.config, 'settings.json'),
      JSON.stringify({ permissions: { allow: ['command:exit 3'] } }),
    );
    const { stdout, stderr } = await place.run(['--model', 'demo/tools', '-p', 'run exit 3']);
    expect(stdout).toBe('[exit status 3]\n');
    expect(stderr).toContain('run_command exit 3: exit 3\n');
  });
});

/** Makes the model call write_file when it is asked to, once `answer` is called. */
async function slowCaller(server: ModelServer): Promise<{ asked: Promise<void>; answer: () => void }> {
  const asked = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<FixtureResponse>();
  server.respond('slow', (messages) => {
    if (messages.at(-1)?.content !== 'go') return { content: 'done' };
    asked.resolve();
    return answer.promise;
  });
  const settings = { providers: { mock: { baseURL: server.openai } } };
  await writeFile(join(place.config, 'settings.json'), JSON.stringify(settings));
  const call = { name: 'write_file', arguments: '{"path":"x.txt","content":"one"}' };
  return { asked: asked.promise, answer: () => answer.resolve({ toolCalls: [call] }) };
}

async function begin(): Promise<Terminal> {
  const chat = place.terminal(['--model', 'demo/tools']);
  await chat.waitFor(/» $/);
  return chat;
}

async function leave(chat: Terminal): Promise<void> {
  chat.enter('/exit');
  expect(await chat.exit).toEqual({ code: 0, signal: null });
}

async function recorded(): Promise<Event[]> {
  return (await place.exported('last')).events as unknown as Event[];
}

async function answers(): Promise<unknown[]> {
  return (await recorded()).flatMap((event) =>
    event.type === 'approval-answered' ? [['rule', 'answer', 'by'].map((name) => Reflect.get(event, name))] : [],
  );
}

async function results(): Promise<unknown[]> {
  const messages = (await recorded())
    .filter(({ type }) => type === 'message')
    .map((event) => Reflect.get(event, 'message'));
  return messages
    .filter(({ role }) => role === 'tool')
    .flatMap(({ content }) => content.map((part: { output: { value: string } }) => part.output.value));
}
