import { constants, type Stats } from 'node:fs';
import { type FileHandle, lstat, open, readlink, realpath, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { CofferError, isCofferError } from '../../../errors.ts';
import { isWithin } from '../../permissions.ts';
import { isInRepository } from '../../sandbox/survey.ts';
import type { ToolPlan, ToolScope } from '../tool.ts';
import { Closed } from './closed.ts';
import { guardOf, secretOf } from './guarded.ts';

/** A real path, and how it is shown. */
export interface NamedPath {
  /** If nothing exists there yet, the path it would have. */
  readonly path: string;
  /** Relative to the working directory if it is in it. */
  readonly shown: string;
}

/** A path that a model named, and where it really leads. */
export interface Spot extends NamedPath {
  readonly inside: boolean;
  /** The file or directory there; undefined if there is none. */
  readonly found: Stats | undefined;
}

/**
 * Resolves a path, following links as far as it exists. Throws `FAILED` if the result is closed to
 * tools or the last part is a dangling link, and system errors.
 */
export async function locate(path: string, place: ToolScope): Promise<Spot> {
  const directory = await realpath(place.directory);
  const named = resolve(directory, expand(path, place));
  const real = await realPath(named);
  await (await Closed.in(place)).refuse(real, path);
  const inside = isWithin(directory, real);
  const shown = inside ? relative(directory, real) || '.' : real;
  return { path: real, shown, inside, found: await lstat(real).catch(nothingThere) };
}

/** A request for access to a path. */
export interface Wish {
  readonly kind: 'read' | 'write';
  readonly spot: Spot;
  readonly about: string;
}

/**
 * Plans access to a path. Inside the working directory the rule has no scope; outside, its scope is
 * the path itself, so that the rule says nothing about what is there. A guarded path has its own
 * rule inside the working directory too. An error of `make` that is meant for the model becomes the
 * plan's fault: it must not reveal what a rule hides.
 */
export async function planAt(
  { kind, spot, about }: Wish,
  place: ToolScope,
  make: () => Promise<Pick<ToolPlan, 'run'> & Partial<ToolPlan>>,
): Promise<ToolPlan> {
  const why = kind === 'write' ? await whyFixed(spot.path, place) : whySecret(spot.path);
  const rule = spot.inside && why === undefined ? kind : `${kind}:${spot.path}`;
  const note = why === undefined ? '' : `; ${why}`;
  const base = { rule, path: spot.path, ...(why === undefined ? {} : { guarded: true }) };
  try {
    const made = await make();
    return { ...base, ...made, about: `${made.about ?? about}${note}` };
  } catch (error) {
    if (!isForModel(error)) throw error;
    const fault = error;
    return {
      ...base,
      about: `${about}, which will fail: ${fault.message}${note}`,
      fault,
      run: () => Promise.reject(fault),
    };
  }
}

async function whyFixed(path: string, { own = [] }: ToolScope): Promise<string | undefined> {
  if (own.some((code) => isWithin(code, path))) return 'coffer runs this file';
  const isFixed = guardOf(path) !== undefined || (await isInRepository(path));
  return isFixed ? 'other programs run or trust this file' : undefined;
}

function whySecret(path: string): string | undefined {
  return secretOf(path) === undefined ? undefined : 'such files usually hold a secret';
}

/**
 * Tells whether a thrown value describes a problem with the call rather than a bug in the program.
 */
export function isForModel(error: unknown): error is Error {
  return isCofferError(error) || (error instanceof Error && 'syscall' in error && 'code' in error);
}

/**
 * Resolves the deepest existing part of `path` and appends the rest. Throws `FAILED` for a dangling
 * link.
 */
export async function realPath(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || path === dirname(path)) throw error;
  }
  const found = await lstat(path).catch(nothingThere);
  if (found?.isSymbolicLink()) throw new CofferError('FAILED', `${path} is a dangling symbolic link`);
  return join(await realPath(dirname(path)), basename(path));
}

/**
 * Opens the regular file at `spot` for reading. Throws `FAILED` if it was replaced since it was
 * located, is not a regular file, or is closed to tools. Never opens anything that blocks or has
 * side effects when opened.
 */
export async function openFile(spot: NamedPath, closed: Closed): Promise<FileHandle> {
  const before = await lstat(spot.path);
  refuseOther(before, spot.shown);
  const { O_RDONLY, O_NONBLOCK = 0, O_NOFOLLOW = 0, O_NOCTTY = 0 } = constants;
  const handle = await open(spot.path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY);
  try {
    refuseOther(await handle.stat(), spot.shown);
    await refuseMoved(handle, spot, closed);
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/**
 * Opens the directory at `spot`. Throws `FAILED` if it is no longer the same directory: whatever is
 * then done through the descriptor can't be redirected.
 */
export async function openDirectory(spot: NamedPath, closed: Closed): Promise<FileHandle> {
  const { O_RDONLY, O_DIRECTORY = 0, O_NOFOLLOW = 0 } = constants;
  const handle = await open(spot.path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  try {
    await refuseMoved(handle, spot, closed);
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/**
 * Returns a path that reaches an open directory whatever happens to its original path; that path
 * itself on systems without such names.
 */
export function reach(handle: FileHandle, path: string): string {
  return process.platform === 'linux' ? `/proc/self/fd/${handle.fd}` : path;
}

/** Throws `FAILED` for anything but a regular file. */
export function refuseOther(found: Stats, shown: string): void {
  if (found.isFile()) return;
  throw new CofferError('FAILED', `${shown} is ${kindOf(found)}, not a regular file`);
}

/**
 * A link, or a directory on the way, may have been replaced after the path was checked: verifies
 * that the open file is the intended one.
 */
async function refuseMoved(handle: FileHandle, spot: NamedPath, closed: Closed): Promise<void> {
  if (!(await isAt(handle, spot.path))) {
    throw new CofferError('FAILED', `${spot.shown} was replaced while it was being opened`);
  }
  await closed.refuse(spot.path, spot.shown);
}

/**
 * On Linux the system tells where an open file is. Elsewhere the path is checked again, which an
 * attacker who swaps it twice in between can deceive.
 */
async function isAt(handle: FileHandle, path: string): Promise<boolean> {
  if (process.platform === 'linux') return (await readlink(`/proc/self/fd/${handle.fd}`)) === path;
  const [opened, named] = await Promise.all([handle.stat({ bigint: true }), stat(path, { bigint: true })]);
  return opened.dev === named.dev && opened.ino === named.ino && (await realpath(path)) === path;
}

function expand(path: string, place: ToolScope): string {
  if (path !== '~' && !path.startsWith('~/')) return path;
  return join(place.env['HOME'] || homedir(), path.slice(1));
}

function kindOf(found: Stats): string {
  if (found.isDirectory()) return 'a directory';
  if (found.isSymbolicLink()) return 'a symbolic link';
  if (found.isFIFO()) return 'a pipe';
  if (found.isSocket()) return 'a socket';
  return 'a device';
}

function nothingThere(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
