import { dataDirectory } from '../files/paths.ts';
import { startBrokerEarly } from '../keyring/broker-start.ts';
import { readVaultFile } from './vault-file.ts';

/**
 * Begins what coming by the vault's key will take, for a caller that has yet to load what it needs the key for: where the key is
 * in a keychain that keytar reaches, its broker starts meanwhile. Gives false where there is nothing to begin. Asks for nothing,
 * changes nothing. Throws what reading vault.json throws: `NEWER_VERSION`, `UNAUTHENTIC`, `FAILED`.
 */
export function anticipateKey(env: NodeJS.ProcessEnv, directory?: string): boolean {
  const choice = env['COFFER_KEYCHAIN'] ?? 'auto';
  if (choice !== 'auto' && choice !== 'keytar') return false;
  if (readVaultFile(dataDirectory(env, directory))?.backend !== 'keytar') return false;
  startBrokerEarly(env);
  return true;
}
