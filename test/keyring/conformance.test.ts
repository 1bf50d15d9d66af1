import { randomBytes } from 'node:crypto';
import { mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'vitest';
import { NATIVE, NativeKeyring } from '../../src/keyring/fallback.ts';
import { FdKeyring } from '../../src/keyring/fd.ts';
import type { Keyring } from '../../src/keyring/keyring.ts';
import { KeytarKeyring } from '../../src/keyring/keytar.ts';
import { MemoryKeyring } from '../../src/keyring/memory.ts';
import { KEY_IDS, keyringSuite, readOnlyKeyringSuite, type Subject } from '../suites/keyring.ts';
import { requireKeychain, startKeychain } from '../support/keychain.ts';
import { ROOMY } from '../support/patience.ts';

// On macOS and Windows the system's own keychain is used; CI provides a separate keychain file.
const native = NATIVE[process.platform];
keyringSuite(
  'keytar',
  onKeychain((env) => new KeytarKeyring({ env, patience: ROOMY })),
);
if (native !== undefined)
  keyringSuite(
    native,
    onKeychain((env) => new NativeKeyring(native, env, ROOMY)),
  );

keyringSuite('memory', async () => ({ keyring: new MemoryKeyring(), [Symbol.asyncDispose]: async () => undefined }));

const broughtKey = randomBytes(32);
readOnlyKeyringSuite('fd, by a descriptor', broughtKey, async () => {
  const { directory, path } = keyFile();
  const fd = openSync(path, 'r');
  // The keyring closes the descriptor. Its number stays in use until then, so every test gets
  // another.
  return subject(new FdKeyring({ COFFER_KEY_FD: String(fd) }), () => rmSync(directory, { recursive: true }));
});
readOnlyKeyringSuite('fd, by a credential', broughtKey, async () => {
  const { directory } = keyFile();
  return subject(new FdKeyring({ CREDENTIALS_DIRECTORY: directory }), () => rmSync(directory, { recursive: true }));
});

function onKeychain(make: (env: NodeJS.ProcessEnv) => Keyring): (context: TestContext) => Promise<Subject> {
  return async (context) => {
    if (process.platform !== 'linux') return onThisSystem(make);
    requireKeychain(context);
    const keychain = await startKeychain();
    return { keyring: make({ ...process.env, ...keychain.env }), [Symbol.asyncDispose]: () => keychain.dispose() };
  };
}

/**
 * Makes the system's keychain a subject. It outlives the test, so our keys are removed before and
 * after.
 */
async function onThisSystem(make: (env: NodeJS.ProcessEnv) => Keyring): Promise<Subject> {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-config-'));
  const keyring = make({ ...process.env, COFFER_CONFIG_DIR: directory });
  const empty = async (): Promise<void> => {
    for (const keyId of KEY_IDS) await keyring.delete(keyId);
  };
  await empty();
  return {
    keyring,
    async [Symbol.asyncDispose]() {
      await empty();
      rmSync(directory, { recursive: true });
    },
  };
}

function keyFile(): { directory: string; path: string } {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-key-'));
  const path = join(directory, 'coffer-key');
  writeFileSync(path, broughtKey);
  return { directory, path };
}

function subject(keyring: Keyring, dispose: () => void): Subject {
  return { keyring, [Symbol.asyncDispose]: async () => dispose() };
}
