import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makePlace, type Place } from '../support/coffer.ts';
import { type ModelServer, type SentMessage, startModelServer } from '../support/model-server.ts';

/*
 * Instructions a model gets before a conversation: the system prompt, and the AGENTS.md of the
 * directory.
 */

let place: Place;
let server: ModelServer;
/** The messages of each request. */
let seen: (readonly SentMessage[])[];
beforeEach(async () => {
  place = await makePlace();
  server = await startModelServer();
  seen = [];
  server.respond('m', (messages) => {
    seen.push(messages);
    return { content: 'ok' };
  });
  await configure({});
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
  await place[Symbol.asyncDispose]();
});

describe('the system prompt', () => {
  it('of the settings is sent first in new conversations, and shown', async () => {
    await configure({ systemPrompt: 'Be brief.' });
    const { stdout } = await prompt(['-p', 'hello']);
    expect(stdout).toBe('ok\n');
    expect(told()).toEqual(['Be brief.']);
    await configure({});
    await prompt(['-r', '-p', 'again']);
    expect(told()).toEqual(['Be brief.', 'Be brief.']);
    const { stdout: status } = await place.run(['status', 'last']);
    expect(status).toContain('system      system prompt (9 bytes): Be brief.\n');
    const { stdout: exported } = await place.run(['export', 'last']);
    expect(exported).toContain('## instructions (system)\n\nBe brief.\n');
    expect(JSON.parse((await place.run(['status', 'last', '--json'])).stdout).instructions).toEqual([
      { source: 'system', text: 'Be brief.' },
    ]);
  });

  it('of the command line takes precedence, also when a session is resumed, and an empty one removes it', async () => {
    await configure({ systemPrompt: 'Be brief.' });
    await prompt(['--system', 'Be long.', '-p', 'hello']);
    await prompt(['-r', '--system', 'Be kind.', '-p', 'hello']);
    await prompt(['-r', '-p', 'hello']);
    await prompt(['-r', '--system', '', '-p', 'hello']);
    expect(told()).toEqual(['Be long.', 'Be kind.', 'Be kind.', undefined]);
    await prompt(['--system', '', '-p', 'hello']);
    expect(told().at(-1)).toBeUndefined();
  });

  it('is read from a file with @', async () => {
    const file = join(place.home, 'prompt.md');
    await writeFile(file, 'From a file.\n');
    await configure({ systemPrompt: '@~/prompt.md' });
    await prompt(['-p', 'hello']);
    await prompt(['--system', '@../home/prompt.md', '-p', 'hello']);
    expect(told()).toEqual(['From a file.\n', 'From a file.\n']);
    expect((await place.run(['status', 'last'])).stdout).toContain(`system prompt (${file}, 13 bytes): From a file.\n`);
  });

  it.each<[string, (path: string) => unknown, RegExp]>([
    ['that does not exist', () => undefined, /system prompt file \S+prompt\.md not found/],
    ['that is a directory', (path) => mkdir(path), /prompt\.md is a directory/],
    [
      'that is not UTF-8',
      (path) => writeFile(path, Buffer.of(0xff)),
      /system prompt file \S+prompt\.md is not valid UTF-8/,
    ],
    ['that has no end', (path) => symlink('/dev/zero', path), /prompt\.md is a device/],
  ])('from a file %s ends the start in one line', async (_, make, line) => {
    const path = join(place.project, 'prompt.md');
    await make(path);
    const { code, stderr } = await prompt(['--system', '@prompt.md', '-p', 'hello']);
    expect(code).not.toBe(0);
    expect(stderr.split('\n').filter((text) => line.test(text))).toHaveLength(1);
    expect(seen).toEqual([]);
  });

  it("can't be set by a project's settings file", async () => {
    await writeFile(join(place.project, '.coffer.json'), JSON.stringify({ systemPrompt: 'obey me' }));
    const { code, stderr } = await prompt(['-p', 'hello']);
    expect(code).not.toBe(0);
    expect(stderr).toContain('sets systemPrompt, allowed only in your own settings');
  });

  it('applies to conversations begun in the same chat, and to forks', async () => {
    await configure({ systemPrompt: 'Be brief.' });
    await place.run(['--model', 'mock/m'], { input: 'one\n/fork\ntwo\n/new\nthree\n' });
    expect(told()).toEqual(['Be brief.', 'Be brief.', 'Be brief.']);
  });
});

describe('a conversation begun in a chat that resumed another', () => {
  it('gets the instructions of any new one, and the resumed one keeps its own', async () => {
    await prompt(['-p', 'hello']);
    await configure({ systemPrompt: 'Be brief.', agentsFile: 'always' });
    await writeFile(join(place.project, 'AGENTS.md'), 'Use tabs. ok');
    const { stderr } = await place.run(['-r'], { input: 'one\n/new\ntwo\n' });
    expect(told()).toEqual([undefined, undefined, expect.stringMatching(/^Be brief\..*Use tabs\. ok$/s)]);
    expect(stderr).not.toContain('AGENTS.md');
  });
});

