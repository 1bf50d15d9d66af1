import { execFileSync, spawn } from 'node:child_process';
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { ownCode, protectedPaths } from '../../../src/live/host/protected.ts';
import { requireUnix } from '../../support/keychain.ts';
import { requireRoot, type World, world } from './support.ts';

beforeEach(requireUnix);

/** Every tool that takes a path, with an input for it. */
const tools: readonly [name: string, input: (path: string) => object][] = [
  ['read_file', (path) => ({ path })],
  ['search_files', (path) => ({ path, text: 'secret' })],
  ['list_files', (path) => ({ path })],
  ['write_file', (path) => ({ path, content: 'changed' })],
  ['edit_file', (path) => ({ path, old_text: 'secret', new_text: 'changed' })],
];
const onFiles = tools.filter(([name]) => name !== 'list_files');

/** Returns the rule that a call asks the user for; undefined if it does not ask. */
async function ruleOf(at: World, name: string, input: object): Promise<string | undefined> {
  let rule: string | undefined;
  await at.call(name, input, {
    permissions: { allow: [], deny: [] },
    approve: async (request) => {
      rule = request.rule;
      return 'deny';
    },
  });
  return rule;
}

describe('a path inside the working directory', () => {
  it.each([
    ['read_file', { path: 'sub/a' }, 'read'],
    ['read_file', { path: 'sub/../sub/a' }, 'read'],
    ['read_file', { path: 'link' }, 'read'],
    ['list_files', {}, 'read'],
    ['search_files', { text: 'x' }, 'read'],
    ['write_file', { path: 'sub/new/b', content: '' }, 'write'],
    ['edit_file', { path: 'sub/a', old_text: 'x', new_text: 'y' }, 'write'],
  ])('needs, in %s %j, only the rule %s', async (name, input, rule) => {
    const at = world();
    at.put('project/sub/a', 'x');
    symlinkSync('sub/a', join(at.project, 'link'));
    expect(await ruleOf(at, name, input)).toBe(rule);
  });

  it('is inside even if the working directory was named by a link', async () => {
    const at = world();
    at.put('project/a', 'text');
    symlinkSync(at.project, join(at.root, 'link'));
    const done = await at.call(
      'read_file',
      { path: 'a' },
      {
        place: { directory: join(at.root, 'link') },
        permissions: { allow: ['read'], deny: [] },
      },
    );
    expect(done.text).toBe('text');
  });
});

