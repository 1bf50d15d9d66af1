import { constants } from 'node:fs';
import { lstat, open, readdir, rename } from 'node:fs/promises';
import { basename } from 'node:path';
import { isWithin } from '../permissions.ts';
import { isHarmlessConfig } from './git-config.ts';
import { identify, type Survey } from './survey.ts';

/** Something that was renamed, so that no program takes it for what its name said. */
export interface Aside {
  readonly from: string;
  readonly to: string;
}

/**
 * Renames what a command has put where other programs run it: whatever of `after` was not there in `before`. The files of a repository as
 * `git init` and `git clone` write them stay, and so does what lies in a path of `granted`. Nothing may run in the directory any more that the
 * command started.
 */
export async function putAside(before: Survey, after: Survey, granted: readonly string[]): Promise<Aside[]> {
  const known = new Set(before.guarded.values());
  const put: Aside[] = [];
  for (const [path, identity] of after.guarded) {
    if (known.has(identity) || granted.some((scope) => isWithin(scope, path)) || (await isHarmless(path))) continue;
    const to = await freeName(path);
    await rename(path, to);
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

/** A second name of the file could be written to later, without anybody seeing that this one changes. */
async function readOwn(path: string): Promise<string | undefined> {
  const { O_RDONLY, O_NONBLOCK = 0, O_NOFOLLOW = 0 } = constants;
  try {
    if (!(await lstat(path)).isFile()) return undefined;
    await using handle = await open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
    const found = await handle.stat();
    if (!found.isFile() || found.nlink !== 1 || found.size > 65_536) return undefined;
    return (await handle.readFile()).toString('latin1');
  } catch {
    return undefined; // then it can't be called harmless
  }
}

async function freeName(path: string): Promise<string> {
  for (let n = 1; ; n++) {
    const name = `${path}.put-aside${n === 1 ? '' : `-${n}`}`;
    if ((await identify(name)) === undefined) return name;
  }
}
