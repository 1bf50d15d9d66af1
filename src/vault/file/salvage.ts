import { lstatSync } from 'node:fs';
import { basename, join, resolve, sep } from 'node:path';
import { decodeHeader, type Header } from '../../envelope/format.ts';
import { type Salvaged, salvage } from '../../envelope/salvage.ts';
import { unpackSegment } from '../../envelope/segment.ts';
import { CofferError, isCofferError } from '../../errors.ts';
import { namesIn, openReader } from '../../files/reader.ts';
import { isSystemError } from '../../files/reason.ts';
import { isOwnName } from '../conflicting.ts';
import type { Unlocked } from '../keys/options.ts';
import { isFileId } from '../lease.ts';
import type { Vault } from '../vault.ts';

/** The largest file that is looked at, in bytes: none that coffer could read is larger. */
const LIMIT = 2 ** 31 - 1;

/** What could be found in a damaged file. */
export interface SalvagedFile {
  /** Where it is, and stays. */
  readonly path: string;
  readonly fileId: string;
  /** Every byte of it is what was sealed. */
  readonly intact: boolean;
  /** It is intact and in its place in the vault: there is nothing to salvage. */
  readonly opens: boolean;
  /** The lines (NDJSON) of one segment after the other; undefined stands for some that are lost. */
  readonly lines: Iterable<Buffer | undefined>;
  /** The newest summary that verifies. */
  readonly summary: Buffer | undefined;
  /** That summary is the file's last one: what it counts is all there was. */
  readonly isLast: boolean;
}

/**
 * Finds a file by what people may call it, before it is looked for among the rows: a path, a file id, a name in quarantine,
 * that of a conflicting copy. Gives its path, or undefined where it is none of them.
 */
export function locateFile(directory: string, which: string): string | undefined {
  if (which.includes('/') || which.includes(sep)) return resolve(which);
  if (isFileId(which) && isThere(sealedPath(directory, which))) return sealedPath(directory, which);
  const inQuarantine = join(directory, 'quarantine');
  if (namesIn(inQuarantine).includes(which)) return join(inQuarantine, which);
  return !isOwnName(which) && isThere(sealedPath(directory, which)) ? sealedPath(directory, which) : undefined;
}

/** Where a vault keeps a sealed file. */
export function sealedPath(directory: string, fileId: string): string {
  return join(directory, 'sessions', fileId);
}

/** Tells whether something has that name, relative to where coffer was started. */
export function isThere(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return false; // what can't even be looked at is not what was meant
  }
}

/**
 * Finds everything in a session's file that verifies with the key of the vault. Changes nothing, and makes no vault where there
 * is none. Throws `SESSION_NOT_FOUND` where there is no such file, `UNAUTHENTIC` where nothing in it verifies, `KEY_OTHER`,
 * `NEWER_VERSION`, `KEY_*`, and `FAILED` for what is no regular file.
 */
export async function salvageFile(vault: Vault, path: string): Promise<SalvagedFile> {
  const bytes = readAll(path);
  const { vaultFile, vaultFileError, sealedFiles } = await vault.inspect();
  if (!vaultFile && !vaultFileError && sealedFiles === 0) {
    throw new CofferError('KEY_NOT_FOUND', `there is no vault in ${vault.directory}, and so no key to open ${path}`);
  }
  const keys = await vault.unlock();
  const name = basename(path);
  const fileId = name.slice(0, 32);
  const found = explained(name, bytes, keys, isFileId(fileId) ? [fileId] : []);
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

/** Where nothing verifies the header may say why, if it can be believed: another key, a newer version, another kind of file. */
function explained(name: string, bytes: Buffer, { key, retiring }: Unlocked, fileIds: readonly string[]): Salvaged {
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
    const what = isOther ? `it is no file of a session: ${header.kind}` : cause.message;
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
