import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { CofferError } from '../errors.ts';
import { type FileSystems, networkFileSystem } from '../files/network.ts';
import { namesIn } from '../files/reader.ts';
import { isFileId } from './lease.ts';
import { type Kept, keptIn } from './quarantine.ts';
import { readVaultFile, type VaultFile } from './vault-file.ts';

/** A path whose permissions are not what coffer sets. Modes are the low nine bits. */
export interface LooseMode {
  readonly path: string;
  readonly mode: number;
  readonly expected: number;
}

/** What the vault's directory looks like from outside, without a key. */
export interface VaultInspection {
  readonly directory: string;
  readonly exists: boolean;
  readonly vaultFile: VaultFile | undefined;
  /** Why vault.json can't be read. */
  readonly vaultFileError: CofferError | undefined;
  readonly looseModes: readonly LooseMode[];
  readonly sealedFiles: number;
  readonly quarantined: readonly Kept[];
  /** What is in the directory and not coffer's, by paths within it. */
  readonly strangers: readonly string[];
  /** The network file system that the directory is on. */
  readonly network: string | undefined;
  /** Temporary files that a crash left; the next save of that file removes them. */
  readonly strayTemps: number;
}

/** Looks at a vault's directory. Changes nothing. */
export async function inspectDirectory(directory: string): Promise<VaultInspection> {
  const looseModes: LooseMode[] = [];
  const check = (path: string, expected: number): boolean => {
    const stats = lstatSync(path, { throwIfNoEntry: false });
    const mode = (stats?.mode ?? 0) & 0o777;
    const linked = stats?.isSymbolicLink() ?? false;
    if (stats && !linked && process.platform !== 'win32' && mode !== expected)
      looseModes.push({ path, mode, expected });
    return stats !== undefined;
  };
  const exists = check(directory, 0o700);
  for (const name of ['vault.json', 'seen']) check(join(directory, name), 0o600);
  for (const name of ['sessions', 'locks', 'quarantine']) {
    check(join(directory, name), 0o700);
    for (const entry of namesIn(join(directory, name))) check(join(directory, name, entry), 0o600);
  }
  const sessions = namesIn(join(directory, 'sessions'));
  return {
    directory,
    exists,
    ...(await vaultFileOf(directory)),
    looseModes,
    sealedFiles: sessions.filter(isFileId).length,
    quarantined: keptIn(join(directory, 'quarantine')),
    strangers: strangersIn(directory),
    network: networkFileSystem(directory),
    strayTemps: sessions.filter((name) => name.endsWith('.tmp')).length,
  };
}

/** Says what may go wrong with a vault in that directory, where it is on a network file system. `systems` is for tests only. */
export function networkWarning(directory: string, systems?: FileSystems): string | undefined {
  const network = networkFileSystem(directory, systems);
  if (network === undefined) return undefined;
  const what = 'a lease may not keep another machine out, and what is flushed may not be on a disk';
  return `${directory} is on a network file system (${network}): ${what}; never use it from two machines at once`;
}

function strangersIn(directory: string): string[] {
  const isOwn: [string, (name: string) => boolean][] = [
    ['', (name) => ROOT.has(name) || isTemp(name)],
    ['sessions', (name) => isFileId(name) || name === '_autosave' || isTemp(name)],
    ['locks', (name) => name === 'vault' || isFileId(name.replace(/\.holder$/, ''))],
  ];
  return isOwn.flatMap(([folder, own]) => {
    const names = namesIn(join(directory, folder)).filter((name) => !own(name));
    return names.sort().map((name) => join(folder, name));
  });
}

function isTemp(name: string): boolean {
  return /^\..+\.tmp$/.test(name);
}

const ROOT: ReadonlySet<string> = new Set(['vault.json', 'sessions', 'index', 'seen', 'locks', 'quarantine']);

async function vaultFileOf(directory: string): Promise<Pick<VaultInspection, 'vaultFile' | 'vaultFileError'>> {
  try {
    return { vaultFile: readVaultFile(directory), vaultFileError: undefined };
  } catch (error) {
    if (!(error instanceof CofferError)) throw error;
    return { vaultFile: undefined, vaultFileError: error };
  }
}
