import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { requirePosix } from '../files/facilities.ts';
import { conversation, makePlace, type Place, type Start } from '../support/coffer.ts';

describe('a vault under a passphrase', () => {
  beforeEach(requirePosix);

  it('is made and opened without a terminal by COFFER_PASSPHRASE_FILE', async () => {
    await using place = await makePlace();
    await make(place);
    expect(conversation(await place.exported('1', await given(place, 'Größe 🦊')))).toEqual([
      'user: hello',
      'assistant: echo: hello',
    ]);
  });

  it('refuses a wrong passphrase with exit 12, and the file is unchanged', async () => {
    await using place = await makePlace();
    await make(place);
    const before = await place.sessionBytes();
    for (const args of [['sessions'], ['export', '1'], ['resume', '1']]) {
      const refused = await place.run(args, { ...(await given(place, 'wrong')), input: 'hello\n' });
      expect(refused).toMatchObject({ code: 12, stdout: '' });
      expect(refused.stderr).toMatch(/wrong passphrase/);
      expect(refused.stderr.trim().split('\n')).toHaveLength(1);
    }
    expect(await place.sessionBytes()).toEqual(before);
  });

  it('asks three times on a terminal, echoes nothing, and gives up with exit 12', async () => {
    await using place = await makePlace();
    await make(place);
    await using asked = place.terminal(['sessions'], typed);
    for (const attempt of [1, 2, 3]) {
      await asked.waitFor(/passphrase: /);
      asked.enter(`guess number ${attempt}`);
      await asked.waitFor(/wrong passphrase/);
    }
    expect(await asked.exit).toEqual({ code: 12, signal: null });
    expect(asked.screen()).not.toContain('guess');
    expect(asked.screen().match(/passphrase: /g)).toHaveLength(3);
  });

  it('opens on a terminal at the second try', async () => {
    await using place = await makePlace();
    await make(place);
    await using asked = place.terminal(['sessions'], typed);
    await asked.waitFor(/passphrase: /);
    asked.enter('wrong');
    await asked.waitFor(/wrong passphrase/);
    await asked.waitFor(/passphrase: /);
    asked.enter('Größe 🦊');
    await asked.waitFor(/saved sessions \(1\):/);
    expect(await asked.exit).toEqual({ code: 0, signal: null });
    expect(asked.screen()).not.toContain('Größe');
  });

  it('is offered on a terminal if there is no keychain, and opens again', async (context) => {
    if (process.platform !== 'linux') context.skip('only Linux can be without a keychain');
    await using place = await makePlace();
    const none = { COFFER_KEYCHAIN: 'auto', COFFER_KEY_FD: undefined };
    await using chat = place.terminal(['--model', 'demo/echo'], { env: none });
    await chat.waitFor(/\[p\]assphrase.*\[m\]emory.*\?/);
    chat.enter('p');
    await chat.waitFor(/new passphrase: /);
    chat.enter('secret words');
    await chat.waitFor(/repeat passphrase: /);
    chat.enter('secret words');
    await chat.waitFor(/» /);
    chat.enter('hello');
    await chat.waitFor(/echo: hello/);
    await chat.waitFor(/» /);
    chat.key('up');
    chat.key('up');
    chat.key('ctrl+u');
    chat.key('ctrl+d');
    expect(await chat.exit).toEqual({ code: 0, signal: null });
    expect(chat.screen()).not.toContain('secret words');
    expect((await place.run(['sessions'], await given(place, 'secret words'))).stdout).toContain('saved sessions (1):');
  });
});

describe('the parameters of a passphrase in vault.json', () => {
  let place: Place;
  let path: string;
  let good: string;

  beforeAll(async () => {
    place = await makePlace();
    await make(place);
    path = join(place.data, 'vault.json');
    good = await readFile(path, 'utf8');
  });

  afterAll(() => place[Symbol.asyncDispose]());

  it.each([
    ['memory of 64 GiB', 'memory', 64 * 1024 * 1024],
    ['memory of 8 KiB', 'memory', 8],
    ['memory that is not a number', 'memory', '65536'],
    ['four million passes', 'passes', 4_000_000],
    ['no pass', 'passes', 0],
    ['a thousand lanes', 'parallelism', 1000],
    ['no lane', 'parallelism', 0],
    ['another algorithm', 'algorithm', 'argon2d'],
    ['an empty salt', 'salt', ''],
    ['a long salt', 'salt', Buffer.alloc(1024).toString('base64')],
    ['an empty wrapped key', 'wrapped', ''],
    ['a long wrapped key', 'wrapped', Buffer.alloc(16 * 1024).toString('base64')],
  ])('are bounded before they are used: %s', async (_, field, value) => {
    const vault = JSON.parse(good);
    vault.slots[0][field] = value;
    const changed = JSON.stringify(vault);
    await writeFile(path, changed);
    const refused = await place.run(['sessions'], await given(place, 'Größe 🦊'));
    expect([12, 13]).toContain(refused.code);
    expect(refused.stderr.trim().split('\n')).toHaveLength(1);
    expect(refused.stderr).not.toMatch(/this is a bug/);
    expect(await readFile(path, 'utf8')).toBe(changed);
  });

  it('open the vault as they were written', async () => {
    await writeFile(path, good);
    expect((await place.run(['sessions'], await given(place, 'Größe 🦊'))).code).toBe(0);
  });
});

/** The passphrase comes only from the user at the terminal. */
const typed: Start = { env: { COFFER_KEYCHAIN: 'passphrase', COFFER_KEY_FD: undefined } };

/** Makes a vault under the passphrase `Größe 🦊`, with one exchange in it. */
async function make(place: Place): Promise<void> {
  const made = await place.run(['--model', 'demo/echo'], { ...(await given(place, 'Größe 🦊')), input: 'hello\n' });
  expect(made).toMatchObject({ code: 0, stdout: 'echo: hello\n' });
}

async function given(place: Place, passphrase: string): Promise<Start> {
  const path = join(place.credentials, 'passphrase');
  await writeFile(path, `${passphrase}\n`, { mode: 0o600 });
  return { env: { COFFER_KEYCHAIN: 'passphrase', COFFER_KEY_FD: undefined, COFFER_PASSPHRASE_FILE: path } };
}
