import { spawnSync } from 'node:child_process';
import { mkdir, readdir, readFile, rm, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type NewEvent, openVault } from '../../src/index.ts';
import { conversation, type Listed, makePlace, type Place } from '../support/coffer.ts';

const large = 'a line that makes the session too large to rewrite at every step\n'.repeat(4000);

/** Any warning that a file is not as it was last seen, or that marks are missing. */
const alarm = /older copy|cut off|another file|removed by|seen is missing|not as last seen|rollback marks/;

let place: Place;

beforeEach(async () => {
  place = await makePlace();
});

afterEach(() => place[Symbol.asyncDispose]());

describe('an older copy of a session put back', () => {
  let row: Listed;
  let newest: Buffer;
  let phrase: string;

  beforeEach(async () => {
    await chat('one');
    [row] = (await place.listed()) as [Listed];
    const older = await readFile(place.sessionFile(row.fileId));
    await chat('two', ['resume', '1']);
    newest = await readFile(place.sessionFile(row.fileId));
    await writeFile(place.sessionFile(row.fileId), older);
    const [there, seen] = [older, newest].map((bytes) => bytes.readBigUInt64BE(44));
    phrase = `an older copy was put back: found generation ${there}, last seen ${seen}`;
  });

  it('is listed, and reported by sessions, doctor, export and the start line', async () => {
    const listed = await place.run(['sessions']);
    expect(listed).toMatchObject({ code: 0, stderr: `1: ${phrase}\n` });
    expect(await place.listed()).toMatchObject([{ fileId: row.fileId, rolledBack: phrase }]);
    const checked = await place.run(['doctor']);
    expect(checked.code).toBe(13);
    expect(checked.stdout).toContain(`${row.fileId}: ${phrase}; `);
    const exported = await place.run(['export', '1']);
    expect(exported.code).toBe(0);
    expect(exported.stdout).toContain('echo: one');
    expect(exported.stderr).toContain(`warning: ${phrase}`);
    const other = await place.run(['--model', 'demo/echo'], { input: '' });
    expect(other.stderr).toMatch(new RegExp(`last session: .*; ${phrase}`));
  });

  it('is not resumed, and is left unchanged', async () => {
    const before = await readFile(place.sessionFile(row.fileId));
    const refused = await place.run(['resume', '1'], { input: 'never said\n' });
    expect(refused).toMatchObject({ code: 13, stdout: '' });
    expect(refused.stderr.trim().split('\n')).toHaveLength(1);
    expect(refused.stderr).toContain(`${row.fileId}: ${phrase}; `);
    const told = await place.run(['--model', 'demo/echo'], { input: '/resume 1\nstill here\n' });
    expect(told).toMatchObject({ code: 0, stdout: 'echo: still here\n' });
    expect(told.stderr).toContain(phrase);
    expect(await readFile(place.sessionFile(row.fileId))).toEqual(before);
  });

  it('becomes the session again once it is accepted and saved', async () => {
    await chat('', ['resume', '1', '--accept-older']);
    expect((await place.run(['sessions'])).stderr).toContain(phrase);
    await chat('three', ['resume', '1', '--accept-older']);
    expect(await place.run(['sessions'])).toMatchObject({ code: 0, stderr: '' });
    expect((await place.run(['doctor'])).code).toBe(0);
    expect(conversation(await place.exported('1'))).toEqual([
      'user: one',
      'assistant: echo: one',
      'user: three',
      'assistant: echo: three',
    ]);
    const now = (await readFile(place.sessionFile(row.fileId))).readBigUInt64BE(44);
    expect(now).toBeGreaterThan(newest.readBigUInt64BE(44));
  });

  it('is asked about on a terminal, and resumed only after yes', async () => {
    await using refused = place.terminal(['resume', '1'], { env: { NO_COLOR: '1' } });
    await refused.waitFor(/stays lost \[y\/N\] /);
    refused.enter('');
    expect(await refused.exit).toEqual({ code: 13, signal: null });
    await using accepted = place.terminal(['resume', '1'], { env: { NO_COLOR: '1' } });
    await accepted.waitFor(/stays lost \[y\/N\] /);
    accepted.enter('y');
    await accepted.waitFor(/resumed session _autosave/);
    await accepted.waitFor(/» /);
    accepted.enter('three');
    await accepted.waitFor(/echo: three/);
    await accepted.waitFor(/» /);
    accepted.enter('/exit');
    expect(await accepted.exit).toEqual({ code: 0, signal: null });
    expect((await place.run(['sessions'])).stderr).toBe('');
  });

  it('raises no alarm any more once the newest is back', async () => {
    await writeFile(place.sessionFile(row.fileId), newest);
    expect(await place.run(['sessions'])).toMatchObject({ code: 0, stderr: '' });
    await chat('three', ['resume', '1']);
  });
});

