import { VaultKey } from '../../envelope/key.ts';
import { type CofferError, isCofferError } from '../../errors.ts';
import { dataDirectory } from '../../files/paths.ts';
import { statsOf } from '../../files/reader.ts';
import { NativeKeyring } from '../../keyring/fallback.ts';
import { FdKeyring } from '../../keyring/fd.ts';
import type { Keyring } from '../../keyring/keyring.ts';
import { KeytarKeyring } from '../../keyring/keytar.ts';
import { IN_PASSING } from '../../keyring/patience.ts';
import { VaultDirectory } from '../directory.ts';
import { type Head, openHead } from '../file/open.ts';
import { lookUp } from './key-home.ts';
import { readVaultFile } from './record/vault-file.ts';

/** Options of a {@link glance}. */
export interface GlanceOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly directory?: string | undefined;
  /** Time limit for reading once the key is there, in milliseconds; the newest files come first. */
  readonly within: number;
}

/**
 * Reads the heads of a vault's files for shell completion. Asks the user nothing, creates and
 * writes nothing, takes no lock, and returns an empty list if anything fails. So the key is looked
 * up only where that never shows a prompt: in an unlocked Secret Service, in a credential file, or
 * in the keychain of Windows. Not on macOS, which may show a prompt for any look-up; not with a
 * passphrase, which takes long; and not from a descriptor, which can be read only once and is meant
 * for another process.
 */
export async function glance(options: GlanceOptions): Promise<Head[]> {
  try {
    return await look(options);
  } catch (error) {
    if (!isCofferError(error)) throw error;
    return []; // the command that the user is completing reports the reason
  }
}

async function look({ env, directory, within }: GlanceOptions): Promise<Head[]> {
  const place = new VaultDirectory(dataDirectory(env, directory));
  const file = readVaultFile(place.root);
  const keyring = file && quietKeyring(file.backend, env);
  if (file === undefined || keyring === undefined) return [];
  const find = (keyId: string): Promise<VaultKey | CofferError> => lookUp({ keyring, choice: 'auto', env }, keyId);
  const key = await find(file.key);
  if (!(key instanceof VaultKey)) return [];
  const other = file.retiring === undefined ? undefined : await find(file.retiring);
  const retiring = other instanceof VaultKey ? other : undefined;
  const until = performance.now() + within;
  const heads: Head[] = [];
  for (const fileId of newestFirst(place)) {
    if (performance.now() > until) break;
    try {
      heads.push(openHead(place.path(fileId), fileId, key, retiring));
    } catch (error) {
      if (!isCofferError(error)) throw error; // an unreadable file has nothing to complete
    }
  }
  return heads;
}

/** Returns the keyring that has the key and never shows a prompt; undefined if there is none. */
function quietKeyring(recorded: string, env: NodeJS.ProcessEnv): Keyring | undefined {
  const choice = env['COFFER_KEYCHAIN'] || 'auto';
  const backend = choice === 'auto' ? recorded : choice;
  const isKept = backend === 'keytar' || backend === 'secret-service';
  if (process.platform === 'linux' && isKept) return new NativeKeyring('secret-service', env, IN_PASSING);
  if (process.platform === 'win32' && backend === 'dpapi') return new NativeKeyring('dpapi', env, IN_PASSING);
  if (process.platform === 'win32' && backend === 'keytar') return new KeytarKeyring({ env, patience: IN_PASSING });
  const { COFFER_KEY_FD: _, ...others } = env;
  return backend === 'fd' && FdKeyring.isGiven(others) ? new FdKeyring(others) : undefined;
}

function newestFirst(place: VaultDirectory): string[] {
  const changed = (fileId: string): number => statsOf(place.path(fileId))?.mtimeMs ?? 0;
  const files = place.fileIds().map((fileId) => ({ fileId, changed: changed(fileId) }));
  return files.sort((a, b) => b.changed - a.changed).map(({ fileId }) => fileId);
}
