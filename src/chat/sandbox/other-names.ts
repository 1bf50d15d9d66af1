import { readFile, stat } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { isWithin } from '../permissions.ts';

/**
 * Finds the other paths of these files and directories: by a second mount of their file system, or
 * of a part of it.
 */
export async function otherNames(paths: readonly string[]): Promise<string[]> {
  // Exists on Linux only.
  const mounts = parseMounts(await readFile('/proc/self/mountinfo', 'utf8').catch(() => ''));
  const found = await Promise.all(paths.map((path) => namesOf(path, mounts)));
  return [...new Set(found.flat())];
}

/** A mounted file system, or a part of one: `root` is the part, `point` where it is. */
interface Mount {
  readonly device: string;
  readonly root: string;
  readonly point: string;
}

/** Parses the format of proc_pid_mountinfo(5). */
function parseMounts(text: string): Mount[] {
  return text.split('\n').flatMap((line) => {
    const [, , device, root, point] = line.split(' ');
    if (device === undefined || root === undefined || point === undefined) return [];
    return [{ device, root: unquote(root), point: unquote(point) }];
  });
}

async function namesOf(path: string, mounts: readonly Mount[]): Promise<string[]> {
  const own = mounts
    .filter(({ point }) => isWithin(point, path))
    .reduce<Mount | undefined>(
      (best, each) => (best && best.point.length > each.point.length ? best : each),
      undefined,
    );
  if (own === undefined) return [];
  const inside = join(own.root, relative(own.point, path));
  const names = mounts
    .filter((each) => each !== own && each.device === own.device)
    .flatMap(({ root, point }) => {
      if (isWithin(root, inside)) return [[join(point, relative(root, inside)), path] as const];
      return isWithin(inside, root) ? [[point, join(path, relative(inside, root))] as const] : [];
    });
  const same = await Promise.all(names.map(([name, original]) => isSame(name, original)));
  return names.filter((_, n) => same[n]).map(([name]) => name);
}

/** Tells whether two paths lead to the same file: another mount may cover one of them. */
async function isSame(a: string, b: string): Promise<boolean> {
  try {
    const [one, other] = await Promise.all([stat(a, { bigint: true }), stat(b, { bigint: true })]);
    return one.dev === other.dev && one.ino === other.ino;
  } catch {
    return false;
  }
}

function unquote(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 8)));
}
