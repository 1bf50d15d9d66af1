import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { NativeKeyring } from '../../src/keyring/fallback.ts';
import { KeytarKeyring } from '../../src/keyring/keytar.ts';
import { type Bus, requireKeychain, startBus, startKeychain } from '../support/keychain.ts';
import { ROOMY, ROOMY_ATTENDED } from '../support/patience.ts';
import { keychainThat, values } from '../support/stand-in-keychain.ts';

const KEY_ID = '00112233445566778899aabbccddeeff';
const SECRET = randomBytes(32);

// Without a Secret Service, only the addon's own answers count. Here they still come from a real
// one.
describe('keytar of another system', () => {
  it('takes null for a missing item', async (context) => {
    requireKeychain(context);
    await using keychain = await startKeychain();
    const keyring = elsewhere({ PATH: process.env['PATH'], ...keychain.env });
    expect(await keyring.probe()).toMatchObject({ outcome: 'READY' });
    expect(await keyring.get(KEY_ID)).toMatchObject({ outcome: 'NOT_FOUND' });
    expect(await keyring.delete(KEY_ID)).toMatchObject({ outcome: 'NOT_FOUND' });
    expect(await keyring.set(KEY_ID, SECRET)).toMatchObject({ outcome: 'READY' });
    expect(await keyring.get(KEY_ID)).toEqual({ outcome: 'READY', secret: SECRET });
  });

  it('classifies an error by its text', async (context) => {
    requireKeychain(context);
    await using bus = await startBus();
    const keyring = elsewhere({ PATH: process.env['PATH'], ...bus.env });
    for (const answer of [await keyring.get(KEY_ID), await keyring.set(KEY_ID, SECRET), await keyring.delete(KEY_ID)]) {
      expect(answer).toEqual({ outcome: 'ABSENT', detail: expect.stringMatching(/^no keychain: .*\.service files$/) });
    }
  });

  it('reports no write if the addon failed', async (context) => {
    requireKeychain(context);
    await using keychain = await startKeychain();
    await keychain.lockCollection();
    const keyring = elsewhere({ PATH: process.env['PATH'], ...keychain.env });
    expect(await keyring.set(KEY_ID, SECRET)).toMatchObject({ outcome: 'LOCKED' });
    await keychain.unlockCollection();
    expect(await keychain.items()).toEqual([]);
  });

  it('returns the name of its keychain', async () => {
    expect(await elsewhere({}).provider()).toBe('macOS Keychain');
    expect(await elsewhere({}, 'win32').provider()).toBe('Windows Credential Manager');
  });
});

describe('keytar on a keychain that misbehaves', () => {
  it('returns MISMATCH if an item exists but the addon finds no text in it', async (context) => {
    requireKeychain(context);
    await using bus = await startBus();
    using keychain = await keychainThat(bus, {});
    expect(await onLinux(bus).get(KEY_ID)).toEqual({ outcome: 'MISMATCH', detail: 'the item is not text' });
    expect(keychain.calls.map(({ member }) => member)).toContain('GetSecrets');
  });

  it('reports no write that the addon reports but did not make', async (context) => {
    requireKeychain(context);
    await using bus = await startBus();
    using keychain = await keychainThat(bus, {
      SearchItems: () => values('aoao', [], []),
      CreateItem: () => values('oo', '/', '/prompt/1'),
      Prompt: () => {
        const result = [true, { signature: 'o', value: '/' }];
        keychain.emit('/prompt/1', 'org.freedesktop.Secret.Prompt', 'Completed', 'bv', result);
        return values('');
      },
    });
    // The prompt is dismissed, but setPassword still resolves.
    expect(await onLinux(bus).set(KEY_ID, SECRET)).toEqual({
      outcome: 'DECLINED',
      detail: 'the keychain accepted the key but does not return it',
    });
    expect(keychain.calls.map(({ member }) => member)).toContain('Prompt');
  });

  it('reports no write that reads back differently', async (context) => {
    requireKeychain(context);
    await using bus = await startBus();
    const secret = ['/session/1', Buffer.alloc(0), Buffer.from('something else'), 'text/plain'];
    using _keychain = await keychainThat(bus, { GetSecrets: () => values('a{o(oayays)}', [['/c/1', secret]]) });
    expect(await onLinux(bus).set(KEY_ID, SECRET)).toMatchObject({ outcome: 'DECLINED' });
  });

  it('returns an outcome from the state if the addon fails', async (context) => {
    requireKeychain(context);
    await using bus = await startBus();
    using _keychain = await keychainThat(bus, { GetSecrets: () => ({ error: 'org.freedesktop.DBus.Error.Failed' }) });
    expect(await onLinux(bus).get(KEY_ID)).toMatchObject({ outcome: 'DECLINED' });
  });

  it('returns ABSENT if the keychain goes away meanwhile', async (context) => {
    requireKeychain(context);
    await using bus = await startBus();
    using keychain = await keychainThat(bus, {
      GetSecrets: () => {
        keychain[Symbol.dispose]();
        return 'silence';
      },
    });
    expect(await onLinux(bus).get(KEY_ID)).toEqual({
      outcome: 'ABSENT',
      detail: 'there is no keychain on the session bus',
    });
  });
});

describe('the keychains of other systems', () => {
  it('are absent if their programs are', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'coffer-config-'));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const security = new NativeKeyring('security', {}, ROOMY, 'darwin');
    expect(await security.provider()).toBe('macOS Keychain');
    const dpapi = new NativeKeyring('dpapi', { COFFER_CONFIG_DIR: directory }, ROOMY, 'win32');
    expect(await dpapi.provider()).toBe('Windows DPAPI');
    if (process.platform !== 'linux') return;
    for (const keyring of [security, dpapi]) {
      expect(await keyring.probe()).toMatchObject({ outcome: 'ABSENT' });
      expect(await keyring.set(KEY_ID, SECRET)).toMatchObject({ outcome: 'ABSENT' });
    }
    expect(await security.get(KEY_ID)).toMatchObject({ outcome: 'ABSENT' });
    expect(await security.delete(KEY_ID)).toMatchObject({ outcome: 'ABSENT' });
    expect(await dpapi.get(KEY_ID)).toMatchObject({ outcome: 'NOT_FOUND' });
    expect(await new NativeKeyring('dpapi', { APPDATA: directory }, ROOMY, 'win32').delete(KEY_ID)).toMatchObject({
      outcome: 'NOT_FOUND',
    });
  });
});

function elsewhere(env: NodeJS.ProcessEnv, platform: NodeJS.Platform = 'darwin'): KeytarKeyring {
  return new KeytarKeyring({ env, patience: ROOMY_ATTENDED, platform });
}

function onLinux(bus: Bus): KeytarKeyring {
  return new KeytarKeyring({ env: { PATH: process.env['PATH'], ...bus.env }, patience: ROOMY });
}
