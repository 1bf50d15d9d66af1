import { execFileSync } from 'node:child_process';
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openVault, type Sessions } from '../../src/index.ts';
import { surroundingsOf } from '../../src/session/project/project.ts';
import { makePlace, type Place } from '../support/coffer.ts';
import { reply, user } from '../support/vault.ts';

/*
 * The directory in which the tools of a resumed session work. The session is begun in `project`,
 * where `where.txt` says "recorded"; it is resumed in `other`, where that file says "here".
 */

let place: Place;
let other: string;
beforeEach(async () => {
  place = await makePlace();
  other = join(place.root, 'other');
  await mkdir(other);
  await writeFile(join(place.project, 'where.txt'), 'recorded\n');
  await writeFile(join(other, 'where.txt'), 'here\n');
  await talk(place.project);
});
afterEach(() => place[Symbol.asyncDispose]());

/** Has the model read the file with a tool. */
const READ = ['-p', 'read where.txt'];

describe('a session that is resumed in another directory without a terminal', () => {
  it('has its tools work in its own directory, and stays there', async () => {
    const { code, stdout, stderr } = await place.run(['resume', 'last', ...READ], { cwd: other });
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'recorded\n' });
    expect(stderr).toContain(`tools work in ${place.project}, the directory of this session\n`);
    expect(await directory()).toBe(place.project);
  });

  it.each([
    ['resume', ['resume', 'last', '--here']],
    ['-r', ['-r', '--here']],
    ['before the command', ['--here', 'resume', 'last']],
  ])('has them work in the current directory with --here, which is recorded: %s', async (_, args) => {
    const { code, stdout, stderr } = await place.run([...args, ...READ], { cwd: other });
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'here\n' });
    expect(stderr).toContain(`session moved from ${place.project} to ${other}\n`);
    expect(await directory()).toBe(other);
    await using vault = await opened();
    const { events } = await vault.read(await vault.find('last'));
    expect(events).toContainEqual(expect.objectContaining({ type: 'move', directory: other }));
    const again = await place.run(['resume', 'last', ...READ], { cwd: other });
    expect(again.stdout).toBe('here\n');
    expect(again.stderr).not.toMatch(/session moved|tools work in|this session was/);
  });

  it('has no tools, and continues, if its directory is gone', async () => {
    await rm(place.project, { recursive: true });
    const { code, stderr, stdout } = await place.run(['resume', 'last', ...READ], { cwd: other });
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'I have no tools here.\n' });
    const gone = `the directory of this session, ${place.project}, is gone`;
    expect(stderr).toContain(`${gone}, so tools are off; use --here to continue in ${other}\n`);
    const attached = await place.run(['resume', 'last', '-p', 'see @where.txt'], { cwd: other });
    expect(attached).toMatchObject({ code: 1, stdout: '' });
    const here = await place.run(['resume', 'last', '--here', ...READ], { cwd: other });
    expect(here.stdout).toBe('here\n');
  });

  it('asks nothing and records nothing if a link leads to its directory', async () => {
    const link = join(place.root, 'link');
    await symlink(place.project, link);
    const { stdout, stderr } = await place.run(['resume', 'last', '--path', link, ...READ], { cwd: other });
    expect(stdout).toBe('recorded\n');
    expect(stderr).not.toMatch(/session moved|tools work in|this session was/);
  });

  it('asks nothing and records nothing if its directory was replaced by a link to the current one', async () => {
    const moved = join(place.root, 'moved');
    await rename(place.project, moved);
    await symlink(moved, place.project);
    const { stdout, stderr } = await place.run(['resume', 'last', ...READ], { cwd: moved });
    expect(stdout).toBe('recorded\n');
    expect(stderr).not.toMatch(/session moved|tools work in|this session was/);
    expect(await directory()).toBe(place.project);
    const chat = place.terminal(['resume', 'last'], { cwd: moved });
    await chat.waitFor(/» $/);
    expect(chat.screen()).not.toMatch(/session moved|tools work in|this session was/);
  });

  it('assumes no permission granted in a directory that a link has replaced', async () => {
    await writeFile(join(place.config, 'settings.json'), JSON.stringify({ permissions: { allow: [] } }));
    const chat = place.terminal(['--model', 'demo/tools']);
    await chat.waitFor(/» $/);
    chat.enter('/permissions allow read');
    await chat.waitFor(/allowed in this conversation: read\n.*» $/s);
    chat.enter('read where.txt');
    await chat.waitFor(/recorded\n.*» $/s);
    chat.enter('/exit');
    await chat.exit;
    await rename(place.project, join(place.root, 'away'));
    await symlink(other, place.project);
    const { stdout } = await place.run(['resume', 'last', ...READ], { cwd: place.home });
    expect(stdout).toMatch(/^denied: no user is present/);
    await rm(place.project);
    await rename(join(place.root, 'away'), place.project);
    expect((await place.run(['resume', 'last', ...READ], { cwd: place.home })).stdout).toBe('recorded\n');
  });

  it('obeys what the project there denies', async () => {
    await writeFile(join(place.project, '.coffer.json'), JSON.stringify({ permissions: { deny: ['read'] } }));
    const { stdout } = await place.run(['resume', 'last', ...READ], { cwd: other });
    expect(stdout).toMatch(/^denied/);
    const { stdout: here } = await place.run(['resume', 'last', '--here', ...READ], { cwd: other });
    expect(here).toBe('here\n');
  });

  it('returns to the current directory with /new', async () => {
    const input = 'read where.txt\n/new\nread where.txt\n';
    const { stdout } = await place.run(['resume', 'last'], { input, cwd: other });
    expect(stdout).toMatch(/\nrecorded\n.*\nhere\n$/s);
    expect(await directory()).toBe(other);
  });
});

