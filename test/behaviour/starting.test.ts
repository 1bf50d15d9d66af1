import { execFileSync } from 'node:child_process';
import { lstatSync, mkdirSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { requirePosix } from '../files/facilities.ts';
import { conversation, makePlace, type Place } from '../support/coffer.ts';
import { makeRepository } from '../support/repository.ts';

beforeEach(requirePosix);

async function say(place: Place, cwd: string, words: string, ...args: string[]): Promise<void> {
  const { code, stderr } = await place.run([...args, '--model', 'demo/echo', '-p', words], { cwd });
  if (code !== 0) throw new Error(stderr);
}

/** Lists every file under a folder, with everything that shows whether it was touched. */
function traces(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).map((entry) => {
    const path = join(entry.parentPath, entry.name);
    const { size, mtimeMs, ctimeMs, ino } = lstatSync(path);
    return `${path} ${size} ${mtimeMs} ${ctimeMs} ${ino}`;
  });
}

describe('-c', () => {
  it('resumes the newest session of this directory, not of another', async () => {
    await using place = await makePlace();
    const [here, there] = ['here', 'there'].map((name) => join(place.root, name)) as [string, string];
    for (const directory of [here, there]) mkdirSync(directory);
    await say(place, here, 'older');
    await say(place, here, 'mine');
    await say(place, there, 'theirs');
    await say(place, here, 'again', '-c');
    const rows = await place.listed();
    expect(conversation(await place.exported('1')).slice(0, 1)).toEqual(['user: mine']);
    expect(rows.map(({ messages }) => messages)).toEqual([4, 2, 2]);
  });

  it('finds the sessions of a moved project, and of no other clone that is there', async () => {
    await using place = await makePlace();
    const old = join(place.root, 'old');
    makeRepository(old, 'https://somebody:token@example.org/x.git');
    mkdirSync(join(old, 'sub'));
    await say(place, join(old, 'sub'), 'in a part of it');
    await say(place, old, 'before');
    const clone = join(place.root, 'clone');
    execFileSync('git', ['clone', '--quiet', old, clone]);
    execFileSync('git', ['-C', clone, 'remote', 'set-url', 'origin', 'https://example.org/x.git']);
    const elsewhere = await place.run(['-c', '-p', 'x'], { cwd: clone });
    expect(elsewhere).toMatchObject({ code: 10, stdout: '' });
    expect(elsewhere.stderr).toMatch(/^coffer: no free session of .*clone; coffer -l lists them, coffer begins one$/m);

    const moved = join(place.root, 'deep', 'moved');
    mkdirSync(join(place.root, 'deep'));
    renameSync(old, moved);
    await say(place, moved, 'after', '-c');
    expect(conversation(await place.exported('1')).filter((line) => line.startsWith('user'))).toEqual([
      'user: before',
      'user: after',
    ]);
    await say(place, join(moved, 'sub'), 'and there', '-c');
    expect(conversation(await place.exported('1'))[0]).toBe('user: in a part of it');
    expect(JSON.stringify(await place.exported('1'))).not.toContain('token');
  });

  it('treats another project in the old place as another project', async () => {
    await using place = await makePlace();
    const first = join(place.root, 'first');
    makeRepository(first);
    await say(place, first, 'hello');
    renameSync(first, join(place.root, 'away'));
    const other = join(place.root, 'other');
    makeRepository(other);
    expect((await place.run(['-c', '-p', 'x'], { cwd: other })).code).toBe(10);
  });
});

describe('autoResume', () => {
  it('resumes automatically and says so, unless disabled or the session is in use', async () => {
    await using place = await makePlace({ settings: { autoResume: true, model: 'demo/echo' } });
    const fresh = await place.run(['-p', 'first']);
    expect(fresh.stderr).not.toContain('autoResume');
    const again = await place.run(['-p', 'second']);
    expect(again.stderr).toMatch(/^resuming _autosave \(autoResume\); --no-resume begins a new one$/m);
    expect((await place.listed()).map(({ messages }) => messages)).toEqual([4]);
    await place.run(['--no-resume', '-p', 'third']);
    expect((await place.listed()).map(({ messages }) => messages)).toEqual([2, 4]);
    await using live = place.terminal(['-c']);
    await live.waitFor(/resumed session/);
    await place.run(['--path', place.project, '-p', 'fourth']);
    expect((await place.listed()).map(({ messages }) => messages)).toEqual([6, 2]);
  });
});

