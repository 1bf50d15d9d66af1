import { isUtf8 } from 'node:buffer';
import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, type Stats } from 'node:fs';
import { CofferError } from '../errors.ts';

// Not imported: whatever it lists would be loaded with it, 4 ms at every start.
const { getSystemErrorMessage } = process.getBuiltinModule('node:util');

/** No settings are longer, in bytes. */
const MAX_LENGTH = 1_048_576;

/** No settings have more levels. */
const MAX_DEPTH = 64;

/** The fault of those that have. */
export const tooDeep: string = `nested deeper than ${MAX_DEPTH} levels`;

/** Whose file it is: one's own may be a link and must be safe from others, a project's is read where it stands. */
export type Owner = 'own' | 'project';

/**
 * Reads a file of settings as a value of JSON; undefined where there is none. Throws `SETTINGS_INVALID`: where others could have
 * written it, where it is no regular file or no JSON.
 */
export async function readSettingsFile(path: string, owner: Owner): Promise<{ readonly value: unknown } | undefined> {
  const text = await readSettingsText(path, owner);
  return text === undefined ? undefined : { value: await parseSettings(path, text) };
}

/** The text of a file of settings, without a byte order mark. Throws as {@link readSettingsFile}. */
export async function readSettingsText(path: string, owner: Owner): Promise<string | undefined> {
  const bytes = await readSettingsBytes(path, owner);
  return bytes && decode(path, bytes);
}

/**
 * What a file of settings has, whatever it is; `anybody` may have written it. Throws `SETTINGS_INVALID` where it is no regular file.
 * Reads at once: every start comes by here, and would begin four threads to wait for one.
 */
export async function readSettingsBytes(path: string, owner: Owner | 'anybody'): Promise<Buffer | undefined> {
  const file = openFile(path, owner);
  if (file === undefined) return undefined;
  try {
    const stats = fstatSync(file);
    if (!stats.isFile()) throw refused(path, `is ${kindOf(stats)}, and settings are a file; move it away`);
    if (owner === 'own') requireOurs(path, stats);
    return readBytes(path, file);
  } catch (error) {
    throw unreadable(path, error);
  } finally {
    closeSync(file);
  }
}

/** Reads text as JSON. Throws `SETTINGS_INVALID`, with line and column where it is none. */
export async function parseSettings(path: string, text: string): Promise<unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw invalidSettings(path, [await describeJsonFault(text)]);
  }
  if (isTooDeep(value)) throw invalidSettings(path, [tooDeep]);
  return value;
}

/** The error of a file with those faults: each is a line of its own. */
export function invalidSettings(path: string, faults: readonly string[]): CofferError {
  const cause = new AggregateError(faults.map((fault) => new Error(`settings: ${fault}`)));
  const count = faults.length === 1 ? 'a fault' : `${faults.length} faults`;
  return new CofferError('SETTINGS_INVALID', `${path} has ${count}`, { cause });
}

function openFile(path: string, owner: Owner | 'anybody'): number | undefined {
  // Without O_NONBLOCK a named pipe would wait for somebody to write.
  const { O_RDONLY, O_NONBLOCK = 0, O_NOFOLLOW = 0 } = constants;
  try {
    return openSync(path, O_RDONLY | O_NONBLOCK | (owner === 'project' ? O_NOFOLLOW : 0));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' && !isLink(path)) return undefined;
    if (code === 'ENOTDIR' && owner === 'project') return undefined; // whoever needs the directory says that it is none
    if (code === 'ENOENT')
      throw refused(path, 'is a link to a file that is not there; remove it or bring the file back');
    if (code === 'ELOOP' && owner === 'project') {
      throw refused(path, "is a symbolic link, and a project's settings are a file of its own; remove it");
    }
    throw unreadable(path, error);
  }
}

async function describeJsonFault(text: string): Promise<string> {
  const { findJsonFault } = await import('./json-fault.ts');
  try {
    const fault = findJsonFault(text);
    return `not JSON from line ${fault?.line ?? 1}, column ${fault?.column ?? 1}`;
  } catch (error) {
    if (error instanceof RangeError) return tooDeep; // it goes into each level by a call
    throw error;
  }
}

/** Tells whether a value has more levels than any settings: whoever checks or shows it goes into each by a call. */
export function isTooDeep(value: unknown): boolean {
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

/** Whoever can write the settings chooses where conversations are sent and what tools may do. Windows has no such modes. */
function requireOurs(path: string, { uid, mode }: Stats): void {
  const us = process.getuid?.();
  if (us === undefined) return;
  if (uid !== us && uid !== 0) {
    throw refused(
      path,
      `belongs to another user (uid ${uid}), who could change it; look at it, then: chown ${us} ${path}`,
    );
  }
  if ((mode & 0o022) !== 0) {
    const octal = (mode & 0o777).toString(8).padStart(3, '0');
    throw refused(path, `can be written by others (mode ${octal}); look at it, then: chmod go-w ${path}`);
  }
}

/** Reads no more than one byte over the limit: what `stat` says of a file in /proc is not its length. */
function readBytes(path: string, file: number): Buffer {
  const buffer = Buffer.alloc(MAX_LENGTH + 1);
  let length = 0;
  for (;;) {
    const bytesRead = readSync(file, buffer, length, buffer.length - length, null);
    length += bytesRead;
    if (length > MAX_LENGTH) throw refused(path, 'is longer than 1 MiB, which no settings are; move it away');
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
