import { constants, fsyncSync, openSync, renameSync, symlinkSync, unlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { CofferError, isCofferError } from '../../errors.ts';
import { fsync } from '../descriptor/aside.ts';
import { closeUnwritten } from '../descriptor/close.ts';
import { totalLength, writeAll, writeAllSync } from '../descriptor/write.ts';
import { isSystemError, notSaved, reasonOf } from '../reason.ts';
import { Draft, failureOf, type Stamp } from './draft.ts';
import { temporaryName } from './temporary.ts';

export type { Stamp } from './draft.ts';

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
  using parent = new Parent(path);
  const draft = parent.draft();
  let stamp: Stamp;
  try {
    draft.restrict();
    await writeAll(draft.file, parts, 0);
    await fsync(draft.file);
    stamp = draft.finish(totalLength(parts));
    if (guard.abandoned?.()) throw new Error('overtaken by a later save');
    // Synchronous, so that it can't land after a final save that ran in between.
    draft.rename();
  } catch (error) {
    throw unsaved(path, error, draft.discard());
  }
  await parent.flush();
  return stamp;
}

/** Like {@link replaceFile}, but synchronous, for a signal handler. */
export function replaceFileSync(path: string, parts: readonly Uint8Array[]): Stamp {
  using parent = new Parent(path);
  const draft = parent.draft();
  let stamp: Stamp;
  try {
    draft.restrict();
    writeAllSync(draft.file, parts, 0);
    fsyncSync(draft.file);
    stamp = draft.finish(totalLength(parts));
    draft.rename();
  } catch (error) {
    throw unsaved(path, error, draft.discard());
  }
  parent.flushSync();
  return stamp;
}

/**
 * Creates `path` with the content of `parts`, complete and durable from the moment its name exists.
 * Returns undefined if the name is taken: of several processes exactly one gets a stamp. The
 * directory is flushed for the losers too, so that they can rely on the winner's file. Throws like
 * {@link replaceFile}.
 */
export async function createFile(path: string, parts: readonly Uint8Array[]): Promise<Stamp | undefined> {
  using parent = new Parent(path);
  const draft = parent.draft();
  let stamp: Stamp | undefined;
  try {
    draft.restrict();
    await writeAll(draft.file, parts, 0);
    await fsync(draft.file);
    const finished = draft.finish(totalLength(parts));
    stamp = draft.link() ? finished : undefined;
  } catch (error) {
    throw unsaved(path, error, draft.discard());
  }
  try {
    unlinkSync(draft.name);
  } catch (error) {
    // The process that was first may have swept it already.
    if (!isSystemError(error, 'ENOENT')) throw durabilityUnknown(path, error);
  }
  await parent.flush();
  return stamp;
}

/**
 * Points the symbolic link `path` at `target`, whatever was there before. Durable on return. Throws
 * `NOT_SAVED`, also if the system has no symbolic links (EPERM on Windows without the privilege),
 * and `DURABILITY_UNKNOWN`.
 */
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

function pointOnce(path: string, target: string): void {
  using parent = new Parent(path);
  const temp = temporaryName(path);
  let isThere = false;
  try {
    symlinkSync(target, temp, 'file');
    isThere = true;
    renameSync(temp, path);
  } catch (error) {
    const failure = isThere ? failureOf('its temporary link is left behind', () => unlinkSync(temp)) : undefined;
    throw unsaved(path, error, failure === undefined ? [] : [failure]);
  }
  parent.flushSync();
}

/** The directory of a file that is being replaced, open so that only its fsync can still fail. */
class Parent implements Disposable {
  readonly #path: string;
  /** Undefined on Windows, which has no directory fsync. */
  readonly #descriptor: number | undefined;

  /** Opens the directory of `path`. Throws `NOT_SAVED`. */
  constructor(path: string) {
    this.#path = path;
    try {
      this.#descriptor = process.platform === 'win32' ? undefined : openSync(dirname(path), constants.O_RDONLY);
    } catch (error) {
      throw unsaved(path, error);
    }
  }

  /** Throws `NOT_SAVED`. */
  draft(): Draft {
    try {
      return new Draft(this.#path);
    } catch (error) {
      throw unsaved(this.#path, error);
    }
  }

  /** Throws `DURABILITY_UNKNOWN`. */
  async flush(): Promise<void> {
    try {
      if (this.#descriptor !== undefined) await fsync(this.#descriptor);
    } catch (error) {
      throw durabilityUnknown(this.#path, error);
    }
  }

  flushSync(): void {
    try {
      if (this.#descriptor !== undefined) fsyncSync(this.#descriptor);
    } catch (error) {
      throw durabilityUnknown(this.#path, error);
    }
  }

  [Symbol.dispose](): void {
    if (this.#descriptor !== undefined) closeUnwritten(this.#descriptor);
  }
}

function unsaved(path: string, error: unknown, failures: readonly string[] = []): CofferError {
  return notSaved('cannot write to', path, error, ['nothing is changed', ...failures].join('; '));
}

function durabilityUnknown(path: string, cause: unknown): CofferError {
  const what = `${path} was written, but its directory could not be flushed`;
  return new CofferError('DURABILITY_UNKNOWN', what, { reason: reasonOf(cause), advice: 'save again', cause });
}
