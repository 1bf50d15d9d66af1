import {
  type BigIntStats,
  closeSync,
  constants,
  fdatasyncSync,
  fdatasync as fdatasyncWithCallback,
  fstatSync,
  lstatSync,
  openSync,
} from 'node:fs';
import { promisify } from 'node:util';
import { notSaved } from './reason.ts';
import type { Stamp } from './replace.ts';
import { writeAll, writeAllSync } from './write.ts';

/**
 * Adds `bytes` behind the end of the file at `path`, which must still be the one that `at` names, and
 * returns its new stamp. When the promise resolves the bytes are durable and the path still names that
 * file. The caller must leave `bytes` alone until the promise settles.
 *
 * Throws `NOT_SAVED` on any failure and never tries again: what stands behind `at.size` is unknown then,
 * and the caller must overwrite the whole file from memory. (After an EIO the next fdatasync would answer
 * "fine" while the disk still holds the old bytes.)
 */
export async function appendFile(path: string, at: Stamp, bytes: Uint8Array): Promise<Stamp> {
  try {
    using end = openEnd(path, at);
    const size = await writeAll(end.file, [bytes], at.size);
    await fdatasync(end.file);
    return confirm(path, { ...at, size });
  } catch (error) {
    throw unsaved(path, error);
  }
}

/** Does what {@link appendFile} does, synchronously: for a signal handler. */
export function appendFileSync(path: string, at: Stamp, bytes: Uint8Array): Stamp {
  try {
    using end = openEnd(path, at);
    const size = writeAllSync(end.file, [bytes], at.size);
    fdatasyncSync(end.file);
    return confirm(path, { ...at, size });
  } catch (error) {
    throw unsaved(path, error);
  }
}

function openEnd(path: string, at: Stamp): Disposable & { file: number } {
  const file = openSync(path, constants.O_WRONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0));
  try {
    mustBe(at, fstatSync(file, { bigint: true }));
  } catch (error) {
    closeSync(file);
    throw error;
  }
  return { file, [Symbol.dispose]: () => closeSync(file) };
}

function confirm(path: string, stamp: Stamp): Stamp {
  mustBe(stamp, lstatSync(path, { bigint: true }));
  return stamp;
}

function mustBe(stamp: Stamp, found: BigIntStats): void {
  if (!found.isFile() || found.dev !== stamp.dev || found.ino !== stamp.ino || found.size !== BigInt(stamp.size)) {
    throw new Error('changed by something else');
  }
}

function unsaved(path: string, error: unknown): Error {
  return notSaved('cannot append to', path, error, 'its end is unknown now, overwrite it');
}

const fdatasync = promisify(fdatasyncWithCallback);
