import type { Point } from './strace.ts';

/*
 * Errors that Linux can really return for a call on a file of the vault. Any call can meet a disk
 * that does not answer (EIO), and any call that writes can meet a file system that an error has
 * made read-only (EROFS, which ext4 returns from write and fsync too). A call can run out of space
 * if it makes a name or bytes, or flushes such bytes late: fsync, and close on network file
 * systems. Only calls that open a descriptor can run out of them (EMFILE), and only calls with a
 * path can be refused (EACCES).
 */

/** The errors that are injected. */
export type Errno = 'EIO' | 'ENOSPC' | 'EROFS' | 'EMFILE' | 'EACCES';

const ANSWERS: readonly (readonly [RegExp, readonly Errno[]])[] = [
  [/^p?writev?(64|2)?$/, ['EIO', 'ENOSPC', 'EROFS']],
  [/^f(data)?sync$/, ['EIO', 'ENOSPC', 'EROFS']],
  [/^close$/, ['EIO', 'ENOSPC']],
  [/^(rename|link|symlink|mkdir)/, ['EIO', 'ENOSPC', 'EROFS', 'EACCES']],
  [/^(unlink|rmdir|chmod|fchmodat)/, ['EIO', 'EROFS', 'EACCES']],
  [/^fchmod$/, ['EIO', 'EROFS']],
  [/^(stat|lstat|newfstatat|statx|readlink|statfs)/, ['EIO', 'EACCES']],
  [/^f?access/, ['EIO', 'EROFS', 'EACCES']],
  [/^(fstat|getdents64|p?readv?(64|2)?)$/, ['EIO']],
];

/** Returns the errors that a call can end with; none for a call that is not in the table. */
export function errorsOf({ name, what }: Point): readonly Errno[] {
  if (name.startsWith('open')) {
    if (what.includes('O_CREAT')) return ['EIO', 'ENOSPC', 'EROFS', 'EMFILE', 'EACCES'];
    return /O_WRONLY|O_RDWR/.test(what) ? ['EIO', 'EROFS', 'EMFILE', 'EACCES'] : ['EIO', 'EMFILE', 'EACCES'];
  }
  return ANSWERS.find(([pattern]) => pattern.test(name))?.[1] ?? [];
}

/** Returns whether a call makes data durable: if it fails, nothing may be reported as durable. */
export function isFlush({ name }: Point): boolean {
  return /^f(data)?sync$/.test(name);
}