describe('an imported session', () => {
  it('works where it is resumed, whatever directory its file names', async () => {
    const exported = (await place.run(['export', 'last', '--format', 'jsonl'])).stdout;
    const moved = exported.replace('"type":"usage"', '"type":"move","directory":"/"');
    expect(moved).not.toBe(exported);
    await using vault = await opened();
    for (const input of [exported, moved]) {
      const { stdout: id } = await place.run(['import', '-', '--json'], { input, cwd: other });
      const which = JSON.parse(id).id;
      await using fork = await vault.fork(await vault.find(which));
      await fork.close();
      for (const session of [which, fork.id]) {
        const { stdout, stderr } = await place.run(['resume', session, ...READ], { cwd: other });
        expect(stdout).toBe('here\n');
        expect(stderr).toContain(` to ${other}\n`);
      }
      const { stdout } = await place.run(['resume', which, ...READ]);
      expect(stdout).toBe('here\n');
    }
  });
});

describe("a session of a project whose directory can't be read", () => {
  it("is listed, resumed and forked, and never taken for another project's", async () => {
    makeRepository();
    await talk(place.project);
    const { stdout } = await place.run(['export', 'last', '--format', 'jsonl']);
    for (const path of ['no\0path', `/${'x'.repeat(300)}`]) {
      const input = stdout.replaceAll(JSON.stringify(place.project), JSON.stringify(path));
      const { id } = JSON.parse((await place.run(['import', '-', '--json'], { input })).stdout);
      for (const args of [['-l'], ['-c', '-p', 'list'], ['fork', id], ['status', id], ['resume', id, '-p', 'list']]) {
        const { code, stderr } = await place.run(args);
        expect({ path, args, code, stderr }).toEqual({
          path,
          args,
          code: 0,
          stderr: expect.not.stringContaining('bug'),
        });
      }
    }
  });
});

describe('a project that was moved', () => {
  it('is continued in its new place, without a question', async () => {
    const moved = join(place.root, 'moved');
    makeRepository();
    expect((await place.run(['--model', 'demo/tools', '-p', 'list'])).code).toBe(0);
    await rename(place.project, moved);
    const { code, stdout, stderr } = await place.run(['-c', '-p', 'read where.txt'], { cwd: moved });
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'recorded\n' });
    expect(stderr).toContain(` to ${moved}\n`);
    expect(await directory()).toBe(moved);
  });
});

describe('a session that is resumed in another directory at a terminal', () => {
  const QUESTION = /use that \[r\]ecorded directory, or work \[h\]ere in \S+\? $/;

  it.each([
    ['r', 'recorded'],
    ['here', 'here'],
  ])('asks once where its tools work, and follows the answer: %s', async (answer, read) => {
    const chat = place.terminal(['resume', 'last'], { cwd: other });
    await chat.waitFor(QUESTION);
    chat.enter('');
    await chat.waitFor(QUESTION);
    chat.enter(answer);
    await chat.waitFor(/» $/);
    chat.enter('read where.txt');
    await chat.waitFor(new RegExp(`read_file where\\.txt\\n.*${read}\\n.*» $`, 's'));
    chat.enter('/exit');
    expect(await chat.exit).toEqual({ code: 0, signal: null });
    expect(await directory()).toBe(answer === 'r' ? place.project : other);
  });

  it('is not resumed, and keeps its directory, if the user does not answer', async () => {
    const chat = place.terminal(['resume', 'last'], { cwd: other });
    await chat.waitFor(QUESTION);
    chat.key('ctrl+d');
    expect(await chat.exit).toEqual({ code: 1, signal: null });
    expect(chat.screen()).toContain('cancelled: session not resumed');
    expect(await directory()).toBe(place.project);
  });

  it('is asked about by /resume too, and the current conversation stays if its directory is gone', async () => {
    await talk(other, 'demo/echo');
    await rm(place.project, { recursive: true });
    const chat = place.terminal(['resume', 'last'], { cwd: other });
    await chat.waitFor(/» $/);
    chat.enter('/resume 2');
    await chat.waitFor(/is gone; continue \[h\]ere in \S+, or \[c\]ancel\? $/);
    chat.enter('');
    await chat.waitFor(/» $/);
    chat.enter('still there');
    await chat.waitFor(/echo: still there\n.*» $/s);
    chat.enter('/resume 2');
    await chat.waitFor(/or \[c\]ancel\? $/);
    chat.enter('h');
    await chat.waitFor(/session moved from \S+ to \S+\n.*» $/s);
    chat.enter('read where.txt');
    await chat.waitFor(/here\n.*» $/s);
    chat.enter('/exit');
    expect(await chat.exit).toEqual({ code: 0, signal: null });
  });
});

/** Returns the directory of the session saved last. */
async function directory(): Promise<string | undefined> {
  await using vault = await opened();
  return (await vault.list())[0]?.directory;
}

function opened(): Promise<Sessions> {
  return openVault({ directory: place.data, env: place.libraryEnv });
}

/** Records a conversation in a directory, as a chat there does. */
async function talk(directory: string, model = 'demo/tools'): Promise<void> {
  await using vault = await opened();
  await using session = vault.begin({ ...(await surroundingsOf(directory)), model });
  const usage = { inputTokens: null, outputTokens: null, cost: null };
  await session.append(user('list'), reply('where.txt'), { type: 'usage', model, usage });
}

/** Makes the project a git repository with one commit. */
function makeRepository(): void {
  const git = (...args: string[]) => execFileSync('git', args, { cwd: place.project, env: place.env });
  git('init', '-q', '.');
  git('-c', 'user.name=a', '-c', 'user.email=a@b', 'commit', '-q', '--allow-empty', '-m', 'one');
}
