import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { requireUnix } from '../../support/keychain.ts';
import { requireRoot, type World, world } from './support.ts';

beforeEach(requireUnix);

describe('read_file', () => {
  it('returns the text unchanged', async () => {
    const at = world();
    at.put('project/a/b.txt', 'one\r\ntwo\n\nünf');
    expect(await at.call('read_file', { path: 'a/b.txt' })).toMatchObject({
      outcome: 'completed',
      type: 'text',
      text: 'one\r\ntwo\n\nünf',
    });
    expect((await at.call('read_file', { path: join(at.project, 'a/b.txt') })).text).toBe('one\r\ntwo\n\nünf');
  });

  it.each([
    [{ offset: 2 }, '2\n3\n4'],
    [{ offset: 2, limit: 2 }, '2\n3\n[there is more, from line 4 on]\n'],
    [{ limit: 4 }, '1\n2\n3\n4'],
    [{ offset: 9 }, '[nothing from line 9 on: the file ends at line 4]\n'],
  ])('returns the lines %j', async (lines, text) => {
    const at = world();
    at.put('project/lines', '1\n2\n3\n4');
    expect((await at.call('read_file', { path: 'lines', ...lines })).text).toBe(text);
  });

  it('returns lines that cross the chunks a file is read in', async () => {
    const at = world();
    const line = `${'x'.repeat(65_535)}é\n`;
    at.put('project/long', line.repeat(3));
    expect((await at.call('read_file', { path: 'long', offset: 2, limit: 1 })).text).toBe(
      `${line}[there is more, from line 3 on]\n`,
    );
  });

  it('truncates its output at the limit, and says so', async () => {
    const at = world();
    at.put('project/long', 'a\nbcdefgh\n');
    const done = await at.call('read_file', { path: 'long' }, { place: { maxToolOutput: 5 } });
    expect(done.text).toBe('a\nbcd\n[cut in line 2 after 5 bytes; the file has 10]\n');
  });

  it.each([
    ['a binary file', 'bin', /bin is not a text file/],
    ['a directory', 'dir', /dir is a directory, not a regular file/],
    ['a missing file', 'none', /there is no file none/],
    ['a file as a directory', 'text/x', /ENOTDIR/],
    ['a name that is too long', 'x'.repeat(300), /ENAMETOOLONG/],
  ])('refuses %s', async (_, path, message) => {
    const at = world();
    at.put('project/bin', Buffer.from([65, 0, 66]));
    at.put('project/text', 'x');
    mkdirSync(join(at.project, 'dir'));
    expect(await at.call('read_file', { path })).toMatchObject({
      outcome: 'failed',
      type: 'error-text',
      text: expect.stringMatching(message),
    });
  });

  it('reports an empty file', async () => {
    const at = world();
    at.put('project/empty');
    expect((await at.call('read_file', { path: 'empty' })).text).toBe('[the file is empty]\n');
  });
});

function tree(): World {
  const at = world();
  for (const path of ['b.ts', 'a.md', 'src/c.ts', 'src/deep/d.ts', '.git/config', 'node_modules/p/x.ts', 'bin']) {
    at.put(`project/${path}`, path === 'bin' ? Buffer.from('needle\0') : `first\nthe needle of ${path}\n`);
  }
  symlinkSync(at.outside, join(at.project, 'link'));
  at.put('outside/secret', 'needle');
  return at;
}

describe('list_files', () => {
  it('lists a directory', async () => {
    const at = tree();
    expect((await at.call('list_files', {})).text).toBe('.git/\na.md\nb.ts\nbin\nlink@\nnode_modules/\nsrc/\n');
    expect((await at.call('list_files', { path: 'src' })).text).toBe('c.ts\ndeep/\n');
  });

  it('lists subdirectories except .git and node_modules, and follows no link', async () => {
    const text = '.git/\na.md\nb.ts\nbin\nlink@\nnode_modules/\nsrc/\nsrc/c.ts\nsrc/deep/\nsrc/deep/d.ts\n';
    expect((await tree().call('list_files', { recursive: true })).text).toBe(text);
  });

  it('truncates its output at the limit, and says so', async () => {
    const done = await tree().call('list_files', {}, { place: { maxToolOutput: 12 } });
    expect(done.text).toBe('.git/\na.md\n[there is more]\n');
  });

  it('refuses a path that is not a directory', async () => {
    const at = tree();
    expect((await at.call('list_files', { path: 'b.ts' })).text).toBe('there is no directory b.ts');
    expect((await at.call('list_files', { path: 'none' })).text).toBe('there is no directory none');
  });

  it('skips files of coffer and denied ones', async () => {
    const at = tree();
    at.put('project/data/seen');
    at.put('project/keys/id');
    const word = at.put('project/passphrase');
    const done = await at.call(
      'list_files',
      { recursive: true },
      {
        place: { protected: [join(at.project, 'data'), word] },
        permissions: { allow: ['read'], deny: [`read:${join(at.project, 'keys')}`] },
      },
    );
    expect(done.text).not.toMatch(/data|keys|seen|id$|passphrase/m);
    expect(done.text).toContain('src/deep/d.ts');
  });
});

