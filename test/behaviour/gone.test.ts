import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { requirePosix } from '../files/facilities.ts';
import { makePlace, type Place, type Result } from '../support/coffer.ts';

beforeEach(requirePosix);

describe('in a directory that was removed', () => {
  let place: Place;

  beforeAll(async () => {
    place = await makePlace();
    await place.run(['--model', 'demo/echo', '-p', 'hello']);
  });

  afterAll(() => place[Symbol.asyncDispose]());

  /** Runs coffer in a directory that is removed before it starts. */
  async function run(args: readonly string[]): Promise<Result> {
    const gone = join(place.root, 'gone');
    mkdirSync(gone);
    try {
      return await place.run(args, { cwd: gone, before: `rmdir '${gone}'` });
    } finally {
      rmSync(gone, { recursive: true, force: true });
    }
  }

  it.each([
    [['sessions']],
    [['sessions', '--search', 'hello']],
    [['export', '1']],
    [['status', '1']],
    [['logs', '1']],
    [['stats']],
    [['doctor']],
    [['config', 'list']],
    [['config', 'get', 'model']],
    [['models']],
    [['complete', '--', 'export', '']],
    [['rename', '1', 'a name']],
    [['save', '1']],
    [['key', 'list']],
    [['prune', '--dry-run', '--max-sessions', '9']],
  ])('%j works', async (args) => {
    expect(await run(args)).toMatchObject({ code: 0, stderr: expect.not.stringContaining('gone') });
  });

  it('a chat about another directory works, and so does resuming a session', async () => {
    const chat = await run(['--path', place.project, '--model', 'demo/echo', '-p', 'there']);
    expect(chat).toMatchObject({ code: 0, stdout: 'echo: there\n' });
  });

  it.each([[['--model', 'demo/echo', '-p', 'x']], [['-c']], [['-l']], [['sessions', '--here']], [['--path', 'sub']]])(
    '%j, which needs the directory, ends with one line and 2',
    async (args) => {
      expect(await run(args)).toMatchObject({
        code: 2,
        stdout: '',
        stderr: 'coffer: the current directory no longer exists; change to another one\n',
      });
    },
  );
});
