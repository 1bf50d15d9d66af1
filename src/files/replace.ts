import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  linkSync,
  openSync,
  readdirSync,
  renameSync,
  symlinkSync,
  unlinkSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { CofferError, isCofferError } from '../errors.ts';
import { fsync } from './aside.ts';
import { closeUnwritten } from './close.ts';
import { isSystemError, notSaved, reasonOf } from './reason.ts';
import { totalLength, writeAll, writeAllSync } from './write.ts';

export { reasonOf } from './reason.ts';

/** Identifies one state of one file: its device and inode, and its length in bytes. */
export interface Stamp {
  readonly dev: bigint;
  readonly ino: bigint;
  readonly size: number;
}

/** A check that can stop an overwrite at the last moment. */
export interface ReplaceGuard {
  /**
   * Called right before the rename, with nothing able to run in between; true if a later save has
   * landed.
   */
  readonly abandoned?: () => boolean;
}

/**
 * Writes `parts`, in order, to `path`, replacing any file there. When the promise resolves, the new
 * content is durable under its name and the file has mode 0600, whatever the umask and the previous
 * mode; a symbolic link at the path is replaced, never followed.
 *
 * The caller must not change `parts` until the promise settles. Throws `NOT_SAVED` if the old copy
 * is still in place, untouched (the disk is full, the directory is gone, `guard` said abandoned,
 * …), and `DURABILITY_UNKNOWN` if the new copy is in place and only flushing its directory failed.
 */
export async function replaceFile(
  path: string,
  parts: readonly Uint8Array[],
  guard: ReplaceGuard = {},
): Promise<Stamp> {
  using place = openPlace(path);
  const draft = openDraft(place);
  let stamp: Stamp;
  try {
    await writeAll(draft.file, parts, 0);
    await fsync(draft.file);
    stamp = finish(draft, parts);
    if (guard.abandoned?.()) {
      throw new Error('overtaken by a later save');
    }
    // Synchronous, so that it can't land after a final save that ran in between.
    renameSync(place.temp, path);
  } catch (error) {
    throw discard(place, error, draft);
  }
  await flush(place);
  return stamp;
}

/** Like {@link replaceFile}, but synchronous, for a signal handler. */
export function replaceFileSync(path: string, parts: readonly Uint8Array[]): Stamp {
  using place = openPlace(path);
  const draft = openDraft(place);
  let stamp: Stamp;
  try {
    writeAllSync(draft.file, parts, 0);
    fsyncSync(draft.file);
    stamp = finish(draft, parts);
    renameSync(place.temp, path);
  } catch (error) {
    throw discard(place, error, draft);
  }
  flushSync(place);
  return stamp;
}

/**
 * Creates `path` with the content of `parts`, complete and durable from the moment its name exists.
 * Returns undefined if the name is taken: of several processes exactly one gets a stamp. The
 * directory is flushed for the losers too, so that they can rely on the winner's file. Throws like
 * {@link replaceFile}.
 */
export async function createFile(path: string, parts: readonly Uint8Array[]): Promise<Stamp | undefined> {
  using place = openPlace(path);
  const draft = openDraft(place);
  let stamp: Stamp | undefined;
  try {
    await writeAll(draft.file, parts, 0);
    await fsync(draft.file);
    const finished = finish(draft, parts);
    stamp = linkUnlessThere(place) ? finished : undefined;
  } catch (error) {
    throw discard(place, error, draft);
  }
  try {
    unlinkSync(place.temp);
  } catch (error) {
    // The process that was first may have swept it already.
    if (!isSystemError(error, 'ENOENT')) throw durabilityUnknown(place, error);
  }
  await flush(place);
  return stamp;
}

/**
 * Points the symbolic link `path` at `target`, whatever was there before. Durable on return. Throws
 * `NOT_SAVED`, also if the system has no symbolic links (EPERM on Windows without the privilege),
 * and `DURABILITY_UNKNOWN`.
 */
export async function pointLink(path: string, target: string): Promise<void> {
  using place = openPlace(path);
  placeLink(place, target);
  await flush(place);
}

/** Like {@link pointLink}, but synchronous. */
export function pointLinkSync(path: string, target: string): void {
  try {
    pointOnce(path, target);
  } catch (error) {
    // Another process has swept the temporary file, mistaking it for that of a dead process; it
    // won't sweep one with a new name.
    if (!isCofferError(error, 'NOT_SAVED') || !isSystemError(error.cause, 'ENOENT')) throw error;
    pointOnce(path, target);
  }
}

/**
 * Removes the temporary files of interrupted overwrites in `directory` whose names `isIdle`
 * accepts. Returns how many were removed, 0 if the directory doesn't exist. The caller must know
 * that no save of such a name is in progress. Throws `FAILED`.
 */