describe('a path outside the working directory', () => {
  it.each([
    ['by ..', '../outside/secret'],
    ['absolute', '/outside/secret'],
    ['by a link to it', 'file-link'],
    ['by a link to its directory', 'dir-link/secret'],
    ['by a link to a link', 'chain'],
  ])('needs a rule with its real path: %s', async (_, path) => {
    const at = world();
    at.put('outside/secret', 'secret');
    symlinkSync(join(at.outside, 'secret'), join(at.project, 'file-link'));
    symlinkSync(at.outside, join(at.project, 'dir-link'));
    symlinkSync('file-link', join(at.project, 'chain'));
    const real = path.startsWith('/') ? join(at.root, path) : path;
    expect(await ruleOf(at, 'read_file', { path: real })).toBe(`read:${at.outside}/secret`);
    expect(await ruleOf(at, 'write_file', { path: real, content: '' })).toBe(`write:${at.outside}/secret`);
  });

  it('needs a rule with the path of the directory', async () => {
    const at = world();
    expect(await ruleOf(at, 'list_files', { path: '../outside' })).toBe(`read:${at.outside}`);
    expect(await ruleOf(at, 'search_files', { path: '../outside', text: 'x' })).toBe(`read:${at.outside}`);
    expect(await ruleOf(at, 'write_file', { path: '../outside/new/deep', content: '' })).toBe(
      `write:${join(at.outside, 'new/deep')}`,
    );
  });

  it('is readable if a rule allows it, by whatever link, but nothing beyond it', async () => {
    const at = world();
    at.put('outside/a', 'text');
    symlinkSync(at.outside, join(at.root, 'link'));
    const permissions = { allow: [`read:${join(at.root, 'link')}`], deny: [] };
    expect((await at.call('read_file', { path: '../outside/a' }, { permissions })).text).toBe('text');
    expect((await at.call('list_files', { path: '..' }, { permissions })).outcome).toBe('denied');
  });

  it('is not allowed by a rule redirected by a link in the working directory', async () => {
    const at = world();
    at.put('outside/.ssh/authorized_keys', 'text');
    at.put('project/.vscode/a', '');
    symlinkSync(join(at.outside, '.ssh'), join(at.project, 'dir'));
    symlinkSync(join(at.outside, '.ssh', 'authorized_keys'), join(at.project, '.vscode', 'settings.json'));
    const path = '../outside/.ssh/authorized_keys';
    for (const named of ['dir', 'dir/authorized_keys', '.vscode/settings.json']) {
      for (const kind of ['read', 'write'] as const) {
        const rule = `${kind}:${join(at.project, named)}`;
        const [tool, input] = kind === 'read' ? ['read_file', { path }] : ['write_file', { path, content: 'x' }];
        const session = { [rule]: 'allow' } as const;
        expect([rule, (await at.call(tool, input, { session })).outcome]).toEqual([rule, 'denied']);
        const permissions = { allow: [rule], deny: [] };
        expect([rule, (await at.call(tool, input, { permissions })).outcome]).toEqual([rule, 'denied']);
      }
    }
  });

  it('is not allowed by a grant for a path that has since become a link', async () => {
    const at = world();
    at.put('outside/notes', 'text');
    at.put('outside/.ssh/id_rsa', 'secret');
    const session = { [`read:${join(at.outside, 'notes')}`]: 'allow' } as const;
    expect((await at.call('read_file', { path: '../outside/notes' }, { session })).outcome).toBe('completed');
    rmSync(join(at.outside, 'notes'));
    symlinkSync('.ssh/id_rsa', join(at.outside, 'notes'));
    for (const path of ['../outside/notes', '../outside/.ssh/id_rsa']) {
      expect((await at.call('read_file', { path }, { session })).outcome).toBe('denied');
    }
  });

  it('is denied if a rule names it by a link', async () => {
    const at = world();
    at.put('project/keys/a', 'text');
    symlinkSync(join(at.project, 'keys'), join(at.root, 'link'));
    const deny = [`read:${join(at.root, 'link')}`];
    const ruled = { path: 'keys/a' };
    expect((await at.call('read_file', ruled, { permissions: { allow: ['read'], deny } })).outcome).toBe('denied');
    const session = { [deny[0]!]: 'deny', read: 'allow' } as const;
    expect((await at.call('read_file', ruled, { session })).outcome).toBe('denied');
  });

  it('is not reached by a dangling link', async () => {
    const at = world();
    symlinkSync(join(at.outside, 'new'), join(at.project, 'link'));
    const done = await at.call('write_file', { path: 'link', content: 'x' });
    expect(done).toMatchObject({
      outcome: 'failed',
      text: expect.stringMatching(/link is a dangling symbolic link/),
    });
    expect(readdirSync(at.outside)).toEqual([]);
  });
});