describe('the AGENTS.md of the directory', () => {
  const QUESTION = /found AGENTS\.md \(12 bytes\); give it to the model in chats in this directory\? \[y\/N\] $/;
  const THEIRS = 'Instructions from the AGENTS.md of the directory:\n\nUse tabs. ok';

  beforeEach(() => writeFile(join(place.project, 'AGENTS.md'), 'Use tabs. ok'));

  it.each([
    ['y', [THEIRS, THEIRS, THEIRS], 'AGENTS.md of the directory (12 bytes)'],
    ['', [undefined, undefined, undefined], 'without the AGENTS.md of the directory'],
  ])('is offered once, and the answer %j is recorded and applies from then on', async (answer, requests, shown) => {
    const chat = place.terminal(['--model', 'mock/m']);
    await chat.waitFor(QUESTION);
    chat.enter(answer);
    await chat.waitFor(/» $/);
    chat.enter('hello');
    await chat.waitFor(/ok\n.*» $/s);
    chat.enter('/session info');
    await chat.waitFor(new RegExp(`system {6}${shown.replace(/[().]/g, '\\$&')}`));
    chat.enter('/exit');
    await chat.exit;
    const again = place.terminal(['--model', 'mock/m']);
    await again.waitFor(/» $/);
    expect(again.screen()).not.toContain('give it to the model');
    again.enter('hello');
    await again.waitFor(/ok\n.*» $/s);
    again.enter('/exit');
    await again.exit;
    await prompt(['-p', 'hello']);
    expect(told()).toEqual(requests);
    const elsewhere = place.terminal(['--model', 'mock/m', '--path', place.home]);
    await elsewhere.waitFor(/» $/);
  });

  it('is not used without a terminal, unless a flag says so', async () => {
    await prompt(['-p', 'hello']);
    await prompt(['--agents', '-p', 'hello']);
    await prompt(['-p', 'hello']);
    await prompt(['--no-agents', '-p', 'hello']);
    await prompt(['-p', 'hello']);
    await configure({ agentsFile: 'always' });
    await prompt(['-p', 'hello']);
    await configure({ agentsFile: 'never' });
    await prompt(['-p', 'hello']);
    expect(told()).toEqual([undefined, THEIRS, THEIRS, undefined, undefined, THEIRS, undefined]);
  });

  it('is not used in one directory because it is used in another', async () => {
    const other = join(place.home, 'other');
    await mkdir(other);
    await writeFile(join(other, 'AGENTS.md'), 'Use spaces.');
    await prompt(['--agents', '-p', 'hello']);
    await prompt(['--path', other, '-p', 'hello']);
    expect(told()).toEqual([THEIRS, undefined]);
  });

  it('is not used if the settings say never, whatever was answered before', async () => {
    await prompt(['--agents', '-p', 'hello']);
    await configure({ agentsFile: 'never' });
    await prompt(['-p', 'hello']);
    expect(told()).toEqual([THEIRS, undefined]);
  });

  it('stays unchanged in a conversation, even if the file changes, next to a system prompt', async () => {
    await configure({ systemPrompt: 'Be brief.', agentsFile: 'always' });
    await prompt(['-p', 'hello']);
    await rm(join(place.project, 'AGENTS.md'));
    await prompt(['-r', '-p', 'hello']);
    expect(told()).toEqual([`Be brief.\n\n${THEIRS}`, `Be brief.\n\n${THEIRS}`]);
  });

  it('is not approved by the author of an imported file', async () => {
    await prompt(['--agents', '-p', 'hello']);
    const { stdout } = await place.run(['export', 'last', '--format', 'jsonl']);
    await place.run(['delete', 'last', '--yes']);
    await place.run(['import', '-'], { input: stdout });
    await prompt(['-p', 'hello']);
    expect(told()).toEqual([THEIRS, undefined]);
  });

  it.each<[string, (path: string) => unknown, RegExp]>([
    ['leads out of it', (path) => symlink('/etc/passwd', path), /AGENTS\.md leads outside the working directory/],
    ['is not text', (path) => writeFile(path, Buffer.of(0, 1)), /AGENTS\.md can't be sent: it is neither/],
    ['leads to itself', (path) => symlink('AGENTS.md', path), /AGENTS\.md not used: AGENTS\.md can't be read: ELOOP/],
    ['leads below a file', (path) => symlink('/etc/passwd/x', path), /AGENTS\.md can't be read: ENOTDIR/],
    ['leads to no possible name', (path) => symlink('x'.repeat(256), path), /AGENTS\.md can't be read: ENAMETOOLONG/],
    ['is too large', (path) => writeFile(path, 'x'.repeat(64 * 1024 + 1)), /AGENTS\.md is too large/],
  ])('is left out with one line if it %s', async (_, make, line) => {
    const path = join(place.project, 'AGENTS.md');
    await rm(path);
    await make(path);
    const { code, stderr } = await prompt(['--agents', '-p', 'hello']);
    expect(code).toBe(0);
    expect(stderr.split('\n').filter((text) => line.test(text))).toHaveLength(1);
    expect(told()).toEqual([undefined]);
  });
});

async function configure(settings: object): Promise<void> {
  const all = { providers: { mock: { baseURL: server.openai } }, ...settings };
  await writeFile(join(place.config, 'settings.json'), JSON.stringify(all), { mode: 0o600 });
}

function prompt(args: readonly string[]): ReturnType<Place['run']> {
  const model = args.includes('-r') ? [] : ['--model', 'mock/m'];
  return place.run([...model, ...args]);
}

/** Returns the system message of each request. */
function told(): unknown[] {
  return seen.map(([first]) => (first?.role === 'system' ? first.content : undefined));
}
