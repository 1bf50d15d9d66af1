import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Instructed, instructionsOf, systemInstructions } from '../../src/live/host/instructions.ts';
import { Workplace } from '../../src/live/host/workplace.ts';
import type { FrontEnd } from '../../src/live/question.ts';
import type { Instructions } from '../../src/session/event/event.ts';
import { openVault } from '../../src/session/open-vault.ts';
import type { Sessions } from '../../src/session/sessions.ts';
import { defaultSettings } from '../../src/settings/settings.ts';
import { describeNotice } from '../../src/terminal/notices.ts';
import { makePlace, type Place } from '../support/coffer.ts';
import { type ModelServer, type SentMessage, startModelServer } from '../support/model-server.ts';
import { reply, user } from '../support/vault.ts';

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

  it('from a file that has no end ends the start in one line', async () => {
    await symlink('/dev/zero', join(place.project, 'prompt.md'));
    const { code, stderr } = await prompt(['--system', '@prompt.md', '-p', 'hello']);
    expect(code).not.toBe(0);
    expect(stderr.split('\n').filter((text) => /prompt\.md is a device/.test(text))).toHaveLength(1);
    expect(seen).toEqual([]);
  });

  it.each<[string, (path: string) => unknown, RegExp]>([
    ['does not exist', () => undefined, /^system prompt file \S+prompt\.md not found$/],
    ['is a directory', (path) => mkdir(path), /^.*prompt\.md is a directory.*$/],
    [
      'is not UTF-8',
      (path) => writeFile(path, Buffer.of(0xff)),
      /^system prompt file \S+prompt\.md is not valid UTF-8$/,
    ],
    ['has no end', (path) => symlink('/dev/zero', path), /^.*prompt\.md is a device.*$/],
  ])('read from a file that %s is refused by an error of one line', async (_, make, message) => {
    const path = join(place.project, 'prompt.md');
    await make(path);
    await expect(systemInstructions(`@${path}`)).rejects.toMatchObject({
      code: 'SETTINGS_INVALID',
      message: expect.stringMatching(message),
    });
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
    await talked();
    await configure({ systemPrompt: 'Be brief.', agentsFile: 'always' });
    await writeFile(join(place.project, 'AGENTS.md'), 'Use tabs. ok');
    const { stderr } = await place.run(['-r'], { input: 'one\n/new\ntwo\n' });
    expect(told()).toEqual([undefined, expect.stringMatching(/^Be brief\..*Use tabs\. ok$/s)]);
    expect(stderr).not.toContain('AGENTS.md');
  });
});

