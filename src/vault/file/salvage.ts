import { lstatSync } from 'node:fs';
import { basename, join, resolve, sep } from 'node:path';
import { decodeHeader, type Header } from '../../envelope/format.ts';
import { type Salvaged, salvage } from '../../envelope/salvage.ts';
import { unpackSegment } from '../../envelope/segment.ts';
import { CofferError, isCofferError } from '../../errors.ts';
import { namesIn, openReader } from '../../files/reader.ts';
import { isSystemError } from '../../files/reason.ts';
import { isOwnName } from '../conflicting.ts';
import { inspectDirectory } from '../inspect.ts';
import type { Unlocked } from '../keys/options.ts';
import { isFileId } from '../lease.ts';
import type { Vault } from '../vault.ts';

/** Size limit in bytes: coffer can read no larger file. */
const LIMIT = 2 ** 31 - 1;

/** The recoverable content of a damaged file. */
export interface SalvagedFile {
  /** Path of the file, which stays where it is. */
  readonly path: string;
  readonly fileId: string;
  /** Whether every byte verifies. */
  readonly intact: boolean;
  /** Whether it is intact and in its place in the vault, so that there is nothing to salvage. */
  readonly opens: boolean;
  /** The lines (NDJSON) of one segment after another; undefined marks a gap of lost lines. */
  readonly lines: Iterable<Buffer | undefined>;
  /** The newest summary that verifies. */
  readonly summary: Buffer | undefined;
  /** Whether that summary is the file's last one, so that its counts are complete. */
  readonly isLast: boolean;
}

/**
 * Resolves what the user may call a file before it is looked up among the rows of the list: a path,
 * a file id, a name in quarantine, or that of a conflicting copy. Returns its path, or undefined if
 * it is none of these.
 */
export function locateFile(directory: string, which: string): string | undefined {
  if (which.includes('/') || which.includes(sep)) return resolve(which);
  if (isFileId(which) && isThere(sealedPath(directory, which))) return sealedPath(directory, which);
  const inQuarantine = join(directory, 'quarantine');
  if (namesIn(inQuarantine).includes(which)) return join(inQuarantine, which);
  return !isOwnName(which) && isThere(sealedPath(directory, which)) ? sealedPath(directory, which) : undefined;
}

/** Returns the path of a sealed file in a vault. */
export function sealedPath(directory: string, fileId: string): string {
  return join(directory, 'sessions', fileId);
}

/** Tells whether anything is at that path, relative to the working directory. */
export function isThere(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return false; // an unreadable path is not what was meant
  }
}

/**
 * Finds everything in a session file that verifies with the vault key. Changes nothing, and doesn't
 * create a vault. Throws `SESSION_NOT_FOUND` if there is no such file, `UNAUTHENTIC` if nothing in
 * it verifies, `KEY_OTHER`, `NEWER_VERSION`, `KEY_*`, and `FAILED` if it isn't a regular file.
 */
export async function salvageFile(vault: Vault, path: string): Promise<SalvagedFile> {
  const bytes = readAll(path);
  const { vaultFile, vaultFileError, sealedFiles } = await inspectDirectory(vault.directory);
  if (!vaultFile && !vaultFileError && sealedFiles === 0) {
    throw new CofferError(
      'KEY_NOT_FOUND',
      `there is no vault in ${vault.directory}, so there is no key to open ${path}`,
    );
  }
  const keys = await vault.keys.unlocking.unlock();
  const name = basename(path);
  const fileId = name.slice(0, 32);
  const found = salvageBytes(name, bytes, keys, isFileId(fileId) ? [fileId] : []);
  const isInPlace = path === sealedPath(vault.directory, found.header.fileId);
  const last = found.frames.at(-1);
  return {
    path,
    fileId: found.header.fileId,
    intact: found.intact,
    opens: found.intact && isInPlace,
    lines: linesOf(found),
    summary: found.frames.findLast((frame) => frame.summary)?.summary,
    isLast: last?.summary !== undefined && found.unreached === 0,
  };
}

function readAll(path: string): Buffer {
  try {
    using reader = openReader(path);
    const { size } = reader.stamp;
    if (size > LIMIT) throw new CofferError('FAILED', `${path} is larger than any sealed file: ${size} bytes`);
    return reader.at(0, size);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause;
    throw new CofferError('SESSION_NOT_FOUND', `there is no file ${path}`, { cause });
  }
}

/**
 * Salvages a file. If nothing verifies, explains why from the header, if that can be believed:
 * another key, a newer version, another kind of file.
 */
function salvageBytes(name: string, bytes: Buffer, { key, retiring }: Unlocked, fileIds: readonly string[]): Salvaged {
  const keys = retiring ? [key, retiring] : [key];
  try {
    return salvage(bytes, keys, fileIds);
  } catch (cause) {
    if (!isCofferError(cause)) throw cause;
    const header = headerOf(name, bytes);
    if (header && keys.every(({ id }) => id !== header.keyId)) {
      const what = `needs another key: ${header.keyId}, and this vault's is ${key.id}`;
      throw new CofferError('KEY_OTHER', `file ${name}: ${what}`, { cause });
    }
    const isOther = header !== undefined && header.kind !== 'session';
    const what = isOther ? `it is not a session file but a file of kind ${header.kind}` : cause.message;
    throw new CofferError('UNAUTHENTIC', `file ${name}: ${what}`, { cause });
  }
}

function headerOf(name: string, bytes: Buffer): Header | undefined {
  try {
    return decodeHeader(bytes);
  } catch (cause) {
    if (isCofferError(cause, 'UNAUTHENTIC')) return undefined;
    if (!isCofferError(cause)) throw cause;
    throw new CofferError(cause.code, `file ${name}: ${cause.message}`, { cause });
  }
}

function* linesOf({ frames, unreached }: Salvaged): Generator<Buffer | undefined> {
  for (const { segments } of frames) {
    for (const segment of segments) yield segment && unpackSegment(segment);
  }
  if (unreached > 0) yield undefined;
}