describe('frames cut off at the end of a session', () => {
  it('are noticed up to the last mark, but not after it', async () => {
    const vault = await openVault({ directory: place.data, env: place.libraryEnv });
    const session = vault.begin({ directory: place.project, model: 'demo/echo' });
    const ends: Buffer[] = [];
    for (const text of [large, 'two', 'three', 'four']) {
      await session.append(said(text));
      if (text === 'three') await session.save('a snapshot marks the session as well');
      ends.push(await readFile(place.sessionFile(session.fileId ?? '')));
    }
    const seen = await readFile(join(place.data, 'seen'));
    await vault.close();
    await writeFile(join(place.data, 'seen'), seen);
    const told: string[] = [];
    for (const bytes of ends) {
      await writeFile(place.sessionFile(session.fileId ?? ''), bytes);
      told.push((await place.run(['sessions'])).stderr);
    }
    expect(told).toEqual([
      '1: steps were cut off its end: found 1 of its frames, last seen 3\n',
      '1: steps were cut off its end: found 2 of its frames, last seen 3\n',
      '',
      '',
    ]);
  });
});

describe('a session file that another program removed', () => {
  it('is reported by sessions, doctor and the chat until the user acknowledges it', async () => {
    await chat('one');
    const [{ fileId }] = (await place.listed()) as [Listed];
    await unlink(place.sessionFile(fileId));
    for (const args of [['sessions'], ['sessions', '--json'], []]) {
      const { code, stderr } = await place.run(args, { input: '' });
      expect([code, stderr]).toEqual([
        0,
        expect.stringContaining(`${fileId} was removed by something other than coffer`),
      ]);
    }
    const checked = await place.run(['doctor']);
    expect(checked.code).toBe(13);
    expect(checked.stdout).toContain(fileId);
    expect((await place.run(['sessions', '--accept-removed'])).stderr).toContain('noted: 1 removed');
    expect(await place.run(['sessions'])).toMatchObject({ code: 0, stderr: '' });
    expect((await place.run(['doctor'])).code).toBe(0);
  });
});

describe('the file of marks', () => {
  it('is reported as missing until a chat rewrites it, and guards all files again then', async () => {
    await chat('one');
    const [{ fileId }] = (await place.listed()) as [Listed];
    const older = await readFile(place.sessionFile(fileId));
    await chat('two', ['resume', '1']);
    await rm(join(place.data, 'seen'));
    expect(await place.run(['sessions'])).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/^seen is missing; /),
    });
    const checked = await place.run(['doctor']);
    expect([checked.code, checked.stdout]).toEqual([1, expect.stringContaining('seen is missing; ')]);
    await chat('another conversation');
    expect(await place.run(['sessions'])).toMatchObject({ code: 0, stderr: '' });
    await writeFile(place.sessionFile(fileId), older);
    expect((await place.run(['sessions'])).stderr).toMatch(/older copy/);
  });

  it('is reported as damaged, and quarantined by the next chat', async () => {
    await chat('one');
    const bytes = await readFile(join(place.data, 'seen'));
    bytes[200] = (bytes[200] ?? 0) ^ 1;
    await writeFile(join(place.data, 'seen'), bytes);
    expect((await place.run(['sessions'])).stderr).toMatch(/^file seen: .*quarantine/);
    expect((await place.run(['doctor'])).code).toBe(13);
    expect(await readFile(join(place.data, 'seen'))).toEqual(bytes);
    await chat('two');
    expect(await place.run(['sessions'])).toMatchObject({ code: 0, stderr: '' });
    const kept = (await readdir(join(place.data, 'quarantine'))).filter((name) => !name.endsWith('.txt'));
    expect(kept).toHaveLength(1);
    expect(await readFile(join(place.data, 'quarantine', kept[0] ?? ''))).toEqual(bytes);
  });

  it('raises no alarm in an older copy: it guards less, until the next mark', async () => {
    await chat('one');
    const older = await readFile(join(place.data, 'seen'));
    await chat('two', ['resume', '1']);
    await writeFile(join(place.data, 'seen'), older);
    expect(await place.run(['sessions'])).toMatchObject({ code: 0, stderr: '' });
    await chat('three', ['resume', '1']);
    expect(await place.run(['sessions'])).toMatchObject({ code: 0, stderr: '' });
  });

  it("is reported if it can't be written, and everything is saved", async () => {
    await chat('one');
    await rm(join(place.data, 'seen'));
    await mkdir(join(place.data, 'seen'));
    const told = await place.run(['--model', 'demo/echo'], { input: 'two\n/save kept\n' });
    expect(told.code).toBe(0);
    expect(told.stderr).toMatch(/^saved, but the rollback marks could not be written: /m);
    expect(await place.listed()).toHaveLength(3);
  });
});

