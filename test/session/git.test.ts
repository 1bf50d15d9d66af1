import { chmodSync, chownSync, copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { trustedGit } from '../../src/session/git.ts';
import { surroundingsOf } from '../../src/session/project.ts';
import { requireRoot } from '../chat/tools/support.ts';
import { makeRepository } from '../support/repository.ts';
import { temporaryFolder } from '../support/vault.ts';

describe('git', () => {
  it('is taken from a directory that only root can write to', (context) => {
    requireRoot(context);
    // A temporary folder lies in /tmp, which everybody can write to; this is as deep as root's own.
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

  it('is not taken from a directory that others can write to, by a link either', () => {
    const folder = temporaryFolder();
    copyFileSync('/bin/true', join(folder, 'git'));
    mkdirSync(join(folder, 'links'));
    symlinkSync(join(folder, 'git'), join(folder, 'links/git'));
    expect(trustedGit([folder, join(folder, 'links'), join(folder, 'none')])).toBe(undefined);
  });

  it('is there on this machine, and tells projects apart', async () => {
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
});
