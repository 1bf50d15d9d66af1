import { CofferError, isCofferError } from '../errors.ts';

// Not imported: whatever it lists would be loaded with it, 4 ms at every start.
const { getSystemErrorMessage } = process.getBuiltinModule('node:util');

/**
 * Says in a few words why a file operation failed: `disk full`, `read-only file system`,
 * `permission denied`, fit for a status line (`NOT SAVED since 12:31: disk full`). Looks through an error while
 * cleaning up to the first one; any other error answers with its message.
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

/** Tells whether something thrown is an error of a system call, of one of `codes` where any are given. */
export function isSystemError(error: unknown, ...codes: string[]): error is SystemError {
  if (!(error instanceof Error) || !('syscall' in error) || !('errno' in error) || !('code' in error)) {
    return false;
  }
  return codes.length === 0 || codes.includes(String(error.code));
}

/** What `node:fs` throws: `code` is the name of the errno, `errno` its (negative) number. */
export interface SystemError extends Error {
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;
}

/** Makes the `NOT_SAVED` error of one path. `cause` is what the system answered; its words go into the message. */
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
