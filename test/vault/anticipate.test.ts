import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startBroker } from '../../src/keyring/broker-start.ts';
import { anticipateKey } from '../../src/vault/anticipate.ts';
import { temporaryFolder } from '../support/vault.ts';

describe('anticipateKey', () => {
  it.each([
    ['keytar', undefined, true],
    ['keytar', 'auto', true],
    ['keytar', 'keytar', true],
    ['keytar', 'secret-service', false],
    ['keytar', 'passphrase', false],
    ['secret-service', undefined, false],
    ['passphrase', undefined, false],
    ['fd', 'keytar', false],
  ])('with %s on record and COFFER_KEYCHAIN=%s: %s', (backend, choice, expected) => {
    const env = { PATH: process.env['PATH'], ...(choice !== undefined && { COFFER_KEYCHAIN: choice }) };
    expect(anticipateKey(env, folderWith(vaultFile(backend)))).toBe(expected);
    if (expected) onTestFinished(() => startBroker(env).kill());
  });

  it('begins nothing where there is no vault, or one that cannot be read', () => {
    expect(anticipateKey({}, temporaryFolder())).toBe(false);
    expect(() => anticipateKey({}, folderWith('{'))).toThrow(expect.objectContaining({ code: 'UNAUTHENTIC' }));
  });

  it('looks where COFFER_DATA_DIR says', () => {
    const env = { PATH: process.env['PATH'], COFFER_DATA_DIR: folderWith(vaultFile('keytar')) };
    expect(anticipateKey(env)).toBe(true);
    startBroker(env).kill();
  });
});

function vaultFile(backend: string): string {
  return JSON.stringify({ format: 1, key: 'a'.repeat(32), backend, provider: 'test', slots: [] });
}

function folderWith(text: string): string {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'vault.json'), text);
  return folder;
}
