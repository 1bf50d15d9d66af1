import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, type TestContext } from 'vitest';
import { requireUnix } from '../../support/keychain.ts';
import { requireSandbox, running, until, type World, world } from './support.ts';

/** Returns a number of seconds that no other process sleeps, by which the process is found. */
function someSeconds(): string {
  return `${1000 + Math.floor(Math.random() * 1e6)}.${Math.floor(Math.random() * 1e6)}`;
}

function asleep(seconds: string): RegExp {
  return new RegExp(`sleep ${seconds.replaceAll('.', '\\.')}`);
}

/** The ways to run a command. Each test must pass with both. */
const ways: readonly { way: string; sandbox: 'off' | 'required'; needs(context: TestContext): void }[] = [
  { way: 'without a sandbox', sandbox: 'off', needs: requireUnix },
  { way: 'in a sandbox', sandbox: 'required', needs: requireSandbox },
];

describe.for(ways)('run_command $way', ({ sandbox, needs }) => {
  function run(at: World, command: string, input: object = {}, options: object = {}): ReturnType<World['call']> {
    return at.call('run_command', { command, ...input }, { place: { sandbox, ...options } });
  }

  it('returns the output, in order, and the exit status', async (context) => {
    needs(context);
    const at = world();
    expect(await run(at, 'pwd; echo two >&2; printf three; exit 0')).toMatchObject({
      outcome: 'completed',
      type: 'text',
      text: `${at.project}\ntwo\nthree\n[exit status 0]\n`,
    });
    expect(await run(at, 'echo no >&2; exit 3')).toMatchObject({
      outcome: 'failed',
      type: 'error-text',
      text: 'no\n[exit status 3]\n',
    });
    expect((await run(at, 'true')).text).toBe('[exit status 0]\n');
    expect((await run(at, 'kill -KILL $$')).text).toMatch(/^\[(killed by SIGKILL|exit status 137)\]\n$/);
    expect((await run(at, 'no-such-program')).text).toMatch(/not found\n\[exit status 127\]\n$/);
  });

  it('returns binary output as text', async (context) => {
    needs(context);
    const done = await run(world(), "printf 'a\\377\\000\\342\\202'");
    expect(done.text).toBe('a\ufffd\0\ufffd\n[exit status 0]\n');
  });

  it('passes the command to the shell unchanged', async (context) => {
    needs(context);
    const command = 'echo "$#" \'a  b\' "$(echo c)"\necho "$0"';
    expect((await run(world(), command)).text).toBe('0 a  b c\n/bin/sh\n[exit status 0]\n');
  });

  it('gives a command that reads input an immediate end of file', async (context) => {
    needs(context);
    const asked = 'read -r answer; echo "<$answer> $?"; cat; tty; (: </dev/tty) 2>/dev/null || echo no terminal';
    expect((await run(world(), asked)).text).toBe('<> 1\nnot a tty\nno terminal\n[exit status 0]\n');
  });

  it('kills a command that never ends, and its children', async (context) => {
    needs(context);
    const seconds = someSeconds();
    const done = await run(world(), `echo begun; sleep ${seconds} & sleep ${seconds}`, { timeout: 0.2 });
    expect(done).toMatchObject({
      outcome: 'failed',
      text: 'begun\n[killed after 0.2 s, its time limit]\n',
    });
    await until(() => running(asleep(seconds)).length === 0);
  });

  it('limits the timeout of a call to that of the settings', async (context) => {
    needs(context);
    const done = await run(world(), 'sleep 1000', { timeout: 1000 }, { commandTimeout: 100 });
    expect(done.text).toBe('[killed after 0.1 s, its time limit]\n');
  });

  it('kills a command that ignores SIGTERM, and its children', async (context) => {
    needs(context);
    const seconds = someSeconds();
    const stubborn = `trap '' TERM HUP INT; sleep ${seconds} & while :; do sleep ${seconds}; done`;
    expect((await run(world(), stubborn, { timeout: 0.2 })).outcome).toBe('failed');
    await until(() => running(asleep(seconds)).length === 0);
  });

  it('kills a command that exceeds the output limit, and keeps the output up to it', async (context) => {
    needs(context);
    const done = await run(world(), 'yes', {}, { maxToolOutput: 100_000 });
    expect(done).toMatchObject({ outcome: 'failed' });
    expect(done.text).toBe(`${'y\n'.repeat(50_000)}[killed after 100000 bytes of output, the limit]\n`);
  });

  it('counts output printed just before the command ended', async (context) => {
    needs(context);
    const done = await run(world(), 'printf 123456', {}, { maxToolOutput: 5 });
    expect(done.text).toBe('12345\n[killed after 5 bytes of output, the limit]\n');
    expect((await run(world(), 'printf 12345', {}, { maxToolOutput: 5 })).text).toBe('12345\n[exit status 0]\n');
  });

  it('leaves no background process running', async (context) => {
    needs(context);
    const seconds = someSeconds();
    const command = `sleep ${seconds} & (trap '' TERM; sleep ${seconds}) >/dev/null 2>&1 & echo done`;
    expect((await run(world(), command)).text).toBe('done\n[exit status 0]\n');
    await until(() => running(asleep(seconds)).length === 0);
  });

  it('stops on the signal, and returns the output so far', async (context) => {
    needs(context);
    const at = world();
    const seconds = someSeconds();
    const stop = new AbortController();
    const call = at.call(
      'run_command',
      { command: `echo begun; touch begun; sleep ${seconds}` },
      { place: { sandbox }, signal: stop.signal },
    );
    await until(() => existsSync(join(at.project, 'begun')));
    stop.abort();
    expect(await call).toMatchObject({ outcome: 'cancelled', text: 'begun\n[cancelled by the user]\n' });
    await until(() => running(asleep(seconds)).length === 0);
  });

  it('leaves nothing running if the signal arrives while it starts', async (context) => {
    needs(context);
    const at = world();
    const seconds = someSeconds();
    const done: boolean[] = [];
    const started = (round: number): boolean => existsSync(join(at.project, `${round}`));
    for (let round = 0; round < 30; round++) {
      const stop = new AbortController();
      const command = `touch ${round}; sleep ${seconds}`;
      const call = at.call('run_command', { command }, { place: { sandbox }, signal: stop.signal });
      const timer = setTimeout(() => stop.abort(), round);
      expect((await call).outcome).toBe('cancelled');
      clearTimeout(timer);
      done.push(started(round));
    }
    await until(() => running(asleep(seconds)).length === 0);
    expect(done.map((_, round) => started(round))).toEqual(done);
  });

  it('runs a command in an environment without credentials', async (context) => {
    needs(context);
    const env = {
      PATH: process.env['PATH'],
      HOME: '/root',
      LANG: 'C.UTF-8',
      LC_ALL: 'C',
      TZ: 'UTC',
      TERM: 'xterm',
      USER: 'me',
      ANTHROPIC_API_KEY: 'secret',
      MY_TOKEN: 'secret',
      DBUS_SESSION_BUS_ADDRESS: 'unix:path=/secret',
      XDG_RUNTIME_DIR: '/run/secret',
      COFFER_KEY_FD: '3',
      COFFER_PASSPHRASE_FILE: '/secret',
      CREDENTIALS_DIRECTORY: '/secret',
      NODE_OPTIONS: '--require=/secret',
      LD_PRELOAD: '/secret',
      SSH_AUTH_SOCK: '/secret',
    };
    const { text } = await run(world(), 'env', {}, { env });
    // Node passes NODE_V8_COVERAGE on automatically when coverage is measured.
    const usual = ['PWD', 'OLDPWD', 'SHLVL', '_', 'TMPDIR', '__CF_USER_TEXT_ENCODING', 'NODE_V8_COVERAGE'];
    const names = text.match(/^\w+(?==)/gm)?.filter((name) => !usual.includes(name));
    expect(names?.sort()).toEqual(['HOME', 'LANG', 'LC_ALL', 'PATH', 'TERM', 'TZ', 'USER']);
    expect(text).toContain('TERM=dumb\n');
    expect(text).not.toContain('secret');
  });

  it('refuses a working directory that belongs to coffer or does not exist', async (context) => {
    needs(context);
    const at = world();
    expect(await run(at, 'pwd', {}, { directory: at.data })).toMatchObject({
      outcome: 'failed',
      text: expect.stringMatching(/the working directory is closed to tools/),
    });
    rmSync(at.project, { recursive: true });
    expect(await run(at, 'pwd')).toMatchObject({ outcome: 'failed', text: expect.stringMatching(/ENOENT/) });
  });

  it('asks for the whole command, and for the network separately', async (context) => {
    needs(context);
    const asked: unknown[] = [];
    const ask = async (input: object): Promise<void> => {
      await world().call('run_command', input, {
        place: { sandbox },
        permissions: { allow: [], deny: [] },
        approve: async ({ rule, about, sandboxed, detail }) => {
          asked.push([rule, about, sandboxed, detail?.split('\n\n')[1]]);
          return 'deny';
        },
      });
    };
    await ask({ command: 'echo 1\necho 2' });
    await ask({ command: 'curl x', network: true });
    expect(asked).toEqual([
      ['command:echo 1\necho 2', 'run echo 1 … (2 lines)', sandbox === 'required', 'echo 1\necho 2'],
      ['network:curl x', 'run curl x (with network)', sandbox === 'required', 'curl x'],
    ]);
  });
});

