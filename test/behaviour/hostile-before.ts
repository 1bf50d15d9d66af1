import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

/*
 * The way coffer called git before it distrusted directories: the negative control of the table of
 * hostile directories. Runs as a separate program, since it may hang.
 */

const [directory = '.'] = process.argv.slice(2);
read(join(directory, '.git', 'HEAD')) ?? readLinked();
await Promise.all([git(['rev-list', '--max-parents=0', 'HEAD']), git(['config', '--get', 'remote.origin.url'])]);

function readLinked(): string | undefined {
  const target = /^gitdir: (.+)$/m.exec(read(join(directory, '.git')) ?? '')?.[1];
  return target === undefined ? undefined : read(join(resolve(directory, target), 'HEAD'));
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').slice(0, 4096);
  } catch {
    return undefined;
  }
}

async function git(args: readonly string[]): Promise<void> {
  const { PATH, HOME } = process.env;
  await promisify(execFile)('git', ['-c', 'core.fsmonitor=false', ...args], {
    cwd: directory,
    env: { PATH, HOME, LC_ALL: 'C', GIT_OPTIONAL_LOCKS: '0', GIT_TERMINAL_PROMPT: '0' },
  }).catch(() => undefined);
}