describe('search_files', () => {
  it('returns each line with its file and number', async () => {
    expect((await tree().call('search_files', { text: 'needle' })).text).toBe(
      ['a.md', 'b.ts', 'src/c.ts', 'src/deep/d.ts'].map((path) => `${path}:2: the needle of ${path}\n`).join(''),
    );
  });

  it('matches the text literally', async () => {
    const at = world();
    at.put('project/a', 'x.*y\nxaay\n');
    expect((await at.call('search_files', { text: '.*' })).text).toBe('a:1: x.*y\n');
    expect((await at.call('search_files', { text: '[' })).text).toBe('[nothing found]\n');
  });

  it('returns a line once, and counts all lines', async () => {
    const at = world();
    at.put('project/a', 'x\n\nneedle needle\nx\nneedle');
    expect((await at.call('search_files', { text: 'needle' })).text).toBe('a:3: needle needle\na:5: needle\n');
  });

  it.each([
    ['*.ts', ['b.ts', 'src/c.ts', 'src/deep/d.ts']],
    ['src/*.ts', ['src/c.ts']],
    ['**/*.md', ['a.md']],
  ])('searches only files named %s', async (glob, paths) => {
    const { text } = await tree().call('search_files', { text: 'needle', glob });
    expect(text.match(/^[^:]+/gm)).toEqual(paths);
  });

  it('searches one directory, or one file', async () => {
    const at = tree();
    expect((await at.call('search_files', { text: 'needle', path: 'src/deep' })).text).toBe(
      'src/deep/d.ts:2: the needle of src/deep/d.ts\n',
    );
    expect((await at.call('search_files', { text: 'needle', path: 'b.ts' })).text).toBe('b.ts:2: the needle of b.ts\n');
  });

  it('shows only the context of the match in a long line', async () => {
    const at = world();
    at.put('project/a', `${'x'.repeat(1000)}needle${'y'.repeat(1000)}`);
    expect((await at.call('search_files', { text: 'needle' })).text).toMatch(/^a:1: …x{100}needley{294}…\n$/);
  });

  it('truncates its output at the limit, and says so', async () => {
    const done = await tree().call('search_files', { text: 'needle' }, { place: { maxToolOutput: 40 } });
    expect(done.text).toBe('a.md:2: the needle of a.md\n[there is more]\n');
  });

  it('skips files of coffer and denied ones', async () => {
    const at = tree();
    const kept = at.put('project/data/seen', 'needle');
    at.put('project/keys/id', 'needle');
    const { text } = await at.call(
      'search_files',
      { text: 'needle' },
      {
        place: { protected: [join(kept, '..')] },
        permissions: { allow: ['read'], deny: [`read:${join(at.project, 'keys')}`] },
      },
    );
    expect(text).not.toMatch(/data|keys/);
    expect(text).toContain('b.ts:2');
  });
});

it.each(['list_files', 'search_files'])('%s stops at the time limit of commands', async (name) => {
  const input = name === 'list_files' ? { recursive: true } : { text: 'needle' };
  const done = await tree().call(name, input, { place: { commandTimeout: 0 } });
  expect(done.text).toMatch(/^(\[nothing found\]\n)?\[stopped after 0 s; there is more\]\n$/);
});

