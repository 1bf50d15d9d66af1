import { readdir, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ModelServer, startModelServer } from '../support/model-server.ts';
import { FakeTerminal, makeFolder, runHere } from '../terminal/fake-terminal.ts';

const CTRL_C = '\u0003';
const CTRL_D = '\u0004';

let folder: string;
let env: Record<string, string>;

beforeEach(async () => {
  ({ folder, env } = await makeFolder());
});
afterEach(() => rm(folder, { recursive: true }));

async function settings(value: object): Promise<void> {
  await writeFile(join(folder, 'settings.json'), JSON.stringify(value), { mode: 0o600 });
}

describe('a chat on a terminal', () => {
  it('shows a prompt, renders Markdown, and ends with Ctrl+D', async () => {
    const fake = new FakeTerminal({ tty: true });
    const ended = runHere(fake, ['--model', 'demo/echo'], env);
    await fake.waitFor(/demo\/echo, key from the .*\n.*» $/s);
    fake.type('some **bold** words\r');
    await fake.waitFor(/echo: some bold words\n.*» $/s);
    expect(fake.out).toContain('echo: some \u001b[1mbold\u001b[22m words\n');
    fake.type(CTRL_D);
    expect(await ended).toEqual({ code: 0, error: undefined });
    expect(fake.out.endsWith('\u001b[?2004l\n')).toBe(true);
  });

  it('clears the line at the first Ctrl+C', async () => {
    const fake = new FakeTerminal({ tty: true });
    const ended = runHere(fake, ['--model', 'demo/echo'], env);
    await fake.waitFor(/» $/);
    for (let time = 0; time < 2; time++) {
      fake.type('dropped');
      await fake.waitFor(/dropped/);
      fake.type(CTRL_C);
      await fake.waitFor(/press ctrl\+c again to save and quit\n.*» $/s);
    }
    fake.type('sent\r');
    await fake.waitFor(/echo: sent\n/);
    fake.type(CTRL_D);
    expect((await ended).code).toBe(0);
    expect(fake.out).not.toContain('echo: dropped');
  });

  it('sends a paste of several lines as one message, and drops it with Ctrl+C', async () => {
    const fake = new FakeTerminal({ tty: true });
    const ended = runHere(fake, ['--model', 'demo/echo'], env);
    await fake.waitFor(/» $/);
    fake.type('\u001b[200~gone\rgone\u001b[201~');
    await fake.waitFor(/gone.*gone/s);
    fake.type(CTRL_C);
    await fake.waitFor(/again.*» $/s);
    fake.type('\u001b[200~/save\rtwo\u001b[201~\r');
    await fake.waitFor(/echo: \/save\ntwo\n.*» $/s);
    fake.type('/exit\r');
    expect((await ended).code).toBe(0);
    expect(fake.out).not.toContain('echo: gone');
  });

  it('keeps what is typed while a reply streams for the prompt after it', async () => {
    await using server = await startModelServer();
    const { fake, ended } = await chatWith(server, 'steady');
    fake.type('go\r');
    await fake.waitFor(/part 1/);
    fake.type('/model\rhalf a li');
    server.release();
    await fake.waitFor(/part 2/);
    expect(fake.out).not.toContain('half');
    server.finish();
    await fake.waitFor(/» \/model\nmodel: held\/steady.*» half a li$/s);
    fake.type('\u0015');
    fake.type(CTRL_D);
    expect((await ended).code).toBe(0);
  });

  it('cancels a reply with Ctrl+C, keeps what arrived, and continues', async () => {
    await using server = await startModelServer();
    const { fake, ended } = await chatWith(server, 'steady');
    fake.type('go\r');
    await fake.waitFor(/part 1/);
    fake.type(CTRL_C);
    await fake.waitFor(/cancelled; partial reply kept\n.*» $/s);
    fake.type('/model demo/echo\r');
    await fake.waitFor(/model: demo\/echo.*» $/s);
    fake.type('/resume _autosave\r');
    await fake.waitFor(/already in session _autosave/);
    fake.type(CTRL_D);
    expect((await ended).code).toBe(0);
    const exported = new FakeTerminal();
    await runHere(exported, ['export', '1'], env);
    expect(exported.out).toMatch(/## assistant \(held\/steady\), cut short\n\npart 1/);
  });

  it('says that a model thinks, and what went wrong with a reply', async () => {
    await using server = await startModelServer();
    const { fake, ended } = await chatWith(server, 'half');
    fake.type('go\r');
    await fake.waitFor(/part 1 part 2\n.*broke off.*» $/s);
    fake.type('/model mine/thinking\r');
    await fake.waitFor(/» $/);
    fake.type('now\r');
    await fake.waitFor(/thinking\n.*you said: now/s);
    fake.type(CTRL_D);
    expect((await ended).code).toBe(0);
  });

  it('says since when nothing is saved, in the prompt as well, until it is saved again', async () => {
    const fake = new FakeTerminal({ tty: true });
    const ended = runHere(fake, ['--model', 'demo/echo'], env);
    await fake.waitFor(/» $/);
    fake.type('one\r');
    await fake.waitFor(/echo: one\n.*» $/s);
    await rename(join(folder, 'vault/sessions'), join(folder, 'away'));
    fake.type('two\r');
    await fake.waitFor(/echo: two\nNOT SAVED since \d\d:\d\d: .+\n.*NOT SAVED since \d\d:\d\d: .+ » $/s);
    fake.type('/reset\r');
    await fake.waitFor(/not been saved since \d\d:\d\d; discard unsaved steps\? \[y\/N\] $/);
    fake.type('n\r');
    const [stays] = await fake.waitFor(/staying in this conversation, which is not saved: .+\n.*» $/s);
    expect(stays).toMatch(/which is not saved: [^:;\n]+\n/);
    await rename(join(folder, 'away'), join(folder, 'vault/sessions'));
    fake.type('three\r');
    await fake.waitFor(/echo: three\nsaved again\n.*» $/s);
    fake.type(CTRL_D);
    expect((await ended).code).toBe(0);
  });

  it('exits with 15 and says what is lost if the last save fails', async () => {
    const fake = new FakeTerminal({ tty: true });
    const ended = runHere(fake, ['--model', 'demo/echo'], env);
    await fake.waitFor(/» $/);
    fake.type('one\r');
    await fake.waitFor(/echo: one\n.*» $/s);
    await rename(join(folder, 'vault/sessions'), join(folder, 'away'));
    fake.type('two\r');
    await fake.waitFor(/NOT SAVED.*» $/s);
    fake.type(CTRL_D);
    expect(await ended).toMatchObject({ code: 15, error: { code: 'NOT_SAVED' } });
    expect(fake.err).toMatch(/coffer: not saved, lost: 2 messages since \d\d:\d\d: /);
  });

  it('offers a model server that answers on this machine', async () => {
    const server = createServer((_, response) => response.end('{"data": [{"id": "qwen3"}]}'));
    const listening = await new Promise((resolve) => {
      server.once('error', () => resolve(false)); // a real one has the port, and is offered instead
      server.listen(11434, '127.0.0.1', () => resolve(true));
    });
    for (const [answer, model] of [['\r', 'ollama/qwen3'], ['n\r', 'demo/eliza'] as const]) {
      const fake = new FakeTerminal({ tty: true });
      const ended = runHere(fake, [], env);
      await fake.waitFor(/found ollama\/\S+ at 127\.0\.0\.1:11434; use it\? \[Y\/n\] $/);
      fake.type(answer ?? '');
      if (listening) await fake.waitFor(new RegExp(`${model}, key from`));
      fake.type(CTRL_D);
      expect((await ended).code).toBe(0);
    }
    await settings({ detectLocal: false });
    const fake = new FakeTerminal({ tty: true });
    const ended = runHere(fake, [], env);
    await fake.waitFor(/demo\/eliza, key from.*» $/s);
    fake.type(CTRL_D);
    expect((await ended).code).toBe(0);
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
});

describe('a vault under a passphrase, on a terminal', () => {
  beforeEach(() => {
    env['COFFER_KEYCHAIN'] = 'passphrase';
  });

  it('asks for a new one twice without showing it, then once, at most three times', async () => {
    const first = new FakeTerminal({ tty: true });
    const chat = runHere(first, ['--model', 'demo/echo'], env);
    await first.waitFor(/new passphrase: $/);
    first.type('\r');
    await first.waitFor(/at least one character\n.*new passphrase: $/s);
    first.type('correct horse\r');
    await first.waitFor(/repeat passphrase: $/);
    first.type('correct hose\r');
    await first.waitFor(/they don't match, try again\n.*new passphrase: $/s);
    first.type('correct horse\r');
    await first.waitFor(/repeat passphrase: $/);
    first.type('correct horse\r');
    await first.waitFor(/key protected by a passphrase.*» $/s);
    first.type('\u001b[A\u001b[Ahello\r');
    await first.waitFor(/echo: hello\n.*» $/s);
    first.type(CTRL_D);
    expect((await chat).code).toBe(0);
    expect(first.shown).not.toMatch(/correct|horse/);

    const wrong = new FakeTerminal({ tty: true });
    const refused = runHere(wrong, ['sessions'], env);
    await wrong.waitFor(/passphrase: $/);
    wrong.type('battery\r');
    await wrong.waitFor(/wrong passphrase\n.*passphrase: $/s);
    wrong.type('battery\r');
    await wrong.waitFor(/wrong passphrase\n.*passphrase: $/s);
    wrong.type('battery\r');
    expect((await refused).code).toBe(12);
    expect(wrong.err).toMatch(/coffer: wrong passphrase/);

    const right = new FakeTerminal({ tty: true });
    const listed = runHere(right, ['sessions'], env);
    await right.waitFor(/passphrase: $/);
    right.type('correct horse\r');
    expect((await listed).code).toBe(0);
    expect(right.out).toContain('1) _autosave');
  });
});

describe('a chat whose key is nowhere', () => {
  it.runIf(process.platform === 'linux')('asks once what to do if there is no keychain', async () => {
    const { COFFER_DATA_DIR = '', COFFER_CONFIG_DIR = '' } = env;
    const bare = { COFFER_DATA_DIR, COFFER_CONFIG_DIR, XDG_RUNTIME_DIR: folder };
    const fake = new FakeTerminal({ tty: true });
    const ended = runHere(fake, ['--model', 'demo/echo'], bare);
    await fake.waitFor(/no keychain found on this machine.*\[p\]assphrase, or keep this chat in \[m\]emory only\? $/s);
    fake.type('?\r');
    await fake.waitFor(/\[m\]emory only\? $/);
    fake.type('m\r');
    await fake.waitFor(/kept in memory only: .*» $/s);
    fake.type('hello\r');
    await fake.waitFor(/echo: hello\n.*» $/s);
    fake.type(CTRL_D);
    expect((await ended).code).toBe(0);
    expect(fake.shown).not.toContain('NOT SAVED');
    expect(await readdir(folder)).not.toContain('vault');

    const other = new FakeTerminal({ tty: true });
    const protectedChat = runHere(other, ['--model', 'demo/echo'], bare);
    await other.waitFor(/\[m\]emory only\? $/);
    other.type('p\r');
    await other.waitFor(/new passphrase: $/);
    other.type('secret\r');
    await other.waitFor(/repeat passphrase: $/);
    other.type('secret\r');
    await other.waitFor(/key protected by a passphrase/);
    other.type(CTRL_D);
    expect((await protectedChat).code).toBe(0);
  });

  it('is kept in memory if asked for, and writes nothing', async () => {
    const fake = new FakeTerminal();
    fake.stdin.end('hello\n/save x\n/reset\n/sessions\n');
    const ended = await runHere(fake, ['--model', 'demo/echo'], { ...env, COFFER_KEYCHAIN: 'memory' });
    expect(ended.code).toBe(0);
    expect(fake.out).toBe('echo: hello\nnew conversation\nno saved sessions yet\n');
    expect(fake.err).toMatch(/^demo\/echo, kept in memory only: COFFER_KEYCHAIN=memory\n.+COFFER_KEYCHAIN=memory.*\n$/);
    expect(await readdir(folder)).not.toContain('vault');
  });

  it('is not taken for one in memory where a key was meant to be there', async () => {
    await writeFile(join(folder, 'coffer-key'), 'nonsense');
    const fake = new FakeTerminal();
    fake.stdin.end('hello\n');
    expect((await runHere(fake, ['--model', 'demo/echo'], env)).code).toBe(15);
    expect(fake.err).toMatch(/NOT SAVED since .*\ncoffer: not saved, lost: 2 messages/);
    expect(await readdir(folder)).not.toContain('vault');
  });

  it('says so, saves nothing and ends with 15 where there is a vault', async () => {
    const before = new FakeTerminal();
    before.stdin.end('hello\n');
    await runHere(before, ['--model', 'demo/echo'], env);
    const fake = new FakeTerminal();
    fake.stdin.end('again\n');
    const elsewhere = { ...env, CREDENTIALS_DIRECTORY: join(folder, 'nowhere') };
    expect((await runHere(fake, ['--model', 'demo/echo'], elsewhere)).code).toBe(15);
    expect(fake.out).toBe('echo: again\n');
    const [start, status, last] = fake.err.split('\n');
    expect(start).toMatch(/^demo\/echo, kept in memory only: /);
    const reason = `the credential ${join(folder, 'nowhere', 'coffer-key')} cannot be read: ENOENT`;
    expect(status?.replace(/\d\d:\d\d/, 'now')).toBe(`NOT SAVED since now: ${reason}`);
    expect(last?.replace(/\d\d:\d\d/, 'now')).toBe(`coffer: not saved, lost: 2 messages since now: ${reason}`);
    for (const args of [['sessions'], ['resume', '1'], ['export', '1'], ['doctor']]) {
      expect((await runHere(new FakeTerminal(), args, elsewhere)).code).toBe(12);
    }
  });
});

describe('a chat without a terminal', () => {
  it('exits quietly when its output is closed, and saves the conversation', async () => {
    const fake = new FakeTerminal();
    const ended = runHere(fake, ['--model', 'demo/echo'], env);
    fake.type('one\n');
    await fake.waitFor(/echo: one/);
    fake.stdout.emit('error', Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
    expect((await ended).code).toBe(0);
    const listed = new FakeTerminal();
    await runHere(listed, ['sessions', '--json'], env);
    expect(JSON.parse(listed.out)).toMatchObject([{ messages: 2 }]);
  });

  it('exits with 1 if the last reply failed, after saving the conversation', async () => {
    await settings({ providers: { gone: { baseURL: 'http://127.0.0.1:9/v1' } } });
    const fake = new FakeTerminal();
    fake.stdin.end('one\n');
    expect(await runHere(fake, ['--model', 'gone/model'], env)).toMatchObject({ code: 1 });
    expect(fake.err).toMatch(/\n.*127\.0\.0\.1:9.*\n$/);
    const exported = new FakeTerminal();
    await runHere(exported, ['export', '1'], env);
    expect(exported.out).toMatch(/## user\n\none\n\n> error: /);
  });

  it('keeps up with more lines than it holds', async () => {
    const fake = new FakeTerminal();
    const words = Array.from({ length: 250 }, (_, at) => `w${at}`);
    fake.stdin.end(words.map((word) => `/${word}\n`).join(''));
    expect((await runHere(fake, ['--model', 'demo/echo'], env)).code).toBe(0);
    expect(fake.err.match(/unknown command \/w\d+/g)).toHaveLength(250);
  });

  it('saves nothing automatically if autoSave is off', async () => {
    await settings({ autoSave: false });
    const fake = new FakeTerminal();
    fake.stdin.end('one\n/save kept\ntwo\n');
    expect((await runHere(fake, ['--model', 'demo/echo'], env)).code).toBe(0);
    const listed = new FakeTerminal();
    await runHere(listed, ['sessions', '--json'], env);
    expect(JSON.parse(listed.out)).toMatchObject([{ name: 'kept', kind: 'snapshot', messages: 2 }]);
  });

  it('continues without a model if that of a resumed session is unknown', async () => {
    await using server = await startModelServer();
    await settings({ providers: { mine: { baseURL: server.openai } } });
    const before = new FakeTerminal();
    before.stdin.end('hello\n');
    await runHere(before, ['--model', 'mine/one'], env);
    await settings({});
    const fake = new FakeTerminal();
    fake.stdin.end('lost\n/model demo/echo\nfound\n');
    expect((await runHere(fake, ['resume', 'last'], env)).code).toBe(0);
    expect(fake.out).toBe('resumed session _autosave (2 messages, mine/one)\nmodel: demo/echo\necho: found\n');
    expect(fake.err).toMatch(
      /unknown provider mine .*; choose another with \/model <name>\nno model, key from .*\nno model selected/,
    );
  });
});

async function chatWith(
  server: ModelServer,
  model: string,
): Promise<{ fake: FakeTerminal; ended: ReturnType<typeof runHere> }> {
  await settings({ providers: { held: { baseURL: server.held }, mine: { baseURL: server.openai } } });
  const fake = new FakeTerminal({ tty: true });
  const ended = runHere(fake, ['--model', `held/${model}`], env);
  await fake.waitFor(/» $/);
  return { fake, ended };
}