describe('run_command', () => {
  it('sends SIGTERM to processes left behind before SIGKILL', async (context) => {
    if (process.platform !== 'linux') context.skip('elsewhere it is not known who is left');
    const at = world();
    const polite = `(trap 'echo ended > ended; exit' TERM; touch ready; while :; do sleep 0.01; done) >/dev/null 2>&1 &`;
    const done = await at.call('run_command', { command: `${polite} until [ -e ready ]; do sleep 0.01; done` });
    expect(done.text).toBe('[exit status 0]\n');
    expect(readFileSync(join(at.project, 'ended'), 'utf8')).toBe('ended\n');
  });

  it('explains before the command, which may be long, that there is no sandbox, why, and the consequences', async () => {
    let detail: string | undefined;
    await world().call(
      'run_command',
      { command: 'ls' },
      {
        place: { sandbox: 'auto', env: { PATH: '/nowhere' } },
        permissions: { allow: [], deny: [] },
        approve: async (request) => {
          detail = request.detail;
          return 'deny';
        },
      },
    );
    expect(detail).toMatch(
      /^runs without a sandbox \(bubblewrap (is not installed|runs on Linux only)\): .* including using the network.*\n\nls$/,
    );
  });

  it('is not allowed without a sandbox by rules that allow it with one', async () => {
    const at = world();
    const place = { sandbox: 'auto', env: { PATH: '/nowhere' } } as const;
    const input = { command: ': > here' };
    const allowed = { place, permissions: { allow: ['command', 'command:: > here'], deny: [] } };
    expect(await at.call('run_command', input, allowed)).toMatchObject({ outcome: 'denied' });
    const { recorder } = await at.call('read_file', { path: 'none' });
    const given = { rule: 'command', decision: 'allow', directory: at.project } as const;
    await recorder.record({ type: 'permission', ...given });
    const nothing = { place, permissions: { allow: [], deny: [] }, recorder };
    expect(await at.call('run_command', input, nothing)).toMatchObject({ outcome: 'denied' });
    expect(existsSync(join(at.project, 'here'))).toBe(false);
  });

  it('runs nothing if a required sandbox is missing', async () => {
    const at = world();
    const place = { sandbox: 'required', env: { PATH: '/nowhere' } } as const;
    const done = await at.call('run_command', { command: 'touch here' }, { place });
    expect(done).toMatchObject({
      outcome: 'failed',
      text: expect.stringMatching(/^commands must run in a sandbox/),
    });
    expect(() => readFileSync(join(at.project, 'here'))).toThrow('ENOENT');
  });

  it('reports a program that can’t be started', async (context) => {
    requireUnix(context);
    const done = await world().call('run_command', { command: `: ${'x'.repeat(3_000_000)}` });
    expect(done).toMatchObject({ outcome: 'failed', text: expect.stringMatching(/E2BIG/) });
  });

  it.each([
    { command: '' },
    { command: '  ' },
    { command: 'a\0b' },
    { command: 'ls', timeout: 0 },
    { cmd: 'ls' },
    'ls',
    null,
  ])('refuses the input %j', async (input) => {
    const done = await world().call('run_command', input);
    expect(done).toMatchObject({ outcome: 'failed', text: expect.stringMatching(/^invalid input for run_command/) });
  });
});
