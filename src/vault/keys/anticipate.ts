import { dataDirectory } from '../../files/paths.ts';
import { readVaultFile } from './record/vault-file.ts';

/**
 * Starts obtaining the vault key early, for a caller that still has to load the code that needs it.
 * If the key is in a keychain that keytar reaches, asks the Secret Service (Linux), or starts
 * keytar's broker (other systems). Returns false if there is nothing to start. Shows no prompt and
 * changes nothing. Throws as reading vault.json does: `UNAUTHENTIC`, `FAILED`.
 */
export async function anticipateKey(env: NodeJS.ProcessEnv, directory?: string): Promise<boolean> {
  const choice = env['COFFER_KEYCHAIN'] ?? 'auto';
  if (choice !== 'auto' && choice !== 'keytar') return false;
  const file = readVaultFile(dataDirectory(env, directory));
  if (file?.backend !== 'keytar') return false;
  if (process.platform === 'linux') {
    if (choice !== 'auto') return false; // an explicit `keytar` gets the addon's own answer
    const { lookEarly } = await import('../../keyring/broker/early.ts');
    lookEarly(env, file.key);
  } else {
    const { startBrokerEarly } = await import('../../keyring/broker/broker-start.ts');
    startBrokerEarly(env);
  }
  return true;
}
