import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { createServer, type Server } from 'node:net';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { findSandbox } from '../../../src/chat/tools/command/sandbox.ts';
import { requireRoot, requireSandbox, type World, world } from './support.ts';

/** Runs a command in a sandbox and returns its output. */
async function run(at: World, command: string, place: object = {}, input: object = {}): Promise<string> {
  const done = await at.call('run_command', { command, ...input }, { place: { sandbox: 'required', ...place } });
  return done.text.replace(/\[exit status \d+\]\n$/, '');
}

/** Listens until the end of the test. */
async function listen(where: string | number): Promise<Server> {
  const server = createServer((socket) => socket.end('reached\n'));
  server.listen(where as string);
  onTestFinished(() => void server.close());
  await new Promise((resolve) => server.once('listening', resolve));
  return server;
}

/**
 * Returns a command that connects to an address and prints what it receives, or why it receives
 * nothing. It uses the system's Python, because the Node of this run may lie below /tmp, which is
 * private in a sandbox.
 */
function connect({ port, path }: { port?: number; path?: string }): string {
  const [family, address] = path === undefined ? ['INET', `("127.0.0.1", ${port})`] : ['UNIX', JSON.stringify(path)];
  const script = `import errno, socket
to = socket.socket(socket.AF_${family})
try:
    to.connect(${address})
    print(to.recv(100).decode(), end="")
except OSError as error:
    print(errno.errorcode[error.errno])`;
  return `/usr/bin/python3 -c ${quote(script)}`;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Returns a world on a file system that sandboxes share, like a user's home. */
function atHome(): World & { home: string } {
  const home = mkdtempSync(join(realpathSync(homedir()), '.coffer-test-'));
  onTestFinished(() => rmSync(home, { recursive: true, force: true }));
  return { ...world(), home };
}

describe('a command in a sandbox', () => {
  it('writes only to the working directory and a temporary /tmp', async (context) => {
    requireSandbox(context);
    const at = atHome();
    const outside = join(at.home, 'outside');
    const command = `echo text > a; echo text > ${outside}; touch ${at.home}; echo text > /tmp/coffer-test && cat /tmp/coffer-test`;
    const text = await run(at, command);
    expect(readFileSync(join(at.project, 'a'), 'utf8')).toBe('text\n');
    expect(text.match(/Read-only file system|Permission denied/g)).toHaveLength(2);
    expect(text).toMatch(/\ntext\n$/);
    for (const path of [outside, '/tmp/coffer-test']) expect(existsSync(path)).toBe(false);
  });

  it('does not see other files in /tmp if the working directory is there', async (context) => {
    requireSandbox(context);
    const at = world();
    at.put('outside/secret');
    expect(await run(at, `ls ${at.root}`)).toBe('project\n');
  });

  it.for(['home', 'project'] as const)(
    'what is protected is empty, and stays as it is: in the %s',
    async (where, context) => {
      requireSandbox(context);
      const at = atHome();
      const data = join(at[where], 'data');
      mkdirSync(join(data, 'sessions'), { recursive: true });
      copyFileSync(at.put('data/seen', 'secret'), join(data, 'seen'));
      symlinkSync(data, join(at.project, 'link'));
      const place = { protected: [data] };
      expect(await run(at, `ls -A ${data} link/; cat ${data}/seen`, place)).toMatch(
        /^[^\n]*:\n\n[^\n]*:\ncat: .*No such file/,
      );
      expect(await run(at, `rm -rf ${data}; echo new > ${data}/settings.json; mv ${data} gone`, place)).toMatch(
        /(busy|Read-only)/,
      );
      expect(readdirSync(data).sort()).toEqual(['seen', 'sessions']);
      expect(readFileSync(join(data, 'seen'), 'utf8')).toBe('secret');
    },
  );

  it('can’t move a directory above a hidden path to find it next time', async (context) => {
    requireSandbox(context);
    const at = world();
    at.put('project/local/share/data/seen', 'secret');
    const place = { protected: [join(at.project, 'local/share/data')] };
    await run(at, 'mv local gone; mv local/share gone; mv local/share/data gone', place);
    expect(readFileSync(join(at.project, 'local/share/data/seen'), 'utf8')).toBe('secret');
    expect(await run(at, 'touch local/share/b local/a && ls local/share', place)).toBe('b\ndata\n');
  });

  it('can’t create files that coffer has not created yet', async (context) => {
    requireSandbox(context);
    const at = world();
    const place = { protected: [join(at.project, 'conf/coffer'), join(at.outside, 'none')] };
    const plant = 'mkdir -p conf/coffer; echo {} > conf/coffer/settings.json';
    expect(await run(at, `${plant}; mv conf gone; ${plant}`, place)).toMatch(/Read-only file system/);
    expect(readdirSync(join(at.project, 'conf/coffer'))).toEqual([]);
    expect(statSync(join(at.project, 'conf/coffer')).mode & 0o777).toBe(0o700);
    expect(readdirSync(at.outside)).toEqual([]);
  });

  it('does not make a missing passphrase file a directory', async (context) => {
    requireSandbox(context);
    const at = world();
    const file = join(at.project, 'passphrase');
    const env = { ...process.env, COFFER_PASSPHRASE_FILE: file };
    expect(await run(at, 'ls', { protected: [file], env })).toBe('');
    expect(readdirSync(at.project)).toEqual([]);
  });

  it('does not see paths denied for reading, unless that is the whole disk', async (context) => {
    requireSandbox(context);
    const at = atHome();
    at.put('project/keys/id', 'secret');
    mkdirSync(join(at.home, 'keys'));
    copyFileSync(join(at.project, 'keys/id'), join(at.home, 'keys/id'));
    const deny = [join(at.project, 'keys'), join(at.home, 'keys'), '/'].map((path) => `read:${path}`);
    const input = { command: `cat keys/id ${at.home}/keys/id; ls -A keys ${at.home}/keys` };
    const options = { place: { sandbox: 'required' }, permissions: { allow: ['command'], deny } } as const;
    const { text } = await at.call('run_command', input, options);
    expect(text).toMatch(/^(cat: .*No such file or directory\n){2}/);
    expect(text).not.toContain('secret');
    expect(text).not.toMatch(/^id$/m);
  });

  it('can’t read a protected file', async (context) => {
    requireSandbox(context);
    const at = world();
    const word = at.put('project/passphrase', 'secret');
    expect(await run(at, 'cat passphrase; echo; echo new > passphrase', { protected: [word] })).not.toContain('secret');
    expect(readFileSync(word, 'utf8')).toBe('secret');
  });

  it('works if the working directory lies in a hidden directory, except for protected files', async (context) => {
    requireSandbox(context);
    const at = atHome();
    const directory = join(at.home, 'run/project');
    mkdirSync(directory, { recursive: true });
    await listen(join(at.home, 'run/bus'));
    const env = { ...process.env, XDG_RUNTIME_DIR: join(at.home, 'run') };
    expect(await run(at, 'pwd; ls -A ..; touch a', { directory, env })).toBe(`${directory}\nproject\n`);
    expect(readdirSync(directory)).toEqual(['a']);
  });

  it('works if the working directory is /tmp or the whole disk', async (context) => {
    requireSandbox(context);
    const at = world();
    at.put('data/seen', 'secret');
    const name = at.root.slice('/tmp/'.length);
    expect(await run(at, `ls ${name} ${name}/data; touch ${name}/a`, { directory: '/tmp' })).toMatch(
      /data\noutside\nproject\n\n.*data:\n$/,
    );
    expect(existsSync(join(at.root, 'a'))).toBe(true);
    const home = atHome();
    const data = join(home.home, 'data');
    mkdirSync(data);
    copyFileSync(join(at.data, 'seen'), join(data, 'seen'));
    const text = await run(at, `pwd; ls ${data}; touch ${home.home}/a; ls /run /proc/1/cmdline`, {
      directory: '/',
      protected: [data],
    });
    expect(text).toMatch(/^\/\n.*cmdline\n\n\/run:\n$/);
    expect(readdirSync(home.home).sort()).toEqual(['a', 'data']);
  });

  it('sees only its own processes', async (context) => {
    requireSandbox(context);
    const command = `cat /proc/${process.pid}/environ; for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline; echo; done`;
    const text = await run(world(), command);
    expect(text).toMatch(/^cat: .*No such file or directory\n/);
    expect(text.split('\n').filter((line) => /node|vitest/.test(line) && !line.includes('for p in'))).toEqual([]);
  });

  it('has only the standard descriptors', async (context) => {
    requireSandbox(context);
    const command = 'for n in 3 4 5 6 7 8 9; do (: <&$n) 2>/dev/null && echo "$n is open"; done; echo done';
    expect(await run(world(), command)).toBe('done\n');
  });

  it('has no capabilities, not even as root', async (context) => {
    requireSandbox(context);
    expect(await run(world(), 'grep -E "^(Cap(Prm|Eff|Bnd)|NoNewPrivs)" /proc/self/status')).toBe(
      'CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nNoNewPrivs:\t1\n',
    );
    expect(await run(world(), 'umount /run; mount -t tmpfs x /mnt')).toMatch(
      /(not permitted|denied|must be superuser)/,
    );
  });

  it('has no network unless requested', async (context) => {
    requireSandbox(context);
    const server = await listen(0);
    const { port } = server.address() as { port: number };
    const to = connect({ port });
    expect(await run(world(), to)).toBe('ECONNREFUSED\n');
    expect(await run(world(), to, {}, { network: true })).toBe('reached\n');
  });

  it('does not see the sockets of the session, with or without the network', async (context) => {
    requireSandbox(context);
    const at = atHome();
    const [bus, agent, runtime] = [join(at.home, 'bus'), join(at.home, 'agent'), join(at.home, 'run')];
    mkdirSync(runtime);
    for (const path of [bus, agent, join(runtime, 'control')]) await listen(path);
    const env = {
      ...process.env,
      XDG_RUNTIME_DIR: runtime,
      SSH_AUTH_SOCK: agent,
      DBUS_SESSION_BUS_ADDRESS: `unix:path=${bus.replaceAll('-', '%2d')},guid=00`,
    };
    for (const path of [bus, agent, join(runtime, 'control')]) {
      const bare = { env: { PATH: process.env['PATH'] } };
      expect(await run(at, connect({ path }), bare, { network: true })).toBe('reached\n');
      expect(await run(at, connect({ path }), { env }, { network: true })).toMatch(/^(ECONNREFUSED|ENOENT|EACCES)\n$/);
      // Without the network there are no such sockets at any path.
      expect(await run(at, connect({ path }), bare)).toMatch(/PermissionError/);
    }
  });

  it('can’t reach an abstract socket', async (context) => {
    requireSandbox(context);
    const name = `\0coffer-test-${process.pid}`;
    await listen(name);
    expect(await run(world(), connect({ path: name }))).toMatch(/PermissionError/);
  });

  it.for(['/', '/home'])(
    'a person is told when a home lies in %s, the working directory',
    async (directory, context) => {
      requireSandbox(context);
      let told: string | undefined;
      await world().call(
        'run_command',
        { command: 'ls' },
        {
          place: { sandbox: 'required', directory, env: { ...process.env, HOME: '/home/me' } },
          permissions: { allow: [], deny: [] },
          approve: async ({ detail }) => {
            told = detail;
            return 'deny';
          },
        },
      );
      expect(told).toMatch(/that includes your home/);
    },
  );

  it('warns the user if the network includes the session bus', async (context) => {
    requireSandbox(context);
    const details: (string | undefined)[] = [];
    for (const address of [
      'unix:path=/run/user/0/bus',
      'unix:abstract=/tmp/dbus-x,guid=0',
      'tcp:host=localhost,port=1',
    ]) {
      await world().call(
        'run_command',
        { command: 'curl x', network: true },
        {
          place: { sandbox: 'required', env: { ...process.env, DBUS_SESSION_BUS_ADDRESS: address } },
          permissions: { allow: [], deny: [] },
          approve: async ({ detail }) => {
            details.push(detail);
            return 'deny';
          },
        },
      );
    }
    expect(details.map((detail) => /the session bus and with it your keychain/.test(detail ?? ''))).toEqual([
      false,
      true,
      true,
    ]);
  });
});

describe('a sandbox', () => {
  it('uses only a bwrap that belongs to root, is writable by root only, and lies outside the working directory', async (context) => {
    requireSandbox(context);
    requireRoot(context);
    const at = world();
    const real = realpathSync(execFileSync('sh', ['-c', 'command -v bwrap'], { encoding: 'utf8' }).trim());
    const planted = at.put('project/bin/bwrap');
    copyFileSync(real, planted);
    chmodSync(planted, 0o755);
    const PATH = join(at.project, 'bin');
    expect(await findSandbox({ PATH }, at.project)).toBe('bubblewrap is not installed');
    expect(await findSandbox({ PATH }, at.outside)).toEqual({ bwrap: planted });
    expect(await findSandbox({ PATH: `${PATH}:${join(real, '..')}` }, at.project)).toEqual({ bwrap: real });
    expect(await findSandbox({ PATH: 'project/bin' }, at.outside)).toBe('bubblewrap is not installed');
    chmodSync(planted, 0o775);
    expect(await findSandbox({ PATH }, at.outside)).toBe('bubblewrap is not installed');
    chmodSync(planted, 0o755);
    execFileSync('chown', ['nobody', planted]);
    expect(await findSandbox({ PATH }, at.outside)).toBe('bubblewrap is not installed');
  });

  it('reports why it does not work', async (context) => {
    requireRoot(context);
    const at = world();
    const broken = at.put(
      'outside/bwrap',
      '#!/bin/sh\necho "bwrap: No permissions to create new namespace" >&2\nexit 1\n',
    );
    chmodSync(broken, 0o755);
    expect(await findSandbox({ PATH: at.outside }, at.project)).toBe(
      'bubblewrap does not work here: bwrap: No permissions to create new namespace',
    );
  });
});
