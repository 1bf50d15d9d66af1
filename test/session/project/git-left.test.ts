import { execFileSync, spawnSync } from 'node:child_process';
import { appendFileSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { makeRepository } from '../../support/repository.ts';
import { temporaryFolder } from '../../support/vault.ts';

it.runIf(process.platform === 'linux')('a git that waits for a pipe ends with the process that asked it', async () => {
  const folder = temporaryFolder();
  makeRepository(folder);
  execFileSync('mkfifo', [join(folder, 'pipe')]);
  appendFileSync(join(folder, '.git/config'), `[include]\n\tpath = ${join(folder, 'pipe')}\n`);
  const source = (name: string): string =>
    JSON.stringify(pathToFileURL(join(import.meta.dirname, '../../../src/session/project', name)).href);
  const script = `
    import { readdirSync, readlinkSync } from 'node:fs';
    const { gitDirectoryOf } = await import(${source('git-directory.ts')});
    const { askGit } = await import(${source('git.ts')});
    askGit(gitDirectoryOf(process.cwd()), ['config', '--get', 'a.b'], {});
    const works = () => readdirSync('/proc').filter((pid) => {
      try { return readlinkSync('/proc/' + pid + '/exe').endsWith('/git') && readlinkSync('/proc/' + pid + '/cwd') === process.cwd(); }
      catch { return false; }
    });
    while (works().length === 0) await new Promise(setImmediate);
    console.log('git runs');
    process.exit(0);`;
  const asked = spawnSync(process.execPath, ['--input-type=module', '-e', script], { cwd: folder });
  expect(asked.stdout.toString()).toBe('git runs\n');
  while (worksIn(folder)) await sleep(10); // killed, and about to end
});

/** Tells whether any process works in a folder. */
function worksIn(folder: string): boolean {
  return readdirSync('/proc').some((pid) => {
    try {
      return /^\d+$/.test(pid) && readlinkSync(`/proc/${pid}/cwd`) === folder;
    } catch {
      return false; // it has ended
    }
  });
}
