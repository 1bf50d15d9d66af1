import { closeSync, constants, fchmodSync, fstatSync, linkSync, openSync, renameSync, unlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { isSystemError, reasonOf } from '../reason.ts';
import { temporaryName } from './temporary.ts';

/** Identifies one state of one file: its device and inode, and its length in bytes. */
export interface Stamp {
  readonly dev: bigint;
  readonly ino: bigint;
  readonly size: number;
}

/**
 * A new file beside `path`, which takes that name when it is complete. Every file that coffer
 * replaces is written as one. Methods throw the system's error.
 */
export class Draft {
  readonly path: string;
  /** The temporary name, in the same directory. */
  readonly name: string;
  /** The descriptor, open for writing until {@link finish} or {@link discard}. */
  readonly file: number;
  #isOpen = true;

  /** Creates the file; a link with its name would not be followed. */
  constructor(path: string) {
    this.path = path;
    this.name = temporaryName(path);
    this.file = openSync(this.name, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | NO_FOLLOW, 0o600);
  }

  /** Sets mode 0600, whatever the umask has removed from it. */
  restrict(): void {
    fchmodSync(this.file, 0o600);
  }

  /** Closes the file, and checks that it has `length` bytes. */
  finish(length: number): Stamp {
    const { dev, ino, size } = fstatSync(this.file, { bigint: true });
    if (size !== BigInt(length)) throw new Error(`${size} of ${length} bytes were written`);
    this.#close();
    return { dev, ino, size: length };
  }

  /** Renames the finished file to `path`. Replaces what is there: a link itself, not its target. */
  rename(): void {
    renameSync(this.name, this.path);
  }

  /**
   * Links the finished file to `path` unless that is taken. Returns whether it did; the temporary
   * name stays in both cases.
   */
  link(): boolean {
    try {
      linkSync(this.name, this.path);
      return true;
    } catch (error) {
      if (isSystemError(error, 'EEXIST')) return false;
      throw error;
    }
  }

  /** Closes and removes the file. Returns what of that failed, a phrase each. */
  discard(): string[] {
    const failures = [
      failureOf('closing the unfinished copy failed', () => this.#close()),
      failureOf(`${basename(this.name)} is left behind`, () => unlinkSync(this.name)),
    ];
    return failures.filter((failure) => failure !== undefined);
  }

  #close(): void {
    if (!this.#isOpen) return;
    // Set first: the descriptor is released even if its close reports an error.
    this.#isOpen = false;
    closeSync(this.file);
  }
}

/** Runs a step of cleaning up. Returns `what` and the reason if it fails. */
export function failureOf(what: string, step: () => void): string | undefined {
  try {
    step();
    return undefined;
  } catch (error) {
    return `${what} (${reasonOf(error)})`;
  }
}

// Windows has no such flag; creating links there requires a privilege.
const NO_FOLLOW = constants.O_NOFOLLOW ?? 0;
