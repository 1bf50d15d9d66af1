import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { VaultKey } from '../../src/envelope/key.ts';
import type { MemoryKeyring } from '../../src/keyring/memory.ts';
import { authenticated } from '../../src/vault/keys/record/record.ts';
import type { VaultFile } from '../../src/vault/keys/record/shape.ts';

/** A vault, and the keyring with its key. */
export interface RecordPlace {
  readonly directory: string;
  readonly keyring: MemoryKeyring;
}

/** Returns the content of vault.json. */
export function readRecord({ directory }: Pick<RecordPlace, 'directory'>): VaultFile {
  return JSON.parse(readFileSync(join(directory, 'vault.json'), 'utf8')) as VaultFile;
}

/** Writes vault.json as passed, whatever its MAC. */
export function writeRecord({ directory }: Pick<RecordPlace, 'directory'>, file: object): void {
  writeFileSync(join(directory, 'vault.json'), JSON.stringify(file));
}

/**
 * Writes vault.json as coffer would, with a MAC under `key`. Default: the key that it names.
 * Returns the new content.
 */
export async function writeSealedRecord(at: RecordPlace, file: VaultFile, key?: VaultKey): Promise<VaultFile> {
  const sealed = authenticated(file, key ?? (await keyIn(at.keyring, file.key)));
  writeRecord(at, sealed);
  return sealed;
}

/** Returns the key with that id. Throws if the keyring doesn't have it. */
export async function keyIn(keyring: MemoryKeyring, keyId: string): Promise<VaultKey> {
  const found = await keyring.get(keyId);
  if (found.outcome !== 'READY') throw new Error(`no key ${keyId}`);
  return VaultKey.from(found.secret);
}
