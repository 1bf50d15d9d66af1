import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Makes a repository with one commit, and with a remote if an address is given. */
export function makeRepository(directory: string, remote?: string): void {
  mkdirSync(directory, { recursive: true });
  const git = (...args: string[]): void => {
    execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@b.c', ...args], { cwd: directory, stdio: 'ignore' });
  };
  git('init', '--initial-branch', 'trunk');
  writeFileSync(join(directory, 'readme'), directory);
  git('add', '.');
  git('commit', '--message', `first of ${directory}`);
  if (remote !== undefined) git('remote', 'add', 'origin', remote);
}
