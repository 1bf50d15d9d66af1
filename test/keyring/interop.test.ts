import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { NativeKeyring } from '../../src/keyring/fallback.ts';
import type { Keyring } from '../../src/keyring/keyring.ts';
import { KeytarKeyring } from '../../src/keyring/keytar.ts';
import { requireKeychain, startKeychain } from '../support/keychain.ts';
import { ROOMY } from '../support/patience.ts';

const KEY_ID = '00112233445566778899aabbccddeeff';
type Make = (env: NodeJS.ProcessEnv) => Keyring;
const throughKeytar: Make = (env) => new KeytarKeyring({ env, patience: ROOMY });
const throughTheBus: Make = (env) => new NativeKeyring('secret-service', env, ROOMY);

describe.each([
  ['keytar writes and the fallback reads', throughKeytar, throughTheBus],
  ['the fallback writes and keytar reads', throughTheBus, throughKeytar],
])('when %s', (_, makeWriter, makeReader) => {
  it('both find the same key', async (context) => {
    requireKeychain(context);
    await using keychain = await startKeychain();
    const env = { ...process.env, ...keychain.env };
    const secret = randomBytes(32);
    await makeWriter(env).set(KEY_ID, secret);
    expect(await makeReader(env).get(KEY_ID)).toEqual({ outcome: 'READY', secret });
  });

  it('there is one item with keytar’s attributes, whichever writes it again', async (context) => {
    requireKeychain(context);
    await using keychain = await startKeychain();
    const env = { ...process.env, ...keychain.env };
    const secret = randomBytes(32);
    await makeWriter(env).set(KEY_ID, randomBytes(32));
    await makeReader(env).set(KEY_ID, secret);
    expect(await makeWriter(env).get(KEY_ID)).toEqual({ outcome: 'READY', secret });
    expect(await keychain.items()).toEqual([
      {
        label: `coffer/${KEY_ID}`,
        secret: secret.toString('base64'),
        schema: 'org.freedesktop.Secret.Generic',
        attributes: { service: 'coffer', account: KEY_ID },
      },
    ]);
  });

  it('each deletes the other’s item', async (context) => {
    requireKeychain(context);
    await using keychain = await startKeychain();
    const env = { ...process.env, ...keychain.env };
    await makeWriter(env).set(KEY_ID, randomBytes(32));
    expect((await makeReader(env).delete(KEY_ID)).outcome).toBe('READY');
    expect((await makeWriter(env).get(KEY_ID)).outcome).toBe('NOT_FOUND');
    expect(await keychain.items()).toEqual([]);
  });
});
