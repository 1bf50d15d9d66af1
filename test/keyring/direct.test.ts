import { randomBytes } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import { lookEarly, takeLook } from '../../src/keyring/broker/early.ts';
import { lookUpKey } from '../../src/keyring/keyring.ts';
import { KeytarKeyring } from '../../src/keyring/keytar.ts';
import type { LookUp } from '../../src/keyring/outcomes.ts';
import type { Patience } from '../../src/keyring/patience.ts';
import { type StandIn, startSilentPrompter } from '../support/dbus-service.ts';
import { type Bus, requireKeychain, startBus, startKeychain } from '../support/keychain.ts';
import { PROMPT, ROOMY, ROOMY_ATTENDED } from '../support/patience.ts';
import { type Answers, keychainThat, secretOf, values } from '../support/stand-in-keychain.ts';

const KEY_ID = '00112233445566778899aabbccddeeff';
const SECRET = randomBytes(32);
const TEXT = SECRET.toString('base64');

beforeEach(requireKeychain);

describe('a look-up of keytar’s item', () => {
  it('starts no broker if the item exists and is unlocked', async () => {
    await using keychain = await startKeychain();
    await keychain.storeItem(KEY_ID, TEXT);
    expect(await lookUp(keychain)).toEqual({ brokers: 0, found: { outcome: 'READY', secret: SECRET } });
  });

  it('starts no broker if the item is missing, or locked without a user', async () => {
    await using keychain = await startKeychain();
    await keychain.storeItem(KEY_ID, TEXT);
    expect(await lookUp(keychain, ROOMY, 'f'.repeat(32))).toMatchObject({
      brokers: 0,
      found: { outcome: 'NOT_FOUND' },
    });
    await keychain.lockCollection();
    expect(await lookUp(keychain)).toMatchObject({ brokers: 0, found: { outcome: 'LOCKED' } });
  });

  it('uses a broker if the item is locked and a user is present', async () => {
    await using keychain = await startKeychain();
    await keychain.storeItem(KEY_ID, TEXT);
    await keychain.lockCollection();
    using prompter = await startSilentPrompter(keychain.env);
    const patience = { ...ROOMY_ATTENDED, prompt: PROMPT };
    expect(await lookUp(keychain, patience)).toMatchObject({ brokers: 1, found: { outcome: 'TIMEOUT' } });
    expect(prompter.calls.map(({ member }) => member)).toContain('BeginPrompting');
  });

  it('uses a broker if a locked collection may hide the item', async () => {
    await using keychain = await startKeychain();
    await keychain.lockCollection();
    expect(await lookUp(keychain, ROOMY_ATTENDED)).toMatchObject({ brokers: 1, found: { outcome: 'DECLINED' } });
  });

  it.for([
    ['there are two items', { SearchItems: () => values('aoao', ['/c/1', '/c/2'], []) }],
    ['one more is locked', { SearchItems: () => values('aoao', ['/c/1'], ['/d/1']) }],
    ['the service refuses it', { GetSecret: () => ({ error: 'org.freedesktop.Secret.Error.IsLocked' }) }],
    ['the service opens no session', { OpenSession: () => ({ error: 'org.freedesktop.DBus.Error.Failed' }) }],
    ['it is not text', { GetSecret: () => secretOf(TEXT, 'application/octet-stream') }],
    ['it is in an unknown format', { GetSecret: () => values('s', TEXT) }],
  ] as const)('uses a broker if %s', async ([, answers]) => {
    await using bus = await startBus();
    using _keychain = await keyedThat(bus, answers);
    expect((await lookUp(bus)).brokers).toBe(1);
  });

  it('uses only a broker if keytar is forced', async () => {
    await using keychain = await startKeychain();
    await keychain.storeItem(KEY_ID, TEXT);
    const env = envOf(keychain);
    const ready = { outcome: 'READY', secret: SECRET };
    expect(await lookUpKey(KEY_ID, { choice: 'keytar', env })).toEqual(ready);
    const { execPath } = process;
    try {
      process.execPath = '/bin/false'; // no broker can run
      expect(await lookUpKey(KEY_ID, { choice: 'keytar', env })).toMatchObject({ outcome: 'ABSENT' });
      expect(await lookUpKey(KEY_ID, { choice: 'auto', env })).toEqual(ready);
    } finally {
      process.execPath = execPath;
    }
  });

  it('retries for a moment if the method is unknown, but not forever', async () => {
    await using bus = await startBus();
    let asked = 0;
    const unknownUntil = (times: number) => () =>
      ++asked > times ? values('o', '/c') : { error: 'org.freedesktop.DBus.Error.UnknownMethod' };
    {
      using _keychain = await keyedThat(bus, { ReadAlias: unknownUntil(2) });
      expect((await lookUp(bus)).found).toEqual({ outcome: 'READY', secret: SECRET });
    }
    await using other = await startBus();
    asked = 0;
    using _never = await keyedThat(other, { ReadAlias: unknownUntil(99) });
    expect((await lookUp(other)).found).toMatchObject({ outcome: 'ABSENT' });
    expect(asked).toBe(5);
  });

  it('uses no broker if the same stand-in has one unlocked item', async () => {
    await using bus = await startBus();
    using _keychain = await keyedThat(bus, {});
    expect(await lookUp(bus)).toEqual({ brokers: 0, found: { outcome: 'READY', secret: SECRET } });
  });

  it('ends when the service goes silent, without a broker that would wait again', async () => {
    await using bus = await startBus();
    using _keychain = await keyedThat(bus, { GetSecret: () => 'silence' });
    const patience = { ...ROOMY, silence: 700 };
    expect(await lookUp(bus, patience)).toMatchObject({ brokers: 0, found: { outcome: 'TIMEOUT' } });
  });
});

