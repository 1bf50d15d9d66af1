import { getSystemErrorMessage } from 'node:util';
import { CofferError, isCofferError } from '../errors.ts';

/**
 * Returns why a file operation failed, short enough for a status line (`NOT SAVED since 12:31: disk
 * full`): `disk full`, `read-only file system`, `permission denied`. If cleaning up failed too,
 * returns the reason of the first error. Any other error's reason is its message.
 */
export function reasonOf(error: unknown): string {
  if (isCofferError(error)) return error.reason;
  if (error instanceof SuppressedError) {
    return reasonOf(error.suppressed);
  }
  if (isSystemError(error)) {
    return phrases[error.code] ?? getSystemErrorMessage(error.errno);
  }
  return error instanceof Error ? error.message : String(error);
}

/**
 * Returns whether a thrown value is the error of a system call, with one of `codes`. Default: any
 * code.
 */
export function isSystemError(error: unknown, ...codes: string[]): error is SystemError {
  if (!(error instanceof Error) || !('syscall' in error) || !('errno' in error) || !('code' in error)) {
    return false;
  }
  return codes.length === 0 || codes.includes(String(error.code));
}

/**
 * An error that `node:fs` throws: `code` is the name of the errno, `errno` its (negative) number.
 */
export interface SystemError extends Error {
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;
}

/**
 * Creates the `NOT_SAVED` error of one path. `cause` is the system's error; its reason becomes part
 * of the message.
 */
export function notSaved(doing: string, path: string, cause: unknown, consequence: string): CofferError {
  return new CofferError('NOT_SAVED', `${doing} ${path}`, { reason: reasonOf(cause), advice: consequence, cause });
}

const phrases: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EDQUOT: 'disk quota reached',
  EFBIG: 'file size limit reached',
  EIO: 'disk error',
  EISDIR: 'a directory is in its place',
  ELOOP: 'a symbolic link is in its place',
  EMFILE: 'too many open files',
  ENFILE: 'too many open files',
  ENOENT: 'file or directory is gone',
  ENOSPC: 'disk full',
  ENOTDIR: 'a part of its path is not a directory',
  EPERM: 'permission denied',
  EROFS: 'read-only file system',
};
