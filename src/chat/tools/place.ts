import { constants, type Stats } from 'node:fs';
import { type FileHandle, lstat, open, readlink, realpath, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { CofferError, isCofferError } from '../../errors.ts';
import { isWithin } from '../permissions.ts';
import { isInRepository } from '../sandbox/survey.ts';
import { Closed } from './closed.ts';
import { guardOf, secretOf } from './guarded.ts';
import type { Place, Plan } from './tool.ts';

/** A real path, and how it is shown. */
export interface NamedPath {
  /** Where nothing is there yet, the path of what it would be. */
  readonly path: string;
  /** Relative to the working directory where it is in it. */
  readonly shown: string;
}

/** A path a model named, and where that really is. */
export interface Spot extends NamedPath {
  readonly inside: boolean;
  /** What is there; undefined where nothing is. */
  readonly found: Stats | undefined;
}

/**
 * Finds out where a path leads: links followed, as far as it exists. Throws `FAILED` where that is closed to tools, or where the
 * last part is a link to nothing, and what the system answers.
 */
export async function locate(path: string, place: Place): Promise<Spot> {
  const directory = await realpath(place.directory);
  const named = resolve(directory, expand(path, place));
  const real = await realPath(named);
  await (await Closed.in(place)).refuse(real, path);
  const inside = isWithin(directory, real);
  const shown = inside ? relative(directory, real) || '.' : real;
  return { path: real, shown, inside, found: await lstat(real).catch(nothingThere) };
}

/** What is asked for at a path. */
export interface Wish {
  readonly kind: 'read' | 'write';
  readonly spot: Spot;
  readonly about: string;
}

/**
 * Plans something at a path. The rule is alone inside the working directory, outside it has the path itself, and says nothing about what is
 * there. A guarded path has a rule of its own in the working directory too. What `make` throws for the model to read becomes the plan's fault:
 * an error must not reveal what a rule hides.
 */
export async function planAt(
  { kind, spot, about }: Wish,
  place: Place,
  make: () => Promise<Pick<Plan, 'run'> & Partial<Plan>>,
): Promise<Plan> {
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
      about: `${about}, which can't be done: ${fault.message}${note}`,
      fault,
      run: () => Promise.reject(fault),
    };
  }
}

async function whyFixed(path: string, { own = [] }: Place): Promise<string | undefined> {
  if (own.some((code) => isWithin(code, path))) return 'coffer runs this file';
  const isFixed = guardOf(path) !== undefined || (await isInRepository(path));
  return isFixed ? 'other programs run or trust this file' : undefined;
}

function whySecret(path: string): string | undefined {
  return secretOf(path) === undefined ? undefined : 'such files usually hold a secret';
}

/** Tells whether something thrown says what is wrong with a call, and not with the program. */
export function isForModel(error: unknown): error is Error {
  return isCofferError(error) || (error instanceof Error && 'syscall' in error && 'code' in error);
}

/** The real path of the deepest part of `path` that exists, and the rest of it. Throws `FAILED` for a link to nothing. */
export async function realPath(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || path === dirname(path)) throw error;
  }
  const found = await lstat(path).catch(nothingThere);
  if (found?.isSymbolicLink()) throw new CofferError('FAILED', `${path} is a symbolic link to nothing`);
  return join(await realPath(dirname(path)), basename(path));
}

/**
 * Opens the regular file at `spot` for reading. What was put in its place since it was looked at, anything but a regular file, and what is
 * closed to tools are refused with `FAILED`; nothing that blocks or acts when it is opened ever is.
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

/** Opens the directory at `path`, which has to be that directory still: what is done by way of the descriptor can't be led elsewhere. */
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

/** The name under which an open directory is reached whatever happens to its path; the path itself where the system has none. */
export function reach(handle: FileHandle, path: string): string {
  return process.platform === 'linux' ? `/proc/self/fd/${handle.fd}` : path;
}

/** Throws `FAILED` for what is not a regular file. */
export function refuseOther(found: Stats, shown: string): void {
  if (found.isFile()) return;
  throw new CofferError('FAILED', `${shown} is ${kindOf(found)}, not a regular file`);
}

/** A link, or a directory on the way, may have been exchanged after the path was looked at: what is open must be what was meant. */
async function refuseMoved(handle: FileHandle, spot: NamedPath, closed: Closed): Promise<void> {
  if (!(await isAt(handle, spot.path))) {
    throw new CofferError('FAILED', `${spot.shown} was exchanged for something else while it was being opened`);
  }
  await closed.refuse(spot.path, spot.shown);
}

/** Linux tells where what is open is. Elsewhere it is looked at again, which somebody who exchanges it twice in between can deceive. */
async function isAt(handle: FileHandle, path: string): Promise<boolean> {
  if (process.platform === 'linux') return (await readlink(`/proc/self/fd/${handle.fd}`)) === path;
  const [opened, named] = await Promise.all([handle.stat({ bigint: true }), stat(path, { bigint: true })]);
  return opened.dev === named.dev && opened.ino === named.ino && (await realpath(path)) === path;
}

function expand(path: string, place: Place): string {
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
