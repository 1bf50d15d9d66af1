import { lstat, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openVault } from '../../src/session/open-vault.ts';
import { makePlace, type Place } from '../support/coffer.ts';

const MINE = 'somebody else\n';

describe('an export over an existing file', () => {
  it.each(['file', 'link'] as const)('is refused without a terminal, the %s untouched', async (kind) => {
    await using place = await begun();
    const { path, target } = await taken(place, kind);
    const { code, stderr } = await place.run(['export', '1', '-o', path]);
    expect([code, stderr]).toEqual([1, expect.stringContaining('choose another name, or use --force to replace it')]);
    expect(await readFile(target, 'utf8')).toBe(MINE);
    expect((await lstat(path)).isSymbolicLink()).toBe(kind === 'link');
  });

  it.each(['file', 'link'] as const)(
    'asks on a terminal: no leaves the %s, yes replaces it, never through a link',
    async (kind) => {
      await using place = await begun();
      const { path, target } = await taken(place, kind);
      const question =
        kind === 'link' ? /is a symbolic link; replace the link\? \[y\/N\]/ : /already exists; replace it\? \[y\/N\]/;
      await using no = place.terminal(['export', '1', '-o', path]);
      await no.waitFor(question);
      no.enter('');
      await no.waitFor(/was left as it is/);
      expect(await no.exit).toEqual({ code: 1, signal: null });
      expect(await readFile(target, 'utf8')).toBe(MINE);
      await using yes = place.terminal(['export', '1', '-o', path]);
      await yes.waitFor(question);
      yes.enter('y');
      await yes.waitFor(/is not encrypted/);
      expect(await yes.exit).toEqual({ code: 0, signal: null });
      await expectExport(path);
      if (kind === 'link') expect(await readFile(target, 'utf8')).toBe(MINE);
      expect((await readdir(place.project)).filter((name) => name.startsWith('.'))).toEqual([]);
    },
  );

  it('replaces it with --force, and keeps the old content if that fails', async () => {
    await using place = await begun();
    const { path } = await taken(place, 'file');
    expect((await place.run(['export', '1', '-o', path, '--force'])).code).toBe(0);
    await expectExport(path);
    await mkdir(join(place.project, 'full'));
    const full = await place.run(['export', '1', '-o', 'full', '--force']);
    expect([full.code, full.stderr]).toEqual([1, expect.stringContaining('is a directory')]);
  });

  it('is readable by this user only, whatever the umask', async () => {
    await using place = await begun();
    expect((await place.run(['export', '1', '-o', 'new.md'], { umask: '000' })).code).toBe(0);
    await expectExport(join(place.project, 'new.md'));
  });

  it('refuses the vault, by whatever path it is named', async () => {
    await using place = await begun();
    const [file = ''] = await place.sessionFiles();
    const before = await place.sessionBytes();
    await symlink(place.data, join(place.project, 'way'));
    for (const path of [place.sessionFile(file), join('way', 'sessions', file), join('way', 'new.md')]) {
      const { code, stderr } = await place.run(['export', '1', '-o', path, '--force']);
      expect([code, stderr]).toEqual([1, expect.stringContaining('is in the vault')]);
    }
    expect(await place.sessionBytes()).toEqual(before);
  });
});

describe('/export', () => {
  it('writes the current conversation to a file, and asks before it replaces one', async () => {
    await using place = await begun();
    await using chat = place.terminal(['--model', 'demo/echo']);
    await chat.waitFor(/» /);
    chat.enter('/export first.md');
    await chat.waitFor(/first\.md is not encrypted/);
    chat.enter('second');
    await chat.waitFor(/echo: second/);
    chat.enter('/export two words.jsonl');
    await chat.waitFor(/two words\.jsonl is not encrypted/);
    chat.enter('/export json two words.jsonl');
    await chat.waitFor(/already exists; replace it\? \[y\/N\]/);
    chat.enter('n');
    await chat.waitFor(/was left as it is/);
    chat.key('ctrl+d');
    expect(await chat.exit).toEqual({ code: 0, signal: null });
    const lines = (await readFile(join(place.project, 'two words.jsonl'), 'utf8')).trimEnd().split('\n');
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ coffer: 1, type: 'session', messages: 2 });
    expect(lines.slice(1).map((line) => JSON.parse(line).type)).toContain('message');
    expect(await readFile(join(place.project, 'first.md'), 'utf8')).not.toContain('## user');
  });
});

describe('/export of an incognito chat', () => {
  it('is refused, with or without a file name', async () => {
    await using place = await makePlace();
    const input = 'hello\n/export\n/export json out.json\n';
    const { stdout, stderr } = await place.run(['--incognito', '--model', 'demo/echo'], { input });
    expect(stdout).toBe('echo: hello\n');
    expect(stderr.match(/an incognito conversation is not written anywhere/g)).toHaveLength(2);
    expect(await readdir(place.project)).toEqual([]);
  });
});

describe('an export as Markdown', () => {
  it('shows the active conversation, and separately what was taken back', async () => {
    await using place = await makePlace();
    await using sessions = await openVault({ directory: place.data, env: place.libraryEnv });
    await using session = sessions.begin({ directory: '/work', model: 'demo/echo' });
    await session.append(
      { type: 'message', message: { role: 'user', content: 'first words' } },
      {
        type: 'message',
        message: {
          role: 'assistant',
          content: [{ type: 'tool-call', toolCallId: 'a', toolName: 'read', input: { path: 'x' } }],
        },
      },
      {
        type: 'message',
        message: {
          role: 'tool',
          content: [
            {
              type: 'tool-result',
              toolCallId: 'a',
              toolName: 'read',
              output: { type: 'text', value: 'has ``` in it' },
            },
          ],
        },
      },
      { type: 'compaction', summary: 'in short', through: 5, model: 'demo/echo' },
    );
    const end = session.state.lastEvent;
    await session.append({ type: 'message', message: { role: 'user', content: 'unwise words' } });
    await session.append({ type: 'rewind', to: end });
    await session.append({ type: 'message', message: { role: 'user', content: 'wise words' } });
    await session.close();
    const { stdout } = await place.run(['export', 'last']);
    const places = [
      'first words',
      'tool call: read',
      '"path": "x"',
      'result of read',
      '````\nhas ``` in it\n````',
      '## summary (demo/echo)',
      'in short',
      'wise words',
      '# taken back',
      'unwise words',
    ];
    const at = places.map((text) => stdout.indexOf(text, text === 'wise words' ? stdout.indexOf('in short') : 0));
    expect(at).not.toContain(-1);
    expect(at).toEqual([...at].sort((a, b) => a - b));
  });
});

async function begun(): Promise<Place> {
  const place = await makePlace();
  expect((await place.run(['--model', 'demo/echo'], { input: 'hello\n' })).code).toBe(0);
  return place;
}

/** Makes an existing file, or a link to one. */
async function taken(place: Place, kind: 'file' | 'link'): Promise<{ path: string; target: string }> {
  const path = join(place.project, 'taken.md');
  const target = kind === 'link' ? join(place.project, 'target.md') : path;
  await writeFile(target, MINE, { mode: 0o644 });
  if (kind === 'link') await symlink(target, path);
  return { path, target };
}

async function expectExport(path: string): Promise<void> {
  const found = await lstat(path);
  expect([found.isFile(), found.mode & 0o777]).toEqual([true, 0o600]);
  expect(await readFile(path, 'utf8')).toContain('echo: hello');
}