describe('an early look-up', () => {
  it('serves only the first look-up of that key in that environment', async () => {
    await using keychain = await startKeychain();
    await keychain.storeItem(KEY_ID, TEXT);
    const env = envOf(keychain);
    lookEarly(env, KEY_ID);
    expect(await takeLook(env, KEY_ID)).toMatchObject({ text: TEXT });
    expect(takeLook(env, KEY_ID)).toBeUndefined();
    lookEarly(env, KEY_ID);
    expect(takeLook({ ...env }, KEY_ID)).toBeUndefined();
    lookEarly(env, KEY_ID);
    expect(takeLook(env, 'f'.repeat(32))).toBeUndefined();
  });

  it('is used by a look-up even if the item has since been deleted', async () => {
    await using keychain = await startKeychain();
    await keychain.storeItem(KEY_ID, TEXT);
    const env = envOf(keychain);
    lookEarly(env, KEY_ID);
    await keychain.items();
    await keychain.deleteItem(KEY_ID);
    const keyring = new KeytarKeyring({ env, patience: ROOMY });
    expect(await keyring.get(KEY_ID)).toEqual({ outcome: 'READY', secret: SECRET });
    expect(await keyring.get(KEY_ID)).toMatchObject({ outcome: 'NOT_FOUND' });
  });
});

async function lookUp(
  bus: Bus,
  patience: Patience = ROOMY,
  keyId = KEY_ID,
): Promise<{ brokers: number; found: LookUp }> {
  let brokers = 0;
  const onBroker = (): void => void brokers++;
  const found = await new KeytarKeyring({ env: envOf(bus), patience, onBroker }).get(keyId);
  return { brokers, found };
}

/** Starts an unlocked Secret Service with one item that has our key, except for `answers`. */
function keyedThat(bus: Bus, answers: Answers): Promise<StandIn> {
  return keychainThat(bus, { GetSecret: () => secretOf(TEXT, 'text/plain; charset=utf8'), ...answers });
}

function envOf(bus: Bus): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'], ...bus.env };
}