describe('an incognito chat', () => {
  it('leaves no trace in any folder of coffer or the user, and says in its prompt that it is incognito', async () => {
    await using place = await makePlace();
    await say(place, place.project, 'kept');
    const before = traces(place.root);
    await using chat = place.terminal(['--incognito', '--model', 'demo/echo']);
    await chat.waitFor(/incognito: nothing of this chat is kept/);
    await chat.waitFor(/incognito » /);
    chat.enter('between us');
    await chat.waitFor(/echo: between us/);
    for (const command of ['/save x', '/sessions', '/resume 1', '/export', '/delete 1']) {
      await chat.waitFor(/incognito » /);
      chat.enter(command);
      await chat.waitFor(/(this chat is|an) incognito/);
    }
    await chat.waitFor(/incognito » /);
    chat.key('ctrl+d');
    expect(await chat.exit).toEqual({ code: 0, signal: null });
    expect(traces(place.root)).toEqual(before);
    await using killed = place.terminal(['--incognito', '--model', 'demo/echo']);
    await killed.waitFor(/incognito » /);
    killed.enter('between us');
    await killed.waitFor(/echo: between us/);
    killed.kill('SIGTERM');
    await killed.exit;
    expect(traces(place.root)).toEqual(before);
    await say(place, place.project, 'kept too');
    expect(traces(place.root)).not.toEqual(before);
  });
});

describe('a session that another process holds', () => {
  it('can be forked, opened read-only, or left', async () => {
    await using place = await makePlace();
    await using live = place.terminal(['--model', 'demo/echo']);
    await live.waitFor(/» /);
    live.enter('in the first');
    await live.waitFor(/echo: in the first/);
    const [row] = await place.listed();
    await using chat = place.terminal(['--model', 'demo/echo']);
    await chat.waitFor(/» /);
    chat.enter('mine');
    await chat.waitFor(/echo: mine/);
    const offer = /in use by process \d+ since \d\d:\d\d; \[f\]ork it, \[r\]ead only, or \[c\]ancel\? /;
    chat.enter(`/resume ${row?.id}`);
    await chat.waitFor(offer);
    chat.enter('r');
    await chat.waitFor(/» in the first\s+echo: in the first\s+.* as last saved; another process has it open/);
    chat.enter(`/resume ${row?.id}`);
    await chat.waitFor(offer);
    chat.enter('');
    await chat.waitFor(/close it there or start a new one/);
    await chat.waitFor(/» /);
    chat.enter('still mine');
    await chat.waitFor(/echo: still mine/);
    chat.enter(`/resume ${row?.id}`);
    await chat.waitFor(offer);
    chat.enter('f');
    await chat.waitFor(new RegExp(`forked from ${row?.id} \\(2 messages, demo/echo\\)`));
    chat.enter('in the fork');
    await chat.waitFor(/echo: in the fork/);
    chat.key('ctrl+d');
    await chat.exit;
    live.enter('and on');
    await live.waitFor(/echo: and on/);
    live.key('ctrl+d');
    await live.exit;
    const rows = await place.listed();
    expect(rows.map(({ messages }) => messages).sort()).toEqual([4, 4, 4]);
    const forks = await Promise.all(rows.map(async ({ id }) => conversation(await place.exported(id))));
    expect(forks.map((lines) => lines.filter((line) => line.startsWith('user')).join('; ')).sort()).toEqual([
      'user: in the first; user: and on',
      'user: in the first; user: in the fork',
      'user: mine; user: still mine',
    ]);
  });
});

describe('a conversation with a model on this machine', () => {
  const elsewhere = { elsewhere: { baseURL: 'https://model.invalid/v1' } };

  it('goes to a remote model only if the user says so', async () => {
    await using place = await makePlace({ settings: { providers: elsewhere } });
    await say(place, place.project, 'a secret');
    const refused = await place.run(['resume', '1', '--model', 'elsewhere/big', '-p', 'x']);
    expect(refused).toMatchObject({ code: 2, stdout: '' });
    expect(refused.stderr).toMatch(
      /^coffer: 2 messages with demo\/echo, a model on this machine, not sent to elsewhere\/big; send them with --yes, or start over with \/reset$/m,
    );
    const sent = await place.run(['resume', '1', '--model', 'elsewhere/big', '-p', 'x', '--yes']);
    expect(sent.stderr).toMatch(/cannot reach elsewhere/);
    await say(place, place.project, 'another');
    await using chat = place.terminal(['resume', '1']);
    await chat.waitFor(/» /);
    chat.enter('/model elsewhere/big');
    await chat.waitFor(/will be sent to elsewhere\/big; continue\? \[y\/N\] /);
    chat.enter('');
    await chat.waitFor(/not sent to elsewhere\/big/);
    chat.enter('/model');
    await chat.waitFor(/model: demo\/echo/);
    chat.enter('/model elsewhere/big');
    await chat.waitFor(/\[y\/N\] /);
    chat.enter('y');
    await chat.waitFor(/model: elsewhere\/big/);
  });

  it('goes to no remote model with localOnly', async () => {
    await using place = await makePlace({ settings: { providers: elsewhere, localOnly: true } });
    for (const args of [['--yes'], []]) {
      const refused = await place.run(['--model', 'elsewhere/big', '-p', 'x', ...args]);
      expect(refused).toMatchObject({ code: 2, stdout: '' });
      expect(refused.stderr).toMatch(
        /elsewhere\/big is not on this machine, and the setting localOnly forbids sending conversations elsewhere/,
      );
    }
    const chat = await place.run(['--model', 'demo/echo'], { input: '/model elsewhere/big\nhello\n' });
    expect(chat.stdout).toBe('echo: hello\n');
    expect(chat.stderr).toContain('localOnly');
  });
});