describe('write_file', () => {
  it('creates a file and its parent directories', async () => {
    const at = world();
    const done = await at.call('write_file', { path: 'new/deep/a.txt', content: 'one\ntwo\n' });
    expect(done).toMatchObject({ outcome: 'completed', text: 'created new/deep/a.txt (+2 -0)\n' });
    expect(readFileSync(join(at.project, 'new/deep/a.txt'), 'utf8')).toBe('one\ntwo\n');
    expect(statSync(join(at.project, 'new/deep/a.txt')).mode & 0o777).toBe(0o666 & ~process.umask());
    expect(readdirSync(join(at.project, 'new/deep'))).toEqual(['a.txt']);
  });

  it('keeps the mode and owner of an existing file', async () => {
    const at = world();
    const path = at.put('project/run.sh', 'old\n');
    chmodSync(path, 0o751);
    const { uid, gid } = statSync(path);
    expect((await at.call('write_file', { path: 'run.sh', content: 'new\n' })).text).toBe('changed run.sh (+1 -1)\n');
    expect(statSync(path)).toMatchObject({ uid, gid });
    expect(statSync(path).mode & 0o7777).toBe(0o751);
    expect(readFileSync(path, 'utf8')).toBe('new\n');
  });

  it('shows a diff before it writes', async () => {
    const at = world();
    at.put('project/a.txt', 'one\ntwo\nthree\n');
    const asked: unknown[] = [];
    const done = await at.call(
      'write_file',
      { path: 'a.txt', content: 'one\n2\nthree\n' },
      {
        permissions: { allow: [], deny: [] },
        approve: async (request) => {
          asked.push(request);
          return 'deny';
        },
      },
    );
    expect(done.outcome).toBe('denied');
    expect(asked).toEqual([
      expect.objectContaining({
        rule: 'write',
        about: 'change a.txt (+1 -1)',
        detail: expect.stringContaining('@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n'),
      }),
    ]);
    expect(readFileSync(join(at.project, 'a.txt'), 'utf8')).toBe('one\ntwo\nthree\n');
  });

  it('writes nothing if the file has changed since its diff was made', async () => {
    const at = world();
    const path = at.put('project/a.txt', 'one\n');
    const done = await at.call(
      'write_file',
      { path: 'a.txt', content: 'two\n' },
      {
        permissions: { allow: [], deny: [] },
        approve: async () => {
          writeFileSync(path, 'someone was faster\n');
          return 'once';
        },
      },
    );
    expect(done).toMatchObject({ outcome: 'failed', text: expect.stringMatching(/a\.txt has changed since/) });
    expect(readFileSync(path, 'utf8')).toBe('someone was faster\n');
  });

  it('replaces a binary file, and says so', async () => {
    const at = world();
    at.put('project/bin', Buffer.from([1, 0, 2]));
    const done = await at.call('write_file', { path: 'bin', content: 'x' });
    expect(done.text).toBe('changed bin (3 binary bytes become 1 bytes)\n');
  });

  it('limits the time for comparing large files with nothing in common', async () => {
    const at = world();
    const lines = (from: number): string =>
      Array.from({ length: 60_000 }, (_, line) => `${line * 7 + from}\n`).join('');
    at.put('project/large', lines(0));
    const done = await at.call('write_file', { path: 'large', content: lines(3) });
    expect(done).toMatchObject({ outcome: 'completed', text: expect.stringMatching(/too different for a diff/) });
    expect(readFileSync(join(at.project, 'large'), 'utf8')).toBe(lines(3));
  });

  it('leaves nothing behind if no file can be created in the directory', async () => {
    const at = world();
    mkdirSync(join(at.project, 'taken'));
    expect(await at.call('write_file', { path: 'taken', content: 'x' })).toMatchObject({
      outcome: 'failed',
      text: 'taken is a directory, not a regular file',
    });
    expect(readdirSync(at.project)).toEqual(['taken']);
  });
});

describe('write_file, if the last step fails', () => {
  it('leaves nothing behind', async (context) => {
    requireRoot(context);
    const at = world();
    const path = at.put('project/a', 'old');
    execFileSync('mount', ['--bind', path, path]);
    onTestFinished(() => void execFileSync('umount', ['-l', path]));
    const done = await at.call('write_file', { path: 'a', content: 'new' });
    expect(done).toMatchObject({ outcome: 'failed', text: expect.stringMatching(/EBUSY/) });
    expect(readFileSync(path, 'utf8')).toBe('old');
    expect(readdirSync(at.project)).toEqual(['a']);
  });
});

describe('edit_file', () => {
  it('replaces a text that occurs once', async () => {
    const at = world();
    at.put('project/a', '\ufeffone $& two\r\n');
    const done = await at.call('edit_file', { path: 'a', old_text: 'two\r\n', new_text: '$& 2' });
    expect(done).toMatchObject({ outcome: 'completed', text: 'changed a (+1 -1)\n' });
    expect(readFileSync(join(at.project, 'a'), 'utf8')).toBe('\ufeffone $& $& 2');
  });

  it('replaces every occurrence only with replace_all', async () => {
    const at = world();
    const path = at.put('project/a', 'x y x');
    expect((await at.call('edit_file', { path: 'a', old_text: 'x', new_text: 'z' })).text).toMatch(/2 times/);
    expect(readFileSync(path, 'utf8')).toBe('x y x');
    await at.call('edit_file', { path: 'a', old_text: 'x', new_text: 'z', replace_all: true });
    expect(readFileSync(path, 'utf8')).toBe('z y z');
  });

  it.each([
    ['a missing text', 'a', 'q', /old_text does not occur in a/],
    ['a binary file', 'bin', 'A', /bin is not a text file/],
    ['a file that is not UTF-8', 'latin', 'A', /latin is not a text file/],
    ['a missing file', 'none', 'A', /there is no file none/],
    ['a file larger than the limit', 'large', 'A', /large has 2000000 bytes/],
    ['an empty text', 'a', '', /invalid input for edit_file: old_text/],
  ])('refuses %s', async (_, path, old, message) => {
    const at = world();
    at.put('project/a', 'A');
    at.put('project/bin', Buffer.from('A\0'));
    at.put('project/latin', Buffer.from([65, 0xe9]));
    at.put('project/large', 'A'.repeat(2_000_000));
    const done = await at.call('edit_file', { path, old_text: old, new_text: 'B' });
    expect(done).toMatchObject({ outcome: 'failed', text: expect.stringMatching(message) });
    expect(readFileSync(join(at.project, 'a'), 'utf8')).toBe('A');
  });
});
