import type { Point } from './strace.ts';

/*
 * What Linux can really answer to a call on a file of the vault. Any of them can meet a disk that does not answer (EIO), and whatever
 * would write a file system that an error has made read-only (EROFS, ext4 gives it to write and fsync too). A call can run out of
 * space where it makes a name or bytes, and where such bytes are flushed late: fsync, and close on network file systems. Only what
 * takes a descriptor can run out of them (EMFILE), and only what goes by a path can be refused (EACCES).
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

/** Gives the errors that a call can end with; none for one that is not in the table. */
export function errorsOf({ name, what }: Point): readonly Errno[] {
  if (name.startsWith('open')) {
    if (what.includes('O_CREAT')) return ['EIO', 'ENOSPC', 'EROFS', 'EMFILE', 'EACCES'];
    return /O_WRONLY|O_RDWR/.test(what) ? ['EIO', 'EROFS', 'EMFILE', 'EACCES'] : ['EIO', 'EMFILE', 'EACCES'];
  }
  return ANSWERS.find(([pattern]) => pattern.test(name))?.[1] ?? [];
}

/** Tells whether a call is one that makes things durable: when it fails nobody may say that they are. */
export function isFlush({ name }: Point): boolean {
  return /^f(data)?sync$/.test(name);
}
