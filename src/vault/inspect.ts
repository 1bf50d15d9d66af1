import { lstatSync, type Stats, statSync } from 'node:fs';
import { join } from 'node:path';
import { CofferError } from '../errors.ts';
import { namesIn } from '../files/reader.ts';
import { reasonOf } from '../files/reason.ts';
import { findConflicting, isOwnName } from './conflicting.ts';
import { keptIn, type QuarantinedFile } from './file/quarantine.ts';
import { readVaultFile, type VaultFile } from './keys/record/vault-file.ts';
import { isFileId } from './lease.ts';
import { networkWarning } from './network-warning.ts';

/** A path whose permissions are not those that coffer sets. Modes are the low nine bits. */
export interface LooseMode {
  readonly path: string;
  readonly mode: number;
  readonly expected: number;
}

/** A path that holds something other than coffer's file or directory, such as a link or a pipe. */
export interface Misplaced {
  readonly path: string;
  /** Kind of the thing that is there, with its article: `a symbolic link`. */
  readonly is: string;
}

/** State of a vault directory, as far as it shows without the key. */
export interface VaultInspection {
  readonly directory: string;
  readonly exists: boolean;
  readonly vaultFile: VaultFile | undefined;
  /** Why vault.json can't be read. */
  readonly vaultFileError: CofferError | undefined;
  readonly looseModes: readonly LooseMode[];
  readonly misplaced: readonly Misplaced[];
  readonly sealedFiles: number;
  readonly quarantined: readonly QuarantinedFile[];
  /** Names in `sessions` of sealed files that coffer did not name: conflicting copies. */
  readonly conflicting: readonly string[];
  /** Everything else in the directory that isn't coffer's, as paths relative to it. */
  readonly strangers: readonly string[];
  /** A warning if the directory is on a network file system. */
  readonly networkWarning: string | undefined;
  /** Number of temporary files left by a crash; the next save of the same file removes them. */
  readonly strayTemps: number;
}

/**
 * Inspects a vault directory. Changes nothing. Throws `FAILED` if it isn't a directory or can't be
 * examined.
 */
export async function inspectDirectory(directory: string): Promise<VaultInspection> {
  const look = new Look();
  const exists = statsOf(directory, true) !== undefined;
  look.check(directory, 'directory', true);
  if (look.misplaced[0]) throw new CofferError('FAILED', `${directory} is ${look.misplaced[0].is}, not a directory`);
  for (const name of FILES) look.check(join(directory, name), 'file');
  const names = FOLDERS.map((folder) => look.names(join(directory, folder)));
  const [sessions = [], , quarantine = []] = names;
  const others = sessions.filter((name) => !isOwnName(name));
  const conflicting = findConflicting(join(directory, 'sessions'), others).map(({ name }) => name);
  return {
    directory,
    exists,
    ...(await vaultFileOf(directory)),
    looseModes: look.looseModes,
    misplaced: look.misplaced,
    sealedFiles: sessions.filter(isFileId).length,
    quarantined: quarantine.length === 0 ? [] : keptIn(join(directory, 'quarantine')),
    strangers: foreignIn(directory, names, conflicting),
    conflicting,
    strayTemps: sessions.filter((name) => name.endsWith('.tmp')).length,
    networkWarning: networkWarning(directory),
  };
}

/** Checks a vault's files and folders without opening any. */
class Look {
  readonly looseModes: LooseMode[] = [];
  readonly misplaced: Misplaced[] = [];

  /**
   * Tells whether `path` is of that kind, and records what is wrong with it. Only the vault
   * directory itself may be a link (`follow`).
   */
  check(path: string, kind: 'file' | 'directory', follow = false): boolean {
    const stats = statsOf(path, follow);
    if (stats === undefined) return false;
    if (kind === 'file' ? !stats.isFile() : !stats.isDirectory()) {
      this.misplaced.push({ path, is: kindOf(stats) });
      return false;
    }
    const mode = stats.mode & 0o777;
    const expected = kind === 'file' ? 0o600 : 0o700;
    if (process.platform !== 'win32' && mode !== expected) this.looseModes.push({ path, mode, expected });
    return true;
  }

  /** Returns the names in a folder of the vault; none if something else is in its place. */
  names(folder: string): string[] {
    if (!this.check(folder, 'directory')) return [];
    const names = namesIn(folder);
    for (const name of names.filter((name) => name !== '_autosave')) this.check(join(folder, name), 'file');
    return names;
  }
}

function statsOf(path: string, follow: boolean): Stats | undefined {
  try {
    return (follow ? statSync : lstatSync)(path, { throwIfNoEntry: false });
  } catch (cause) {
    throw new CofferError('FAILED', `cannot examine ${path}`, { reason: reasonOf(cause), cause });
  }
}

function kindOf(stats: Stats): string {
  if (stats.isSymbolicLink()) return 'a symbolic link';
  if (stats.isDirectory()) return 'a directory';
  return stats.isFile() ? 'a file' : 'a pipe or a device';
}

/**
 * Returns everything under a name that coffer does not use; `names` are the names in its folders.
 */
function foreignIn(directory: string, names: readonly string[][], conflicting: readonly string[]): string[] {
  const [sessions = [], locks = []] = names;
  const strange: [string, string[]][] = [
    ['', namesIn(directory).filter((name) => !OURS.has(name) && !isTemp(name))],
    ['sessions', sessions.filter((name) => !isOwnName(name) && !conflicting.includes(name))],
    ['locks', locks.filter((name) => name !== 'vault' && !isFileId(name.replace(/\.holder$/, '')))],
  ];
  return strange.flatMap(([folder, found]) => found.sort().map((name) => join(folder, name)));
}

function isTemp(name: string): boolean {
  return /^\..+\.tmp$/.test(name);
}

const FILES = ['vault.json', 'index', 'texts', 'seen'] as const;
const FOLDERS = ['sessions', 'locks', 'quarantine'] as const;
const OURS: ReadonlySet<string> = new Set([...FILES, ...FOLDERS]);

async function vaultFileOf(directory: string): Promise<Pick<VaultInspection, 'vaultFile' | 'vaultFileError'>> {
  try {
    return { vaultFile: readVaultFile(directory), vaultFileError: undefined };
  } catch (error) {
    if (!(error instanceof CofferError)) throw error;
    return { vaultFile: undefined, vaultFileError: error };
  }
}
