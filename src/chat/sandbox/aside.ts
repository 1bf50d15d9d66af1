import { constants } from 'node:fs';
import { lstat, open, readdir, rename } from 'node:fs/promises';
import { basename } from 'node:path';
import { isWithin } from '../permissions.ts';
import { isHarmlessConfig } from './git-config.ts';
import { identify, type Survey } from './survey.ts';

/** A file that was renamed, so that no program runs or trusts it because of its name. */
export interface Aside {
  readonly from: string;
  readonly to: string;
}

/**
 * Renames what a command has created where other programs would run it: whatever is in `after` and
 * was not in `before`. Leaves the files of a repository as `git init` and `git clone` write them,
 * and what lies in a path of `granted`. Must be called once nothing that the command started runs
 * any more.
 */
export async function putAside(before: Survey, after: Survey, granted: readonly string[]): Promise<Aside[]> {
  const known = new Set(before.guarded.values());
  const put: Aside[] = [];
  for (const [path, identity] of after.guarded) {
    if (known.has(identity) || granted.some((scope) => isWithin(scope, path)) || (await isHarmless(path))) continue;
    const to = await freeName(path);
    try {
      await rename(path, to);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue; // another process removed it
      throw error;
    }
    put.push({ from: path, to });
  }
  return put;
}

async function isHarmless(path: string): Promise<boolean> {
  if (basename(path) === 'hooks') return await hasSamplesOnly(path);
  if (basename(path) !== 'config') return false;
  const text = await readOwn(path);
  return text !== undefined && isHarmlessConfig(text);
}

async function hasSamplesOnly(path: string): Promise<boolean> {
  try {
    return (await readdir(path, { withFileTypes: true })).every(
      (hook) => hook.isFile() && hook.name.endsWith('.sample'),
    );
  } catch {
    return false;
  }
}

/**
 * Reads a file that has only one name: through another one it could be changed later, unnoticed.
 */
async function readOwn(path: string): Promise<string | undefined> {
  const { O_RDONLY, O_NONBLOCK = 0, O_NOFOLLOW = 0 } = constants;
  try {
    if (!(await lstat(path)).isFile()) return undefined;
    await using handle = await open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
    const found = await handle.stat();
    if (!found.isFile() || found.nlink !== 1 || found.size > 65_536) return undefined;
    return (await handle.readFile()).toString('latin1');
  } catch {
    return undefined; // not known to be harmless
  }
}

async function freeName(path: string): Promise<string> {
  for (let n = 1; ; n++) {
    const name = `${path}.put-aside${n === 1 ? '' : `-${n}`}`;
    if ((await identify(name)) === undefined) return name;
  }
}
