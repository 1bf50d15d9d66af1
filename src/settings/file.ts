import { isUtf8 } from 'node:buffer';
import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, type Stats } from 'node:fs';
import { getSystemErrorMessage } from 'node:util';
import { CofferError } from '../errors.ts';

/** The maximum length of a settings file, in bytes. */
const MAX_LENGTH = 1_048_576;

/** The maximum nesting of settings. */
const MAX_DEPTH = 64;

/** The fault of settings nested deeper than {@link MAX_DEPTH}. */
export const tooDeep: string = `nested deeper than ${MAX_DEPTH} levels`;

/**
 * The owner of a settings file. The user's own may be a link and must not be writable by others; a
 * project's is never read through a link.
 */
export type Owner = 'own' | 'project';

/**
 * Reads a settings file as a JSON value; undefined if it doesn't exist. Throws `SETTINGS_INVALID`
 * if others can write it, or if it isn't a regular file or not valid JSON.
 */
export async function readSettingsFile(path: string, owner: Owner): Promise<{ readonly value: unknown } | undefined> {
  const text = await readSettingsText(path, owner);
  return text === undefined ? undefined : { value: await parseSettings(path, text) };
}

/**
 * Reads the text of a settings file, without a byte order mark. Throws like
 * {@link readSettingsFile}.
 */
export async function readSettingsText(path: string, owner: Owner): Promise<string | undefined> {
  const bytes = await readSettingsBytes(path, owner);
  return bytes && decode(path, bytes);
}

/**
 * Reads the bytes of a settings file. With `anybody`, it may belong to or be writable by others.
 * Throws `SETTINGS_INVALID` if it isn't a regular file. Reads synchronously, because every start
 * reads the settings: asynchronous reads would start four threads just to wait for one.
 */
export async function readSettingsBytes(path: string, owner: Owner | 'anybody'): Promise<Buffer | undefined> {
  const file = openFile(path, owner);
  if (file === undefined) return undefined;
  try {
    const stats = fstatSync(file);
    if (!stats.isFile()) throw refused(path, `is ${kindOf(stats)}, not a settings file; move it away`);
    if (owner === 'own') requireOurs(path, stats);
    return readBytes(path, file);
  } catch (error) {
    throw unreadable(path, error);
  } finally {
    closeSync(file);
  }
}

/** Parses a text as JSON. Throws `SETTINGS_INVALID` with line and column if it isn't valid. */
export async function parseSettings(path: string, text: string): Promise<unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw invalidSettings(path, [await describeJsonFault(text)]);
  }
  if (isNestedTooDeeply(value)) throw invalidSettings(path, [tooDeep]);
  return value;
}

/** Creates the error of a file with faults: each is an error of the cause, an AggregateError. */
export function invalidSettings(path: string, faults: readonly string[]): CofferError {
  const cause = new AggregateError(faults.map((fault) => new Error(`settings: ${fault}`)));
  const count = faults.length === 1 ? 'a fault' : `${faults.length} faults`;
  return new CofferError('SETTINGS_INVALID', `${path} has ${count}`, { cause });
}

function openFile(path: string, owner: Owner | 'anybody'): number | undefined {
  // Without O_NONBLOCK, opening a named pipe would wait for a writer.
  const { O_RDONLY, O_NONBLOCK = 0, O_NOFOLLOW = 0 } = constants;
  try {
    return openSync(path, O_RDONLY | O_NONBLOCK | (owner === 'project' ? O_NOFOLLOW : 0));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' && !isLink(path)) return undefined;
    if (code === 'ENOTDIR' && owner === 'project') return undefined; // commands that need the directory report the error
    if (code === 'ENOENT') throw refused(path, 'is a link to a missing file; remove it or restore the file');
    if (code === 'ELOOP' && owner === 'project') {
      throw refused(path, "is a symbolic link, but a project's settings must be a regular file; remove it");
    }
    throw unreadable(path, error);
  }
}

async function describeJsonFault(text: string): Promise<string> {
  const { findJsonFault } = await import('./json-fault.ts');
  try {
    const fault = findJsonFault(text);
    return `invalid JSON at line ${fault?.line ?? 1}, column ${fault?.column ?? 1}`;
  } catch (error) {
    if (error instanceof RangeError) return tooDeep; // it recurses into each level
    throw error;
  }
}

/**
 * Returns whether a value is nested deeper than settings may be. Checking or showing it recurses
 * into each level.
 */
export function isNestedTooDeeply(value: unknown): boolean {
  let level = [value];
  for (let depth = 0; depth <= MAX_DEPTH; depth++) {
    level = level.flatMap((each) => (typeof each === 'object' && each !== null ? Object.values(each) : []));
    if (level.length === 0) return false;
  }
  return true;
}

function isLink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

/**
 * Checks that only this user or root can write the file: anyone who can write the settings decides
 * where conversations are sent and what tools may do. Windows has no such modes.
 */
function requireOurs(path: string, { uid, mode }: Stats): void {
  const us = process.getuid?.();
  if (us === undefined) return;
  if (uid !== us && uid !== 0) {
    throw refused(
      path,
      `belongs to another user (uid ${uid}), who could change it; check it, then run: chown ${us} ${path}`,
    );
  }
  if ((mode & 0o022) !== 0) {
    const octal = (mode & 0o777).toString(8).padStart(3, '0');
    throw refused(path, `can be written by others (mode ${octal}); check it, then run: chmod go-w ${path}`);
  }
}

/**
 * Reads at most one byte over the limit: the size that `stat` reports for a file in /proc isn't its
 * length.
 */
function readBytes(path: string, file: number): Buffer {
  const buffer = Buffer.alloc(MAX_LENGTH + 1);
  let length = 0;
  for (;;) {
    const bytesRead = readSync(file, buffer, length, buffer.length - length, null);
    length += bytesRead;
    if (length > MAX_LENGTH) throw refused(path, 'is too large for a settings file, over 1 MiB; move it away');
    if (bytesRead === 0) return buffer.subarray(0, length);
  }
}

function decode(path: string, bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString('utf8').replace(/^\ufeff/, '');
  let start = 0;
  for (let line = 1; ; line++) {
    const end = bytes.indexOf(0x0a, start);
    const isLast = end === -1;
    if (isLast || !isUtf8(bytes.subarray(start, end))) throw invalidSettings(path, [`not UTF-8 in line ${line}`]);
    start = end + 1;
  }
}

function kindOf(stats: Stats): string {
  if (stats.isDirectory()) return 'a directory';
  if (stats.isFIFO()) return 'a named pipe';
  return stats.isSocket() ? 'a socket' : 'a device';
}

function refused(path: string, why: string): CofferError {
  return new CofferError('SETTINGS_INVALID', `${path} ${why}`);
}

function unreadable(path: string, cause: unknown): unknown {
  const { errno } = cause as NodeJS.ErrnoException;
  if (errno === undefined) return cause;
  return new CofferError('SETTINGS_INVALID', `${path} can't be read: ${getSystemErrorMessage(errno)}`, { cause });
}
