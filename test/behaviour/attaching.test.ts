import { execFileSync } from 'node:child_process';
import { mkdir, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makePlace, type Place } from '../support/coffer.ts';

let place: Place;
beforeEach(async () => {
  place = await makePlace();
});
afterEach(() => place[Symbol.asyncDispose]());

/** A PNG of one pixel. */
const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
);

describe('a file that a prompt names with @', () => {
  it.each([
    ['look at @notes.txt, please', 'notes.txt'],
    ['@notes.txt', 'notes.txt'],
    ['(see @"my notes.txt")', 'my notes.txt'],
    ['see @my\\ notes.txt.', 'my notes.txt'],
    ['twice @notes.txt and @./notes.txt', 'notes.txt'],
  ])('is sent with the prompt, and recorded: %s', async (prompt, name) => {
    await writeFile(join(place.project, name), 'buy apples\n');
    const { code, stdout, stderr } = await place.run(['--model', 'demo/echo', '-p', prompt]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: `echo: ${prompt}[file ${name}]\nbuy apples\n` });
    expect(stderr).toContain(`attached ${name} (11 bytes)\n`);
    expect(await content()).toEqual([
      { type: 'text', text: prompt },
      { type: 'file', filename: name, mediaType: 'text/plain', data: Buffer.from('buy apples\n').toString('base64') },
    ]);
  });

  it('is sent as an image if its bytes are an image, whatever its name', async () => {
    await writeFile(join(place.project, 'cat.txt'), PNG);
    await place.run(['--model', 'demo/echo', '-p', 'look @cat.txt']);
    expect((await content())[1]).toMatchObject({ mediaType: 'image/png', data: PNG.toString('base64') });
  });

  it.each([
    ['a word', 'thanks @alice', ''],
    ['an address', 'write to me@example.org', ''],
    ['a directory', 'run @tests and @./tests', 'file not found: ./tests; sent as text only\n'],
    ['a path without a file', 'see @notes.txt', 'file not found: notes.txt; sent as text only\n'],
    ['several', 'npm i @a/b @c/d', 'file not found: a/b and 1 more; sent as text only\n'],
    ['longer than a path', `@${'a/'.repeat(3000)}`, `file not found: ${'a/'.repeat(100)}…; sent as text only\n`],
    ['below a file', 'see @file/x.txt', 'file not found: file/x.txt; sent as text only\n'],
    ['a link to itself', 'see @loop', ''],
    ['a name longer than any', `@${'x'.repeat(5000)}`, ''],
  ])('is plain text if there is no such file: %s', async (_, prompt, told) => {
    await writeFile(join(place.project, 'file'), '');
    await symlink('loop', join(place.project, 'loop'));
    await mkdir(join(place.project, 'tests'));
    const { code, stdout, stderr } = await place.run(['--model', 'demo/echo', '-p', prompt]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: `echo: ${prompt}\n` });
    expect(stderr.replace(/.*key from.*\n/, '')).toBe(told);
  });

  it('is not sent from outside the directory if no user can be asked, nor if it usually holds a secret', async () => {
    const outside = join(place.root, 'outside.txt');
    await writeFile(outside, 'secret words\n');
    await symlink(outside, join(place.project, 'link.txt'));
    await writeFile(join(place.project, '.env'), 'KEY=secret words\n');
    for (const path of [outside, 'link.txt', '.env']) {
      const { code, stdout, stderr } = await place.run(['--model', 'demo/echo', '-p', `see @${path}`]);
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
      expect(stderr).toMatch(/prompt not sent: .* is not attached: denied: no user is present to allow it/);
      expect(stderr).not.toContain('secret words');
    }
    const { stdout } = await place.run(['--model', 'demo/echo', '-p', `see @${outside}`], {
      env: { COFFER_CONFIG_DIR: await allowing(`read:${outside}`) },
    });
    expect(stdout).toContain('secret words');
  });

  it('is not sent if a rule denies reading it, and no question is asked', async () => {
    await writeFile(join(place.project, 'notes.txt'), 'secret words\n');
    await writeFile(join(place.project, '.coffer.json'), JSON.stringify({ permissions: { deny: ['read'] } }));
    const { code, stdout, stderr } = await place.run(['--model', 'demo/echo', '-p', 'see @notes.txt']);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/prompt not sent: notes\.txt is not attached: denied by a rule/);
    const chat = place.terminal(['--model', 'demo/echo']);
    await chat.waitFor(/» $/);
    chat.enter('see @notes.txt');
    await chat.waitFor(/prompt not sent: .*denied by a rule.*» $/s);
    expect(chat.screen()).not.toMatch(/this prompt: |secret words/);
  });

  it('is never a file of the vault, whatever is allowed, not even through a link', async () => {
    await place.run(['--model', 'demo/echo', '-p', 'hello']);
    const sealed = place.sessionFile((await place.sessionFiles())[0] ?? '');
    await symlink(sealed, join(place.project, 'link'));
    await writeFile(
      join(place.config, 'settings.json'),
      JSON.stringify({ permissions: { allow: ['read', 'read:/'] } }),
    );
    for (const path of [sealed, 'link', join(place.config, 'vaults.json')]) {
      const { code, stderr } = await place.run(['--model', 'demo/echo', '-p', `see @${path}`]);
      expect(code).toBe(1);
      expect(stderr).toContain(`prompt not sent: ${path} is closed to tools: it belongs to coffer or holds a key`);
    }
  });

  it.each<[string, (path: string) => unknown, RegExp]>([
    ['a pipe', (path) => execFileSync('mkfifo', [path]), /x\.bin is a pipe, not a regular file/],
    ['a link to a device', (path) => symlink('/dev/zero', path), /x\.bin is closed to tools: it is not a file on disk/],
    ['a link to nothing', (path) => symlink('gone', path), /x\.bin is a dangling symbolic link/],
    ['bytes of no kind', (path) => writeFile(path, '\0\x01\x02'), /it is neither text nor an image or PDF/],
    ['empty', (path) => writeFile(path, ''), /x\.bin is empty/],
    [
      'too large',
      async (path) => {
        await writeFile(path, 'x');
        await truncate(path, 20 * 2 ** 20 + 1);
      },
      /too large/,
    ],
  ])('is refused in one line, and nothing is sent, if it is %s', async (_, make, line) => {
    await make(join(place.project, 'x.bin'));
    const { code, stdout, stderr } = await place.run(['--model', 'demo/echo', '-p', 'see @x.bin']);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr.split('\n').filter((text) => line.test(text))).toHaveLength(1);
    expect(await place.sessionFiles()).toEqual([]);
  });

  it('is limited to 20 MiB together with the other files of the prompt', async () => {
    const [large, more] = [join(place.project, 'large.txt'), join(place.project, 'more.txt')];
    await writeFile(large, 'x'.repeat(20 * 2 ** 20 - 10));
    await writeFile(more, 'x'.repeat(11));
    const both = await place.run(['--model', 'demo/eliza', '-p', 'see @large.txt and @more.txt']);
    expect(both.code).toBe(1);
    expect(both.stderr).toContain('more.txt is too large: it has 11 bytes; there is room for 10');
    await truncate(more, 10);
    expect((await place.run(['--model', 'demo/eliza', '-p', 'see @large.txt and @more.txt'])).code).toBe(0);
    expect(await content()).toHaveLength(3);
  });

  it('counts once, and is asked about once, however often and by whatever path it is named', async () => {
    await writeFile(join(place.project, 'large.txt'), 'x'.repeat(11 * 2 ** 20));
    const prompt = 'is @large.txt like @large.txt, or like @./large.txt?';
    expect((await place.run(['--model', 'demo/eliza', '-p', prompt])).code).toBe(0);
    expect(await content()).toHaveLength(2);
    const outside = join(place.root, 'outside.txt');
    await writeFile(outside, 'from elsewhere\n');
    const chat = place.terminal(['--model', 'demo/echo']);
    await chat.waitFor(/» $/);
    chat.enter(`see @${outside}, yes @../outside.txt`);
    await chat.waitFor(/\[d\]eny for this session: $/);
    chat.enter('y');
    await chat.waitFor(/attached \S+outside\.txt \(15 bytes\)\n.*from elsewhere.*» $/s);
  });

  it('is asked about at a terminal like a file that the model reads', async () => {
    const outside = join(place.root, 'outside.txt');
    await writeFile(outside, 'from elsewhere\n');
    const chat = place.terminal(['--model', 'demo/echo']);
    await chat.waitFor(/» $/);
    chat.enter(`see @${outside}`);
    await chat.waitFor(/this prompt: attach \S+outside\.txt \(15 bytes\) and send it to the model\n/);
    await chat.waitFor(/\[d\]eny for this session: $/);
    chat.enter('n');
    await chat.waitFor(/prompt not sent: .*denied by the user.*» $/s);
    chat.enter(`see @${outside}`);
    await chat.waitFor(/\[d\]eny for this session: $/);
    chat.key('escape');
    await chat.waitFor(/cancelled; prompt not sent.*» $/s);
    chat.enter(`see @${outside}`);
    await chat.waitFor(/\[d\]eny for this session: $/);
    chat.enter('y');
    await chat.waitFor(/attached \S+outside\.txt \(15 bytes\)\n.*from elsewhere.*» $/s);
    chat.enter('/exit');
    expect(await chat.exit).toEqual({ code: 0, signal: null });
    const { events } = await place.exported('last');
    expect(events.filter(({ type }) => type === 'message')).toHaveLength(2);
    const rule = `read:${outside}`;
    expect(events.filter(({ type }) => type === 'approval-answered')).toEqual([
      expect.objectContaining({ rule, answer: 'deny', by: 'person' }),
      expect.objectContaining({ rule, answer: 'deny', by: 'nobody' }),
      expect.objectContaining({ rule, answer: 'once', by: 'person' }),
    ]);
  });

  it('is included in forks and exports, and found by its name', async () => {
    await writeFile(join(place.project, 'apples.txt'), 'buy them\n');
    await place.run(['--model', 'demo/echo', '-p', 'see @apples.txt']);
    const fork = (await place.run(['fork', 'last'])).stdout.trim();
    const file = expect.objectContaining({ type: 'file', filename: 'apples.txt' });
    for (const which of ['last', fork]) expect(await content(which)).toContainEqual(file);
    const { stdout } = await place.run(['export', 'last']);
    expect(stdout).toContain('[file apples.txt text/plain]');
  });
});

/** Returns the parts of the first prompt of a session. */
async function content(which = 'last'): Promise<object[]> {
  const { events } = await place.exported(which);
  return events.find(({ message }) => message?.role === 'user')?.message?.content as unknown as object[];
}

async function allowing(rule: string): Promise<string> {
  const config = join(place.root, 'allowing');
  await mkdir(config, { mode: 0o700 });
  const settings = JSON.stringify({ permissions: { allow: ['read', rule] } });
  await writeFile(join(config, 'settings.json'), settings, { mode: 0o600 });
  return config;
}