describe('the AGENTS.md of the directory', () => {
  const QUESTION = /found AGENTS\.md \(12 bytes\); give it to the model in chats in this directory\? \[y\/N\] $/;
  const THEIRS = 'Instructions from the AGENTS.md of the directory:\n\nUse tabs. ok';
  /** What a conversation records if the user agrees to it. */
  const AGREED: Instructions = { source: 'agents', text: 'Use tabs. ok', offered: true };

  beforeEach(() => writeFile(join(place.project, 'AGENTS.md'), 'Use tabs. ok'));

  it('is offered once in each directory, and the answer is recorded and applies from then on', async () => {
    const other = await otherDirectory('Use tabs. ok');
    for (const [answer, cwd, shown] of [
      ['y', place.project, 'AGENTS.md of the directory (12 bytes)'],
      ['', other, 'without the AGENTS.md of the directory'],
    ] as const) {
      const chat = place.terminal(['--model', 'mock/m'], { cwd });
      await chat.waitFor(QUESTION);
      chat.enter(answer);
      await chat.waitFor(/» $/);
      chat.enter('hello');
      await chat.waitFor(/ok\n.*» $/s);
      chat.enter('/session info');
      await chat.waitFor(new RegExp(`system {6}${shown.replace(/[().]/g, '\\$&')}`));
      chat.enter('/exit');
      await chat.exit;
    }
    for (const cwd of [place.project, other]) {
      const again = place.terminal(['--model', 'mock/m'], { cwd });
      await again.waitFor(/» $/);
      expect(again.screen()).not.toContain('give it to the model');
      again.enter('hello');
      await again.waitFor(/ok\n.*» $/s);
      again.enter('/exit');
      await again.exit;
      await place.run(['--model', 'mock/m', '-p', 'hello'], { cwd });
    }
    expect(told()).toEqual([THEIRS, undefined, THEIRS, THEIRS, undefined, undefined]);
    const elsewhere = place.terminal(['--model', 'mock/m', '--path', place.home]);
    await elsewhere.waitFor(/» $/);
  });

  it('is not used without a terminal, unless a flag says so, nor if the settings say never', async () => {
    await prompt(['-p', 'hello']);
    await prompt(['--agents', '-p', 'hello']);
    await prompt(['-p', 'hello']);
    await configure({ agentsFile: 'never' });
    await prompt(['-p', 'hello']);
    await configure({});
    await prompt(['--no-agents', '-p', 'hello']);
    await prompt(['-p', 'hello']);
    await configure({ agentsFile: 'always' });
    await prompt(['-p', 'hello']);
    expect(told()).toEqual([undefined, THEIRS, THEIRS, undefined, undefined, undefined, THEIRS]);
  });

  it('is not used in one directory because it is used in another', async () => {
    await talked(AGREED);
    const other = await otherDirectory('Use spaces.');
    await prompt(['--path', other, '-p', 'hello']);
    await prompt(['-p', 'hello']);
    expect(told()).toEqual([undefined, THEIRS]);
  });

  it('stays unchanged in a conversation, even if the file changes, next to a system prompt', async () => {
    await configure({ systemPrompt: 'Be brief.', agentsFile: 'always' });
    await prompt(['-p', 'hello']);
    await rm(join(place.project, 'AGENTS.md'));
    await prompt(['-r', '-p', 'hello']);
    expect(told()).toEqual([`Be brief.\n\n${THEIRS}`, `Be brief.\n\n${THEIRS}`]);
  });

  it('is not approved by the author of an imported file', async () => {
    await talked(AGREED);
    const { stdout } = await place.run(['export', 'last', '--format', 'jsonl']);
    expect(stdout).toContain('"offered":true');
    await using vault = await opened();
    await vault.delete(await vault.find('last'));
    await place.run(['import', '-'], { input: stdout });
    await prompt(['-p', 'hello']);
    expect(told()).toEqual([undefined]);
    expect(await vault.list()).toHaveLength(2);
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
    const { instructions, lines } = await asked();
    expect(lines).toEqual([expect.stringMatching(line)]);
    expect(instructions).toEqual([]);
  });

  it('that leads out of it is left out of a chat with one line on standard error', async () => {
    const path = join(place.project, 'AGENTS.md');
    await rm(path);
    await symlink('/etc/passwd', path);
    const { code, stderr } = await prompt(['--agents', '-p', 'hello']);
    expect(code).toBe(0);
    expect(stderr.split('\n').filter((text) => text.includes('AGENTS.md leads outside'))).toHaveLength(1);
    expect(told()).toEqual([undefined]);
  });
});

/** Makes a directory with an AGENTS.md, next to the project. */
async function otherDirectory(agents: string): Promise<string> {
  const other = join(place.root, 'other');
  await mkdir(other);
  await writeFile(join(other, 'AGENTS.md'), agents);
  return other;
}

function opened(): Promise<Sessions> {
  return openVault({ directory: place.data, env: place.libraryEnv });
}

/** Saves a conversation in the project that began with those instructions. */
async function talked(...instructions: Instructions[]): Promise<void> {
  await using vault = await opened();
  const session = vault.begin({ directory: place.project, model: 'mock/m', instructions });
  await session.append(user('hello'), reply('ok'));
}

/** Returns what a chat with --agents would begin with, and the lines that it would show. */
async function asked(): Promise<{ instructions: Instructions[]; lines: string[] }> {
  await using sessions = await opened();
  const session = sessions.begin({ directory: place.project, model: 'mock/m' });
  const host = { env: place.libraryEnv, vault: place.data };
  const workplace = new Workplace(place.project, { settings: defaultSettings, place: host });
  const from: Instructed = { session, workplace, sessions };
  const lines: string[] = [];
  const front: FrontEnd = {
    attended: false,
    ask: async () => undefined,
    notify: (notice) => lines.push(...describeNotice(notice)),
  };
  const options = { agents: true, mayAsk: false, quiet: false };
  return { instructions: await instructionsOf(from, front, options), lines };
}

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
