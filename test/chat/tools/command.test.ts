import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, type TestContext } from 'vitest';
import { requireUnix } from '../../support/keychain.ts';
import { requireSandbox, running, until, type World, world } from './support.ts';

/** A number of seconds that nobody else sleeps: its process is found by it. */
function someSeconds(): string {
  return `${1000 + Math.floor(Math.random() * 1e6)}.${Math.floor(Math.random() * 1e6)}`;
}

function asleep(seconds: string): RegExp {
  return new RegExp(`sleep ${seconds.replaceAll('.', '\\.')}`);
}

/** How a command is run: each of these must hold either way. */
const ways: readonly { way: string; sandbox: 'off' | 'required'; needs(context: TestContext): void }[] = [
  { way: 'without a sandbox', sandbox: 'off', needs: requireUnix },
  { way: 'in a sandbox', sandbox: 'required', needs: requireSandbox },
];

describe.for(ways)('run_command $way', ({ sandbox, needs }) => {
  function run(at: World, command: string, input: object = {}, options: object = {}): ReturnType<World['call']> {
    return at.call('run_command', { command, ...input }, { place: { sandbox, ...options } });
  }

  it('gives what is printed, in order, and how it ended', async (context) => {
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

  it('gives what is no text as text all the same', async (context) => {
    needs(context);
    const done = await run(world(), "printf 'a\\377\\000\\342\\202'");
    expect(done.text).toBe('a\ufffd\0\ufffd\n[exit status 0]\n');
  });

  it('takes the command line as it is', async (context) => {
    needs(context);
    const command = 'echo "$#" \'a  b\' "$(echo c)"\necho "$0"';
    expect((await run(world(), command)).text).toBe('0 a  b c\n/bin/sh\n[exit status 0]\n');
  });

  it('gives a command that asks for input the end of it', async (context) => {
    needs(context);
    const asked = 'read -r answer; echo "<$answer> $?"; cat; tty; (: </dev/tty) 2>/dev/null || echo no terminal';
    expect((await run(world(), asked)).text).toBe('<> 1\nnot a tty\nno terminal\n[exit status 0]\n');
  });

  it('ends a command that never ends, and what it started', async (context) => {
    needs(context);
    const seconds = someSeconds();
    const done = await run(world(), `echo begun; sleep ${seconds} & sleep ${seconds}`, { timeout: 0.2 });
    expect(done).toMatchObject({
      outcome: 'failed',
      text: 'begun\n[killed after 0.2 s, its time limit]\n',
    });
    await until(() => running(asleep(seconds)).length === 0);
  });

  it('lets no call have more time than the setting says', async (context) => {
    needs(context);
    const done = await run(world(), 'sleep 1000', { timeout: 1000 }, { commandTimeout: 100 });
    expect(done.text).toBe('[killed after 0.1 s, its time limit]\n');
  });

  it('ends a command that ignores being asked to, and what it started', async (context) => {
    needs(context);
    const seconds = someSeconds();
    const stubborn = `trap '' TERM HUP INT; sleep ${seconds} & while :; do sleep ${seconds}; done`;
    expect((await run(world(), stubborn, { timeout: 0.2 })).outcome).toBe('failed');
    await until(() => running(asleep(seconds)).length === 0);
  });

  it('ends a command that floods its output, and keeps what may be kept', async (context) => {
    needs(context);
    const done = await run(world(), 'yes', {}, { maxToolOutput: 100_000 });
    expect(done).toMatchObject({ outcome: 'failed' });
    expect(done.text).toBe(`${'y\n'.repeat(50_000)}[killed after 100000 bytes of output, the limit]\n`);
  });

  it('counts what a command printed at once just before it ended', async (context) => {
    needs(context);
    const done = await run(world(), 'printf 123456', {}, { maxToolOutput: 5 });
    expect(done.text).toBe('12345\n[killed after 5 bytes of output, the limit]\n');
    expect((await run(world(), 'printf 12345', {}, { maxToolOutput: 5 })).text).toBe('12345\n[exit status 0]\n');
  });

  it('leaves nothing running that was put in the background', async (context) => {
    needs(context);
    const seconds = someSeconds();
    const command = `sleep ${seconds} & (trap '' TERM; sleep ${seconds}) >/dev/null 2>&1 & echo done`;
    expect((await run(world(), command)).text).toBe('done\n[exit status 0]\n');
    await until(() => running(asleep(seconds)).length === 0);
  });

  it('ends with the signal, and gives what came until then', async (context) => {
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

  it('leaves nothing running where the signal comes while it starts', async (context) => {
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

  it('gives a command an environment that opens nothing', async (context) => {
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
    // Node hands NODE_V8_COVERAGE on by itself where it measures coverage.
    const usual = ['PWD', 'OLDPWD', 'SHLVL', '_', 'TMPDIR', '__CF_USER_TEXT_ENCODING', 'NODE_V8_COVERAGE'];
    const names = text.match(/^\w+(?==)/gm)?.filter((name) => !usual.includes(name));
    expect(names?.sort()).toEqual(['HOME', 'LANG', 'LC_ALL', 'PATH', 'TERM', 'TZ', 'USER']);
    expect(text).toContain('TERM=dumb\n');
    expect(text).not.toContain('secret');
  });

  it('refuses to work in what is coffer’s, and where there is no directory', async (context) => {
    needs(context);
    const at = world();
    expect(await run(at, 'pwd', {}, { directory: at.data })).toMatchObject({
      outcome: 'failed',
      text: expect.stringMatching(/the working directory is closed to tools/),
    });
    rmSync(at.project, { recursive: true });
    expect(await run(at, 'pwd')).toMatchObject({ outcome: 'failed', text: expect.stringMatching(/ENOENT/) });
  });

  it('asks for the whole command line, and for the network by itself', async (context) => {
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
  it('asks what is left behind to end, before it makes it', async (context) => {
    if (process.platform !== 'linux') context.skip('elsewhere it is not known who is left');
    const at = world();
    const polite = `(trap 'echo ended > ended; exit' TERM; touch ready; while :; do sleep 0.01; done) >/dev/null 2>&1 &`;
    const done = await at.call('run_command', { command: `${polite} until [ -e ready ]; do sleep 0.01; done` });
    expect(done.text).toBe('[exit status 0]\n');
    expect(readFileSync(join(at.project, 'ended'), 'utf8')).toBe('ended\n');
  });

  it('says before the command, which may be long, that there is no sandbox, why, and what it can do then', async () => {
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

  it('is not allowed without a sandbox by what the settings or a session allow with one', async () => {
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

  it('runs nothing without a sandbox where one is required', async () => {
    const at = world();
    const place = { sandbox: 'required', env: { PATH: '/nowhere' } } as const;
    const done = await at.call('run_command', { command: 'touch here' }, { place });
    expect(done).toMatchObject({
      outcome: 'failed',
      text: expect.stringMatching(/^commands must run in a sandbox/),
    });
    expect(() => readFileSync(join(at.project, 'here'))).toThrow('ENOENT');
  });

  it('says when it can’t be started', async (context) => {
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
    expect(done).toMatchObject({ outcome: 'failed', text: expect.stringMatching(/^the input of run_command is not/) });
  });
});
