import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join, relative } from 'node:path';

/**
 * Returns the forms in which a key of 32 bytes, given as a keychain stores it, can appear in a
 * text: base64, base64url, hex, raw.
 */
export function formsOf(item: string): string[] {
  const bytes = Buffer.from(item, 'base64');
  const base64 = item.replace(/[=\s]+$/, '');
  return [base64, base64.replaceAll('+', '-').replaceAll('/', '_'), bytes.toString('hex'), bytes.toString('latin1')];
}

/**
 * Returns the files below some directories that contain one of these texts, each byte taken as a
 * character.
 */
export function filesWith(directories: readonly string[], forms: readonly string[]): string[] {
  const wanted = forms.map((form) => Buffer.from(form, 'latin1'));
  return directories
    .flatMap((directory) => filesIn(directory))
    .filter((path) => {
      // strace's own log repeats output of a run that is checked already; everything else was left
      // by the program.
      if (/\/trace-\d+$/.test(path)) return false;
      const bytes = readFileSync(path);
      return wanted.some((form) => bytes.includes(form));
    });
}

/**
 * Lists everything below a directory with inode, mode, time and content, apart from locks; the
 * empty text if there is nothing.
 */
export function fingerprint(directory: string): string {
  return entriesIn(directory)
    .map((path) => [relative(directory, path), path] as const)
    .filter(([name]) => name !== 'locks' && !name.startsWith('locks/'))
    .map(([name, path]) => {
      const { ino, mode, size, mtimeMs } = lstatSync(path);
      return [name, ino, mode, size, mtimeMs, contentOf(path)].join(' ');
    })
    .sort()
    .join('\n');
}

/**
 * Lists the processes that were started with this text in their environment: everything that a run
 * left behind.
 */
export function strays(text: string): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 1 && pid !== process.pid && environmentOf(pid).includes(text));
}

function environmentOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8');
  } catch {
    return ''; // it has ended meanwhile, or belongs to the kernel
  }
}

function contentOf(path: string): string {
  const stats = lstatSync(path);
  if (stats.isSymbolicLink()) return `-> ${readlinkSync(path)}`;
  return stats.isFile() ? createHash('sha256').update(readFileSync(path)).digest('hex') : '';
}

function filesIn(directory: string): string[] {
  return entriesIn(directory).filter((path) => lstatSync(path, { throwIfNoEntry: false })?.isFile());
}

function entriesIn(directory: string): string[] {
  if (!lstatSync(directory, { throwIfNoEntry: false })) return [];
  return readdirSync(directory, { recursive: true, withFileTypes: true }).map(({ parentPath, name }) =>
    join(parentPath, name),
  );
}

/** Kills a process, if it has not ended. */
export function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
