import { closeSync, existsSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { chooseKeyring } from '../../src/keyring/keyring.ts';
import { unlockVault as right } from '../../src/vault/keys/keys.ts';
import type { KeyOptions, Unlocked } from '../../src/vault/keys/options.ts';

/*
 * Looks for a key and, if there is none, writes one to vault.json and then to the keychain: get,
 * then set, nothing in between.
 */

export * from '../../src/vault/keys/keys.ts';

/** Replaces coffer's own. */
export async function unlockVault(options: KeyOptions): Promise<Unlocked> {
  const path = join(options.directory, 'vault.json');
  const chosen = await chooseKeyring({ choice: options.choice, env: options.env });
  if (existsSync(path) || 'none' in chosen) return right(options);
  const { keyring } = chosen;
  const { backend } = keyring;
  const provider = await keyring.provider();
  const key = options.newKey();
  options.makeDirectory();
  const file = openSync(path, 'w', 0o600);
  for (const line of JSON.stringify({ format: 1, key: key.id, backend, provider, slots: [] }, undefined, 2).split(/^/m))
    writeSync(file, line);
  closeSync(file);
  await keyring.set(key.id, key.bytes());
  return { key, backend, provider, how: 'created', named: { key: key.id } };
}