describe('an honest end', () => {
  it('by kill -9 at any moment raises no alarm', async () => {
    const moments: [string, RegExp][] = [
      ['a question', /echo: a question/],
      ['/save kept', /session saved/],
      ['/save a second', /kept|a second/],
      ['/new', /new conv|\/new/],
      ['/exit', /\/exit/],
      [large.slice(0, 3000), /a line/],
    ];
    for (const [line, until] of moments) {
      await using killed = place.terminal(['--model', 'demo/echo'], { env: { NO_COLOR: '1' } });
      await killed.waitFor(/» /);
      killed.enter('hello');
      await killed.waitFor(/echo: hello/);
      await killed.waitFor(/» /);
      killed.enter(line);
      await killed.waitFor(until);
      killed.kill('SIGKILL');
      await killed.exit;
      const { code, stderr } = await place.run(['sessions']);
      expect([line, code, stderr]).toEqual([line, 0, '']);
    }
    expect((await place.run(['doctor'])).code).toBe(0);
  });

  it('of several chats at once loses none of their marks', async () => {
    await Promise.all(['one', 'two', 'three', 'four'].map((text) => chat(text)));
    const files = await place.sessionFiles();
    expect(files).toHaveLength(4);
    for (const fileId of files) await unlink(place.sessionFile(fileId));
    const { stderr } = await place.run(['sessions']);
    for (const fileId of files) expect(stderr).toContain(`${fileId} was removed by something other than coffer`);
  });

  it('in a copy that rsync makes while a chat writes raises no alarm', async (context) => {
    if (spawnSync('rsync', ['--version']).status !== 0)
      context.skip('rsync is missing; install with: apt-get install -y rsync');
    await chat('one');
    const copy = join(place.root, 'copy');
    await using live = place.terminal(['resume', '1', '--model', 'demo/echo'], { env: { NO_COLOR: '1' } });
    await live.waitFor(/» /);
    for (let count = 0; count < 4; count++) {
      live.enter(`number ${count}`);
      live.enter(count % 2 === 0 ? '/save' : '/new');
      // By checksum: rsync's quick check takes two saves with one second and one padded size for
      // the same file.
      const copied = spawnSync('rsync', ['-ac', '--exclude=locks', `${place.data}/`, `${copy}/`]);
      expect([0, 24]).toContain(copied.status);
      const { code, stderr } = await place.run(['sessions'], { env: { COFFER_DATA_DIR: copy } });
      expect([count, code, alarm.test(stderr) ? stderr : '']).toEqual([count, 0, '']);
      await live.waitFor(/session saved|new conversation/);
    }
    live.enter('/exit');
    expect(await live.exit).toEqual({ code: 0, signal: null });
  });
});

/** Runs a chat of one line to its end, and expects success. */
async function chat(text: string, args: readonly string[] = []): Promise<void> {
  const ended = await place.run([...args, '--model', 'demo/echo'], { input: text === '' ? '' : `${text}\n` });
  expect(ended).toMatchObject({ code: 0 });
}

function said(content: string): NewEvent {
  return { type: 'message', message: { role: 'user', content } };
}