describe('information hidden from the model', () => {
  const questions: readonly [name: string, right: object, wrong: object][] = [
    ['read_file', { path: '../outside/a' }, { path: '../outside/none' }],
    ['list_files', { path: '../outside/dir' }, { path: '../outside/dim' }],
    ['search_files', { path: '../outside/dir', text: 'x' }, { path: '../outside/dim', text: 'x' }],
    [
      'edit_file',
      { path: '../outside/a', old_text: 'se', new_text: '' },
      { path: '../outside/a', old_text: 'so', new_text: '' },
    ],
    [
      'edit_file',
      { path: '../outside/a', old_text: 'e', new_text: '' },
      { path: '../outside/none', old_text: 'e', new_text: '' },
    ],
    ['write_file', { path: '../outside/a', content: '' }, { path: '../outside/none', content: '' }],
    ['write_file', { path: '../outside/a', content: '' }, { path: '../outside/dir', content: '' }],
    ['edit_file', { path: 'keys/a', old_text: 'se', new_text: '' }, { path: 'keys/a', old_text: 'so', new_text: '' }],
    ['read_file', { path: 'keys/a' }, { path: 'keys/b' }],
  ];

  it.each(questions)('is not revealed by how %s fails: %j, %j', async (name, right, wrong) => {
    const at = world();
    for (const path of ['outside/a', 'outside/dir/b', 'project/keys/a']) at.put(path, 'secret');
    const permissions = { allow: ['read'], deny: [`read:${join(at.project, 'keys')}`] };
    const [first, second] = [await at.call(name, right, { permissions }), await at.call(name, wrong, { permissions })];
    expect(first.outcome).toBe('denied');
    // The rule contains the requested path.
    const path = ({ path: named }: { path?: string }): string => named?.replace('..', at.root) ?? '';
    expect(second.text.replace(path(wrong), path(right))).toBe(first.text);
  });

  it('is shown to the user, who can then deny the call', async () => {
    const at = world();
    at.put('outside/a', 'secret');
    const abouts: string[] = [];
    const input = { path: '../outside/a', old_text: 'none', new_text: '' };
    const done = await at.call('edit_file', input, {
      permissions: { allow: [], deny: [] },
      approve: async ({ about }) => {
        abouts.push(about);
        return 'once';
      },
    });
    const fault = `old_text does not occur in ${join(at.outside, 'a')}; read it again`;
    expect(abouts).toEqual([`edit ${join(at.outside, 'a')}, which will fail: ${fault}`]);
    expect(done).toMatchObject({ outcome: 'failed', text: fault });
  });

  it('excludes files that may be read: the user is not asked about a call that will fail', async () => {
    const at = world();
    at.put('project/a', 'text');
    const done = await at.call(
      'edit_file',
      { path: 'a', old_text: 'none', new_text: '' },
      {
        permissions: { allow: ['read'], deny: [] },
        approve: () => {
          throw new Error('somebody was asked');
        },
      },
    );
    expect(done).toMatchObject({ outcome: 'failed', text: 'old_text does not occur in a; read it again' });
  });
});

/** Allows the call after `exchange` has replaced its target. */
async function exchanged(at: World, name: string, input: object, exchange: () => void): Promise<string> {
  const done = await at.call(name, input, {
    permissions: { allow: [], deny: [] },
    approve: async () => {
      exchange();
      return 'once';
    },
  });
  expect(done.outcome).toBe('failed');
  return done.text;
}

describe('a target replaced after it was allowed', () => {
  it.each(onFiles)('is not followed by %s: a file that became a link out of the directory', async (name, input) => {
    const at = world();
    const path = at.put('project/a', 'secret inside');
    const secret = at.put('outside/secret', 'secret');
    const text = await exchanged(at, name, input('a'), () => {
      rmSync(path);
      symlinkSync(secret, path);
    });
    expect(text).not.toContain('secret\n');
    expect(readFileSync(secret, 'utf8')).toBe('secret');
  });

  it.each(tools)('is not followed by %s: a directory that became a link out of the directory', async (name, input) => {
    const at = world();
    at.put('project/sub/a', 'secret inside');
    const secret = at.put('outside/a', 'secret');
    const text = await exchanged(at, name, input(name === 'list_files' ? 'sub' : 'sub/a'), () => {
      renameSync(join(at.project, 'sub'), join(at.project, 'gone'));
      symlinkSync(at.outside, join(at.project, 'sub'));
    });
    expect(text).not.toContain('a\n');
    expect(readFileSync(secret, 'utf8')).toBe('secret');
    expect(readdirSync(at.outside)).toEqual(['a']);
  });

  it('is not written to: the parent directory of a new file', async () => {
    const at = world();
    mkdirSync(join(at.project, 'sub'));
    await exchanged(at, 'write_file', { path: 'sub/new', content: 'x' }, () => {
      rmSync(join(at.project, 'sub'), { recursive: true });
      symlinkSync(at.outside, join(at.project, 'sub'));
    });
    expect(readdirSync(at.outside)).toEqual([]);
  });

  it('is not read: a directory replaced by one of coffer', async () => {
    const at = world();
    at.put('project/sub/seen', 'secret inside');
    at.put('data/seen', 'secret');
    const text = await exchanged(at, 'read_file', { path: 'sub/seen' }, () => {
      rmSync(join(at.project, 'sub'), { recursive: true });
      renameSync(at.data, join(at.project, 'sub'));
      symlinkSync(join(at.project, 'sub'), at.data);
    });
    expect(text).toMatch(/closed to tools/);
  });
});

