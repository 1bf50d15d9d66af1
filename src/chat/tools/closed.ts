import { readdir, realpath, stat, statfs } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { CofferError } from '../../errors.ts';
import { isWithin } from '../permissions.ts';
import type { Place } from './tool.ts';

/**
 * What no tool may touch, whatever was granted: what is protected in a place, by whatever name it is reached (a mount, another link to the
 * same file), and what the system makes up: processes, devices, the kernel's settings. Looked up once for a call.
 */
export class Closed {
  /** The real paths of what is protected, as far as they exist; what is not there yet keeps its name below them. */
  readonly paths: readonly string[];
  readonly #identities: ReadonlySet<string>;
  /** Directories that were found open: what lies in one needs to be looked at by itself only. */
  readonly #open: Set<string> = new Set();

  private constructor(paths: readonly string[], identities: ReadonlySet<string>) {
    this.paths = paths;
    this.#identities = identities;
  }

  /** Looks up what is closed in a place. */
  static async in(place: Place): Promise<Closed> {
    const paths = await Promise.all(place.protected.map((path) => existing(resolve(path))));
    const identities = (await Promise.all(paths.map(identitiesIn))).flat();
    return new Closed(paths, new Set(identities));
  }

  /** Throws `FAILED` where a real path is closed. */
  async refuse(real: string, shown: string): Promise<void> {
    const why = await this.why(real);
    if (why !== undefined) throw new CofferError('FAILED', `${shown} is closed to tools: ${why}`);
  }

  /** Says why a real path is closed; undefined where it is not. */
  async why(real: string): Promise<string | undefined> {
    if (MADE_UP.some((root) => isWithin(root, real)) || (await isMadeUp(real))) return SYSTEM;
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

const OURS = "it is coffer's own, or keeps a key";
const SYSTEM = 'it is no file on a disk but made up by the system';
const MADE_UP = process.platform === 'win32' ? [] : ['/proc', '/sys', '/dev'];

/** The file systems of Linux that have processes, devices or the kernel's settings in them, wherever they are mounted (`statfs(2)`). */
const MADE_UP_TYPES: ReadonlySet<number> = new Set([
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

async function isMadeUp(path: string): Promise<boolean> {
  if (process.platform !== 'linux') return false;
  try {
    return MADE_UP_TYPES.has((await statfs(path)).type);
  } catch (error) {
    if (!isAbsent(error) || path === dirname(path)) throw error;
    return await isMadeUp(dirname(path));
  }
}

/** What is protected is known by its identity too, and so is what lies in it directly: each may be mounted, or linked, elsewhere. */
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
    // Not there, or not for us to look at: then there is nothing to compare, and nothing a tool could open either.
    return undefined;
  }
}

/** A file, what is not there, and a directory whose names are not for us to see: known by their own identity alone. */
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
