import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { startBroker } from '../../../src/keyring/broker/broker-start.ts';
import { takeLook } from '../../../src/keyring/broker/early.ts';
import { anticipateKey } from '../../../src/vault/keys/anticipate.ts';
import { temporaryFolder } from '../../support/vault.ts';

const KEY_ID = 'a'.repeat(32);

describe('anticipateKey', () => {
  it.each([
    ['keytar', undefined, true],
    ['keytar', 'auto', true],
    ['keytar', 'keytar', process.platform !== 'linux'],
    ['keytar', 'secret-service', false],
    ['keytar', 'passphrase', false],
    ['secret-service', undefined, false],
    ['passphrase', undefined, false],
    ['fd', 'keytar', false],
  ])('with %s on record and COFFER_KEYCHAIN=%s: %s', async (backend, choice, expected) => {
    const env = { PATH: process.env['PATH'], ...(choice !== undefined && { COFFER_KEYCHAIN: choice }) };
    expect(await anticipateKey(env, folderWith(vaultFile(backend)))).toBe(expected);
    expect(isBegun(env)).toBe(expected);
  });

  it('starts nothing if there is no vault, or one that cannot be read', async () => {
    expect(await anticipateKey({}, temporaryFolder())).toBe(false);
    await expect(anticipateKey({}, folderWith('{'))).rejects.toMatchObject({ code: 'UNAUTHENTIC' });
  });

  it('uses the vault in COFFER_DATA_DIR', async () => {
    const env = { PATH: process.env['PATH'], COFFER_DATA_DIR: folderWith(vaultFile('keytar')) };
    expect(await anticipateKey(env)).toBe(true);
    expect(isBegun(env)).toBe(true);
  });
});

/**
 * Tells whether anything was started for this environment: a look-up in the keychain or, on other
 * systems, a broker. Ends it.
 */
function isBegun(env: NodeJS.ProcessEnv): boolean {
  if (process.platform === 'linux') return takeLook(env, KEY_ID) !== undefined;
  const brokers = [startBroker(env), startBroker(env)];
  for (const broker of brokers) broker.kill();
  return false;
}

function vaultFile(backend: string): string {
  return JSON.stringify({ format: 1, key: KEY_ID, backend, provider: 'test', slots: [] });
}

function folderWith(text: string): string {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'vault.json'), text);
  return folder;
}