describe('a directory that is replaced continuously', () => {
  /**
   * Alternately makes `sub` a directory and a link out of the working directory, thousands of times
   * per second, until stopped.
   */
  const exchanger = `
    import { renameSync, symlinkSync, unlinkSync } from 'node:fs';
    process.send('begun');
    process.on('disconnect', () => process.exit());
    for (let round = 0; ; round++) {
      renameSync('sub', 'gone');
      symlinkSync('../outside', 'sub');
      unlinkSync('sub');
      renameSync('gone', 'sub');
      if (round % 100 === 0) await new Promise(setImmediate);
    }
  `;

  it('leads no tool out of the working directory', async (context) => {
    if (process.platform !== 'linux') context.skip('only Linux tells the path of an open file');
    const at = world();
    at.put('project/sub/a', 'inside');
    at.put('outside/a', 'secret');
    const child = spawn(process.execPath, ['--input-type=module', '-e', exchanger], {
      cwd: at.project,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    onTestFinished(() => void child.kill());
    await new Promise((resolve) => child.once('message', resolve));
    const permissions = { allow: ['read'], deny: [] };
    const texts: string[] = [];
    for (let inside = 0; inside < 20; inside = texts.filter((text) => text === 'inside').length) {
      texts.push((await at.call('read_file', { path: 'sub/a' }, { permissions })).text);
      texts.push((await at.call('search_files', { path: 'sub', text: 's' }, { permissions })).text);
    }
    expect(texts.filter((text) => text.includes('secret'))).toEqual([]);
    expect(child.exitCode).toBeNull();
  });
});

describe('a file that belongs to coffer', () => {
  const ways: readonly [name: string, make: (at: World) => string][] = [
    ['by its path', (at) => join(at.data, 'seen')],
    ['by ..', () => '../data/seen'],
    [
      'by a link to the file',
      (at) => {
        symlinkSync(join(at.data, 'seen'), join(at.project, 'link'));
        return 'link';
      },
    ],
    [
      'by a link to the directory',
      (at) => {
        symlinkSync(at.data, join(at.project, 'link'));
        return 'link/seen';
      },
    ],
    [
      'by a link to a directory above',
      (at) => {
        symlinkSync(at.root, join(at.project, 'link'));
        return 'link/data/seen';
      },
    ],
    [
      'by a hard link',
      (at) => {
        linkSync(join(at.data, 'seen'), join(at.project, 'hard'));
        return 'hard';
      },
    ],
  ];

  describe.each(ways)('%s', (_, make) => {
    it.each(onFiles)('is closed to %s, whatever is allowed', async (name, input) => {
      const at = world();
      const kept = at.put('data/seen', 'secret');
      const done = await at.call(name, input(make(at)));
      expect(done).toMatchObject({
        outcome: 'failed',
        text: expect.stringMatching(/closed to tools: it belongs to coffer/),
      });
      expect(readFileSync(kept, 'utf8')).toBe('secret');
    });
  });

  it.each(tools)('is closed to %s if it lies in the working directory', async (name, input) => {
    const at = world();
    at.put('project/data/seen', 'secret');
    const place = { protected: [join(at.project, 'data')] };
    const done = await at.call(name, input(name === 'list_files' ? 'data' : 'data/seen'), { place });
    expect(done.text).toMatch(/closed to tools/);
  });

  it.each(tools)('is closed to %s if the working directory lies in it', async (name, input) => {
    const at = world();
    at.put('data/work/a', 'secret');
    const done = await at.call(name, input(name === 'list_files' ? '.' : 'a'), {
      place: { directory: join(at.data, 'work') },
    });
    expect(done.text).toMatch(/closed to tools/);
  });

  it('can’t be created, nor can its directory', async () => {
    const at = world();
    for (const path of ['../data/new', '../data/new/deep']) {
      expect((await at.call('write_file', { path, content: 'x' })).text).toMatch(/closed to tools/);
    }
    rmSync(at.data, { recursive: true });
    expect((await at.call('write_file', { path: '../data/settings.json', content: '{}' })).text).toMatch(
      /closed to tools/,
    );
    expect(existsSync(at.data)).toBe(false);
  });

  it('is closed if the protected path is a link or a single file', async () => {
    const at = world();
    at.put('data/seen', 'secret');
    const word = at.put('outside/passphrase', 'secret');
    at.put('outside/other', 'other');
    symlinkSync(at.data, join(at.root, 'link'));
    const place = { protected: [join(at.root, 'link'), word] };
    expect((await at.call('read_file', { path: '../data/seen' }, { place })).text).toMatch(/closed to tools/);
    expect((await at.call('read_file', { path: word }, { place })).text).toMatch(/closed to tools/);
    expect((await at.call('read_file', { path: '../outside/other' }, { place })).text).toBe('other');
    const missing = { protected: [join(at.root, 'link/later')] };
    const done = await at.call('write_file', { path: '../data/later/a', content: 'x' }, { place: missing });
    expect(done.text).toMatch(/closed to tools/);
  });

  it.for(['data', 'data/sessions'])('is closed if %s is also mounted elsewhere', async (mounted, context) => {
    requireRoot(context);
    const at = world();
    at.put('data/sessions/3f', 'secret');
    const other = join(at.project, 'other');
    mkdirSync(other);
    mount(['--bind', join(at.root, mounted), other], other);
    const path = mounted === 'data' ? 'other/sessions/3f' : 'other/3f';
    expect((await at.call('read_file', { path })).text).toMatch(/closed to tools/);
    expect((await at.call('search_files', { text: 'secret' })).text).not.toContain('3f');
  });
});

/** Mounts something until the end of the test. */
function mount(args: string[], at: string): void {
  execFileSync('mount', args);
  onTestFinished(() => void execFileSync('umount', ['-l', at]));
}

describe('a path protected by the program', () => {
  it.each([
    'vault/vault.json',
    'config/vaults.json',
    'cache/coffer/compiled',
    'share/keyrings/login.keyring',
    'runtime/bus',
    'credentials/coffer-key',
    'passphrase',
  ])('is refused, whatever is allowed: %s', async (name) => {
    const at = world();
    const path = at.put(`outside/${name}`, 'secret');
    const env = {
      HOME: at.outside,
      COFFER_CONFIG_DIR: join(at.outside, 'config'),
      XDG_CACHE_HOME: join(at.outside, 'cache'),
      XDG_DATA_HOME: join(at.outside, 'share'),
      XDG_RUNTIME_DIR: join(at.outside, 'runtime'),
      CREDENTIALS_DIRECTORY: join(at.outside, 'credentials'),
      COFFER_PASSPHRASE_FILE: join(at.outside, 'passphrase'),
    };
    const place = { protected: await protectedPaths(env, join(at.outside, 'vault')) };
    for (const [tool, input] of onFiles) {
      const done = await at.call(tool, input(path), { place });
      expect(done).toMatchObject({ outcome: 'failed', text: expect.stringContaining('closed to tools') });
    }
    expect(readFileSync(path, 'utf8')).toBe('secret');
  });
});

describe('coffer’s own code', () => {
  it('includes its package, the packages it loads or could load, and what it was started with', () => {
    const at = world();
    const node = at.put('outside/bin/node');
    symlinkSync(node, join(at.outside, 'node'));
    const root = join(import.meta.dirname, '../../..');
    const own = ownCode(['node', at.put('outside/started/coffer')], join(at.outside, 'node'));
    const program = [node, join(at.outside, 'bin')];
    expect(own).toEqual(expect.arrayContaining([root, join(root, '../node_modules'), '/node_modules', ...program]));
    expect(own).toContain(join(at.outside, 'started'));
  });
});

describe('a path that is not a file on disk', () => {
  it.each([
    '/proc/self/environ',
    `/proc/${process.pid}/environ`,
    '/dev/zero',
    '/dev/tty',
    '/sys/kernel/uevent_seqnum',
    'link/self/environ',
    '../project/link/1/environ',
  ])('is closed, whatever is allowed: %s', async (path) => {
    const at = world();
    symlinkSync('/proc', join(at.project, 'link'));
    for (const [name, input] of tools) {
      expect((await at.call(name, input(path))).outcome).toBe('failed');
    }
  });

  it('is closed even if it is a regular file in /dev', async (context) => {
    if (process.platform !== 'linux') context.skip('/dev/shm is a thing of Linux');
    const path = `/dev/shm/coffer-test-${process.pid}`;
    onTestFinished(() => rmSync(path, { force: true }));
    writeFileSync(path, 'secret');
    for (const [name, input] of onFiles) {
      expect((await world().call(name, input(path))).text).toMatch(/a virtual one of the system/);
    }
  });

  it('is closed under another mount', async (context) => {
    requireRoot(context);
    const at = world();
    const other = join(at.project, 'processes');
    mkdirSync(other);
    mount(['-t', 'proc', 'proc', other], other);
    expect((await at.call('read_file', { path: 'processes/self/environ' })).text).toMatch(
      /a virtual one of the system/,
    );
    expect((await at.call('list_files', { recursive: true })).text).toBe('[the directory is empty]\n');
  });

  it.each(onFiles)('is not opened by %s: a pipe, which would block forever', async (name, input) => {
    const at = world();
    execFileSync('mkfifo', [join(at.project, 'pipe')]);
    expect((await at.call(name, input('pipe'))).text).toMatch(/pipe is (a pipe|no file or directory)/);
    expect((await at.call('search_files', { text: 'x' })).text).toBe('[nothing found]\n');
  });

  it('is not opened if it replaced a file after that was allowed', async () => {
    const at = world();
    const path = at.put('project/a', 'x');
    const text = await exchanged(at, 'read_file', { path: 'a' }, () => {
      rmSync(path);
      execFileSync('mkfifo', [path]);
    });
    expect(text).toBe('a is a pipe, not a regular file');
  });

  it('is not opened: a device in the working directory', async (context) => {
    requireRoot(context);
    const at = world();
    execFileSync('mknod', [join(at.project, 'zero'), 'c', '1', '5']);
    expect((await at.call('read_file', { path: 'zero' })).text).toBe('zero is a device, not a regular file');
    expect((await at.call('write_file', { path: 'zero', content: 'x' })).text).toBe(
      'zero is a device, not a regular file',
    );
  });

  it('is not opened: a socket', async (context) => {
    requireUnix(context);
    const at = world();
    const server = createServer().listen(join(at.project, 'socket'));
    onTestFinished(() => void server.close());
    await new Promise((resolve) => server.once('listening', resolve));
    expect((await at.call('read_file', { path: 'socket' })).text).toBe('socket is a socket, not a regular file');
  });
});

it('takes the home directory from HOME', async () => {
  const at = world();
  writeFileSync(join(at.outside, 'a'), 'text');
  const place = { env: { HOME: at.outside } };
  expect((await at.call('read_file', { path: '~/a' }, { place })).text).toBe('text');
});
