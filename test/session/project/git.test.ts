import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { askGit, trustedGit } from '../../../src/session/project/git.ts';
import { gitDirectoryOf, isReadable } from '../../../src/session/project/git-directory.ts';
import { surroundingsOf } from '../../../src/session/project/project.ts';
import { requireRoot, requireSandbox } from '../../chat/tools/support.ts';
import { makeRepository } from '../../support/repository.ts';
import { temporaryFolder } from '../../support/vault.ts';

describe('git', () => {
  it('is taken from a directory that only root can write to', (context) => {
    requireRoot(context);
    // Temporary folders are in /tmp, which everyone can write to; only root can write to /root.
    const folder = join('/root', `.coffer-test-${process.pid}`);
    mkdirSync(join(folder, 'bin'), { recursive: true });
    context.onTestFinished(async () => (await import('node:fs')).rmSync(folder, { recursive: true }));
    const program = join(folder, 'bin/git');
    writeFileSync(program, '#!/bin/sh\n', { mode: 0o755 });
    const here = [join(folder, 'bin')];
    expect(trustedGit(here)).toBe(program);
    for (const path of [program, join(folder, 'bin'), folder]) {
      chmodSync(path, 0o775);
      expect(trustedGit(here)).toBe(undefined);
      chmodSync(path, 0o757);
      expect(trustedGit(here)).toBe(undefined);
      chmodSync(path, 0o755);
      chownSync(path, 65534, 65534);
      expect(trustedGit(here)).toBe(undefined);
      chownSync(path, 0, 0);
      expect(trustedGit(here)).toBe(program);
    }
  });

  it('is not taken from a directory that others can write to, not even through a link', () => {
    const folder = temporaryFolder();
    copyFileSync('/bin/true', join(folder, 'git'));
    mkdirSync(join(folder, 'links'));
    symlinkSync(join(folder, 'git'), join(folder, 'links/git'));
    expect(trustedGit([folder, join(folder, 'links'), join(folder, 'none')])).toBe(undefined);
  });

  it('identifies the project of a directory on this machine', async () => {
    expect(trustedGit()).toMatch(/git(\.exe)?$/);
    const folder = join(temporaryFolder(), 'a');
    makeRepository(folder, 'https://user:word@example.com/a.git');
    mkdirSync(join(folder, 'deep'));
    expect(await surroundingsOf(join(folder, 'deep'))).toEqual({
      directory: join(folder, 'deep'),
      branch: 'trunk',
      worktree: undefined,
      project: {
        first: expect.stringMatching(/^[0-9a-f]{40}$/),
        remote: 'https://example.com/a.git',
        path: 'deep',
      },
    });
  });

  it('reads only the configuration of the repository', async (context) => {
    const folder = join(temporaryFolder(), 'a');
    makeRepository(folder);
    const theirs = join(temporaryFolder(), 'gitconfig');
    writeFileSync(theirs, '[planted]\n\tkey = value\n');
    for (const name of ['GIT_CONFIG_SYSTEM', 'GIT_CONFIG_GLOBAL']) {
      const before = process.env[name];
      process.env[name] = theirs;
      context.onTestFinished(() => {
        if (before === undefined) delete process.env[name];
        else process.env[name] = before;
      });
    }
    const listed = await askGit(gitDirectoryOf(folder)!, ['config', '--list', '--show-scope'], {});
    const scopes = new Set(listed?.split('\n').map((line) => line.split('\t')[0]));
    expect([...scopes].sort()).toEqual(['command', 'local']);
  });

  it("ignores coffer's environment", async (context) => {
    const [folder, other] = ['a', 'b'].map((name) => join(temporaryFolder(), name)) as [string, string];
    for (const each of [folder, other]) makeRepository(each);
    const expected = await surroundingsOf(folder);
    process.env['GIT_DIR'] = join(other, '.git');
    context.onTestFinished(() => void delete process.env['GIT_DIR']);
    expect(expected.project?.first).toMatch(/^[0-9a-f]{40}$/);
    expect(await surroundingsOf(folder)).toEqual(expected);
  });

  it.each(['config', 'packed-refs', 'commondir', 'refs/heads/trunk', 'objects/info/alternates'])(
    'is not run in a repository in which a pipe would block it: %s',
    async (name) => {
      const folder = join(temporaryFolder(), 'a');
      makeRepository(folder);
      rmSync(join(folder, '.git', name), { force: true });
      execFileSync('mkfifo', [join(folder, '.git', name)]);
      expect(await surroundingsOf(folder, { limit: 5_000 })).toMatchObject({ branch: 'trunk', project: undefined });
    },
  );

  it('is not run in a repository with a file of a terabyte', () => {
    const folder = join(temporaryFolder(), 'a');
    makeRepository(folder);
    const repository = gitDirectoryOf(folder)!;
    expect(isReadable(repository)).toBe(true);
    for (const name of ['packed-refs', 'HEAD']) {
      writeFileSync(join(folder, '.git', name), '');
      truncateSync(join(folder, '.git', name), 2 ** 40);
      expect([name, isReadable(repository)]).toEqual([name, false]);
      rmSync(join(folder, '.git', name));
    }
    writeFileSync(join(folder, '.git/HEAD'), 'ref: refs/heads/trunk\n');
    truncateSync(join(folder, '.git/HEAD'), 2 ** 40);
    expect(gitDirectoryOf(folder)).toBe(undefined);
  });

  it('is optional: without it the path identifies a project', (context) => {
    requireSandbox(context);
    const folder = join(temporaryFolder(), 'a');
    makeRepository(folder, 'https://example.com/a.git');
    const source = join(import.meta.dirname, '../../../src/session/project/project.ts');
    const script = `const { surroundingsOf } = await import(${JSON.stringify(source)});
      console.log(JSON.stringify(await surroundingsOf(${JSON.stringify(folder)})));`;
    const found = (...options: string[]): object => {
      const node = [process.execPath, '--input-type=module', '-e', script];
      return JSON.parse(execFileSync('bwrap', ['--dev-bind', '/', '/', ...options, ...node], { encoding: 'utf8' }));
    };
    expect(found()).toHaveProperty('project.first');
    const without = { directory: folder, branch: 'trunk' };
    expect(found('--ro-bind', '/dev/null', trustedGit() ?? '')).toEqual(without);
  });
});
