import { readdir, realpath, stat, statfs } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { CofferError } from '../../../errors.ts';
import { isWithin } from '../../permissions.ts';
import type { ToolScope } from '../tool.ts';

/**
 * The paths that no tool may access, whatever was granted: the protected paths of a place, by
 * whatever name they are reached (a mount, a hard link), and virtual file systems: processes,
 * devices, kernel settings. Created once per call.
 */
export class Closed {
  /**
   * The real paths of the protected files and directories; a path that doesn't exist yet has its
   * missing part appended.
   */
  readonly paths: readonly string[];
  readonly #identities: ReadonlySet<string>;
  /**
   * Directories already checked and not closed: for a path in one of them, only the path itself
   * needs checking.
   */
  readonly #open: Set<string> = new Set();

  private constructor(paths: readonly string[], identities: ReadonlySet<string>) {
    this.paths = paths;
    this.#identities = identities;
  }

  /** Looks up the closed paths of a place. */
  static async in(place: ToolScope): Promise<Closed> {
    const paths = await Promise.all(place.protected.map((path) => existing(resolve(path))));
    const identities = (await Promise.all(paths.map(identitiesIn))).flat();
    return new Closed(paths, new Set(identities));
  }

  /** Throws `FAILED` if a real path is closed. */
  async refuse(real: string, shown: string): Promise<void> {
    const why = await this.why(real);
    if (why !== undefined) throw new CofferError('FAILED', `${shown} is closed to tools: ${why}`);
  }

  /** Returns why a real path is closed; undefined if it isn't. */
  async why(real: string): Promise<string | undefined> {
    if (VIRTUAL.some((root) => isWithin(root, real)) || (await isVirtual(real))) return SYSTEM;
    if (this.paths.some((path) => isWithin(path, real))) return OURS;
    const passed: string[] = [];
    for (let at = real; ; at = dirname(at)) {
      if (this.#open.has(at)) break;
      const identity = await identityOf(at);
      if (identity !== undefined && this.#identities.has(identity)) return OURS;
      if (at !== real) passed.push(at);
      if (at === dirname(at)) break;
    }
    for (const directory of passed) this.#open.add(directory);
    return undefined;
  }
}

const OURS = 'it belongs to coffer or holds a key';
const SYSTEM = 'it is not a file on disk but a virtual one of the system';
const VIRTUAL = process.platform === 'win32' ? [] : ['/proc', '/sys', '/dev'];

/**
 * The Linux file systems that expose processes, devices or kernel settings, wherever they are
 * mounted (`statfs(2)`).
 */
const VIRTUAL_TYPES: ReadonlySet<number> = new Set([
  0x9fa0, // proc
  0x62656572, // sysfs
  0x1cd1, // devpts
  0x64626720, // debugfs
  0x74726163, // tracefs
  0x73636673, // securityfs
  0x62656570, // configfs
  0x27e0eb, // cgroup
  0x63677270, // cgroup2
  0xcafe4a11, // bpf
]);

async function isVirtual(path: string): Promise<boolean> {
  if (process.platform !== 'linux') return false;
  try {
    return VIRTUAL_TYPES.has((await statfs(path)).type);
  } catch (error) {
    if (!isAbsent(error) || path === dirname(path)) throw error;
    return await isVirtual(dirname(path));
  }
}

/**
 * Protected paths, and the entries directly in them, are also recognised by their identity: each
 * may be mounted or linked elsewhere.
 */
async function identitiesIn(path: string): Promise<string[]> {
  const names = await readdir(path).catch(unreadable);
  const all = await Promise.all([path, ...names.map((name) => join(path, name))].map(identityOf));
  return all.filter((identity) => identity !== undefined);
}

async function identityOf(path: string): Promise<string | undefined> {
  try {
    const { dev, ino } = await stat(path, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    // Missing, or not accessible: there is nothing to compare, and nothing a tool could open
    // either.
    return undefined;
  }
}

/**
 * Returns no names for a file, a missing path, or a directory that can't be listed: they are
 * recognised only by their own identity.
 */
function unreadable(error: NodeJS.ErrnoException): string[] {
  if (['ENOTDIR', 'ENOENT', 'EACCES', 'EPERM'].includes(error.code ?? '')) return [];
  throw error;
}

async function existing(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if (!isAbsent(error) || path === dirname(path)) return path;
    return join(await existing(dirname(path)), basename(path));
  }
}

function isAbsent(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '');
}