export function sweepTemps(directory: string, isIdle: (name: string) => boolean): number {
  try {
    const temps = readdirSync(directory).filter((entry) => {
      const name = tempOf(entry);
      return name !== undefined && isIdle(name);
    });
    for (const temp of temps) {
      unlinkSync(join(directory, temp));
    }
    return temps.length;
  } catch (cause) {
    if (isSystemError(cause, 'ENOENT')) return 0; // the directory doesn't exist yet, or another process has swept it
    throw new CofferError('FAILED', `cannot clear unfinished saves from ${directory}`, {
      reason: reasonOf(cause),
      cause,
    });
  }
}

interface TemporaryPlace extends Disposable {
  readonly path: string;
  readonly temp: string;
  /** An open descriptor of the directory; undefined on Windows, which has no directory fsync. */
  readonly directory: number | undefined;
}

interface Draft {
  readonly file: number;
  closed: boolean;
}

// The directory is opened first, so that after the rename only its fsync can fail.
function openPlace(path: string): TemporaryPlace {
  const temp = join(dirname(path), `.${basename(path)}.${randomBytes(8).toString('hex')}.tmp`);
  try {
    const directory = process.platform === 'win32' ? undefined : openSync(dirname(path), constants.O_RDONLY);
    return { path, temp, directory, [Symbol.dispose]: () => directory !== undefined && closeUnwritten(directory) };
  } catch (error) {
    throw unsaved(path, error);
  }
}

function openDraft(place: TemporaryPlace): Draft {
  const draft = { file: createTemp(place), closed: false };
  try {
    fchmodSync(draft.file, 0o600);
  } catch (error) {
    throw discard(place, error, draft);
  }
  return draft;
}

function createTemp(place: TemporaryPlace): number {
  try {
    return openSync(place.temp, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | NO_FOLLOW, 0o600);
  } catch (error) {
    throw unsaved(place.path, error);
  }
}

function finish(draft: Draft, parts: readonly Uint8Array[]): Stamp {
  const { dev, ino, size } = fstatSync(draft.file, { bigint: true });
  if (size !== BigInt(totalLength(parts))) {
    throw new Error(`${size} of ${totalLength(parts)} bytes were written`);
  }
  close(draft);
  return { dev, ino, size: Number(size) };
}

function close(draft: Draft): void {
  if (!draft.closed) {
    // Set first: the descriptor is released even if its close reports an error.
    draft.closed = true;
    closeSync(draft.file);
  }
}

function linkUnlessThere(place: TemporaryPlace): boolean {
  try {
    linkSync(place.temp, place.path);
    return true;
  } catch (error) {
    if (isSystemError(error, 'EEXIST')) {
      return false;
    }
    throw error;
  }
}

function pointOnce(path: string, target: string): void {
  using place = openPlace(path);
  placeLink(place, target);
  flushSync(place);
}

function placeLink(place: TemporaryPlace, target: string): void {
  try {
    symlinkSync(target, place.temp, 'file');
  } catch (error) {
    throw unsaved(place.path, error);
  }
  try {
    renameSync(place.temp, place.path);
  } catch (error) {
    throw discard(place, error);
  }
}

function discard(place: TemporaryPlace, error: unknown, draft?: Draft): CofferError {
  const failures = [
    draft && failureOf('closing the unfinished copy failed', () => close(draft)),
    failureOf(`${basename(place.temp)} is left behind`, () => unlinkSync(place.temp)),
  ];
  return unsaved(place.path, error, ...failures.filter((failure) => failure !== undefined));
}

function failureOf(what: string, step: () => void): string | undefined {
  try {
    step();
    return undefined;
  } catch (error) {
    return `${what} (${reasonOf(error)})`;
  }
}

function unsaved(path: string, error: unknown, ...failures: string[]): CofferError {
  return notSaved('cannot write to', path, error, ['nothing is changed', ...failures].join('; '));
}

async function flush(place: TemporaryPlace): Promise<void> {
  try {
    if (place.directory !== undefined) await fsync(place.directory);
  } catch (error) {
    throw durabilityUnknown(place, error);
  }
}

function flushSync(place: TemporaryPlace): void {
  try {
    if (place.directory !== undefined) fsyncSync(place.directory);
  } catch (error) {
    throw durabilityUnknown(place, error);
  }
}

function durabilityUnknown(place: TemporaryPlace, cause: unknown): CofferError {
  const what = `${place.path} was written, but its directory could not be flushed`;
  return new CofferError('DURABILITY_UNKNOWN', what, { reason: reasonOf(cause), advice: 'save again', cause });
}

/** Returns the name of the file that a temporary file was to replace. */
function tempOf(entry: string): string | undefined {
  return /^\.(.+)\.[0-9a-f]{16}\.tmp$/.exec(entry)?.[1];
}

// Windows has no such flag; creating links there requires a privilege.
const NO_FOLLOW = constants.O_NOFOLLOW ?? 0;
