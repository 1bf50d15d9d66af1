import { dataDirectory } from '../../files/paths.ts';
import { readVaultFile } from './record/vault-file.ts';

/**
 * Begins what coming by the vault's key will take, for a caller that has yet to load what it needs the key for: where the key is in a
 * keychain that keytar reaches, the Secret Service is asked meanwhile, on other systems keytar's broker starts. Gives false where there is
 * nothing to begin. Prompts for nothing, changes nothing. Throws what reading vault.json throws: `UNAUTHENTIC`, `FAILED`.
 */
export async function anticipateKey(env: NodeJS.ProcessEnv, directory?: string): Promise<boolean> {
  const choice = env['COFFER_KEYCHAIN'] ?? 'auto';
  if (choice !== 'auto' && choice !== 'keytar') return false;
  const file = readVaultFile(dataDirectory(env, directory));
  if (file?.backend !== 'keytar') return false;
  if (process.platform === 'linux') {
    if (choice !== 'auto') return false; // whoever says `keytar`, and no other way, is given what the addon gives
    const { lookEarly } = await import('../../keyring/early.ts');
    lookEarly(env, file.key);
  } else {
    const { startBrokerEarly } = await import('../../keyring/broker-start.ts');
    startBrokerEarly(env);
  }
  return true;
}
