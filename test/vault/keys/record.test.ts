import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { VaultKey } from '../../../src/envelope/key.ts';
import { MemoryKeyring } from '../../../src/keyring/memory.ts';
import { type OpenOptions, openVault, sessionsOf } from '../../../src/session/open-vault.ts';
import type { Sessions } from '../../../src/session/sessions.ts';
import { VaultDirectory } from '../../../src/vault/directory.ts';
import { readHeader } from '../../../src/vault/file/open.ts';
import type { VaultFile } from '../../../src/vault/keys/record/shape.ts';
import { takeOver } from '../../../src/vault/keys/take-over.ts';
import { seenCounter } from '../../../src/vault/marks/seen.ts';
import { VECTORS } from '../../envelope/support.ts';
import { ANSWERING } from '../../faults/record-scene.ts';
import { keyIn, readRecord, writeRecord, writeSealedRecord } from '../../support/record.ts';
import { begin, type Home, home, temporaryFolder, texts, user } from '../../support/vault.ts';

interface Legacy {
  readonly key: string;
  readonly keyId: string;
  readonly passphrase: string;
  readonly code: string;
  readonly message: string;
  readonly files: Record<string, string>;
}

const legacy: Legacy = JSON.parse(readFileSync(join(VECTORS, 'legacy-vault.json'), 'utf8'));

/** The vault of the vector, with its key in the keychain. */
async function legacyHome(): Promise<Home> {
  const at = home();
  for (const [path, bytes] of Object.entries(legacy.files)) {
    mkdirSync(dirname(join(at.directory, path)), { recursive: true, mode: 0o700 });
    writeFileSync(join(at.directory, path), Buffer.from(bytes, 'base64'), { mode: 0o600 });
  }
  await at.keyring.set(legacy.keyId, Buffer.from(legacy.key, 'hex'));
  return at;
}

async function saidIn(sessions: Sessions): Promise<unknown[]> {
  const rows = await sessions.list();
  return Promise.all(rows.map(async (row) => texts(await sessions.read(row))));
}

async function used(options: OpenOptions = {}): Promise<Home> {
  const at = home();
  await using sessions = await at.open(options);
  await begin(sessions).append(user('one'));
  return at;
}

const UNAUTHENTIC = { code: 'UNAUTHENTIC', message: expect.stringContaining('vault.json') };

describe('a vault that predates the MAC', () => {
  it('gets a MAC at its next opening, without a question, and only once', async () => {
    const at = await legacyHome();
    await using sessions = await at.open();
    expect(sessions.keys.record.distrust).toBeUndefined();
    expect(await saidIn(sessions)).toEqual([[legacy.message]]);
    const record = readRecord(at);
    expect(record).toMatchObject({ counter: 1, mac: expect.any(String), slots: [{}, {}] });
    await (await at.open()).close();
    expect(readRecord(at)).toEqual(record);
  });

  it('still opens with its passphrase and its recovery code', async () => {
    const at = await legacyHome();
    const elsewhere: OpenOptions = { directory: at.directory, keychain: 'passphrase', env: {} };
    const opened = await openVault({ ...elsewhere, askPassphrase: async () => legacy.passphrase });
    expect(await saidIn(opened)).toEqual([[legacy.message]]);
    expect(readRecord(at).mac).toBeDefined();
    for (const secret of [legacy.code, legacy.passphrase]) {
      const copy = await legacyHome();
      const there = sessionsOf({ directory: copy.directory, keyring: new MemoryKeyring(), env: {} });
      expect(await there.keys.recover({ askSecret: async () => secret })).toMatchObject({
        unlocked: { key: { id: legacy.keyId } },
      });
      expect(await saidIn(there)).toEqual([[legacy.message]]);
      expect(readRecord(copy).mac).toBeDefined();
    }
  });

  it('gets a MAC once if many processes open it at the same time', async () => {
    const at = await legacyHome();
    const all = await Promise.all(Array.from({ length: 8 }, () => at.open()));
    for (const sessions of all) expect(sessions.keys.record.distrust).toBeUndefined();
    expect(readRecord(at).counter).toBe(1);
  });

  it('does not get a MAC if it was changed since it was read', async () => {
    const at = await legacyHome();
    const before = readRecord(at);
    const place = new VaultDirectory(at.directory);
    const key = await keyIn(at.keyring, legacy.keyId);
    const changed = { ...before, provider: 'another' };
    writeRecord(at, changed);
    expect(takeOver(place, before, key)).toBeUndefined();
    expect(readRecord(at)).toEqual(changed);
    const taken = await writeSealedRecord(at, { ...changed, counter: 6 });
    expect(takeOver(place, before, key)).toBe(7);
    expect(readRecord(at)).toEqual(taken);
  });

  it('opens if it cannot be written, and is not pinned before it has a MAC', async () => {
    const at = await legacyHome();
    const before = readFileSync(join(at.directory, 'vault.json'));
    mkdirSync(join(at.directory, 'locks/vault'), { recursive: true }); // no process can take the lock
    for (let time = 0; time < 2; time++) {
      const sessions = sessionsOf({ directory: at.directory, keyring: at.keyring, env: {} });
      expect(await saidIn(sessions)).toEqual([[legacy.message]]);
      expect(sessions.keys.record.distrust).toBeUndefined();
    }
    expect(readFileSync(join(at.directory, 'vault.json'))).toEqual(before);
    rmSync(join(at.directory, 'locks'), { recursive: true });
    await (await at.open()).close();
    expect(readRecord(at).mac).toBeDefined();
  });

  it.each([false, true])('gets no MAC if the directory is known, seen gone: %s', async (isGone) => {
    const at = await used();
    if (isGone) rmSync(join(at.directory, 'seen'));
    const { mac: _mac, counter: _counter, ...old } = readRecord(at);
    writeRecord(at, old);
    await using sessions = await at.open();
    expect(sessions.keys.record.distrust).toMatchObject({ ...UNAUTHENTIC, reason: 'its MAC is missing' });
    expect(readRecord(at)).toEqual(old);
  });

  it('can be read if its rotation was interrupted, which continues only once that is accepted', async () => {
    const at = await legacyHome();
    const next = VaultKey.generate();
    await at.keyring.set(next.id, next.bytes());
    writeRecord(at, { ...readRecord(at), key: next.id, retiring: legacy.keyId, slots: [], retiringSlots: [] });
    const sessions = await at.open();
    expect(sessions.keys.record.distrust).toMatchObject({
      ...UNAUTHENTIC,
      advice: expect.stringContaining('coffer key trust'),
    });
    expect(await saidIn(sessions)).toEqual([[legacy.message]]);
    await expect(begin(sessions).append(user('new'))).rejects.toMatchObject(UNAUTHENTIC);
    const [name = ''] = at.files();
    expect(readHeader(at.path(name), name).keyId).toBe(legacy.keyId);
    expect(await at.keyring.get(legacy.keyId)).toMatchObject({ outcome: 'READY' });
    const change = await sessions.keys.record.changes();
    expect(change).toEqual({ key: next.id, known: undefined, access: undefined });
    await sessions.keys.record.trust(change!);
    await using again = await at.open();
    expect(again.keys.record.distrust).toBeUndefined();
    expect(await saidIn(again)).toEqual([[legacy.message]]);
    expect(readHeader(at.path(name), name).keyId).toBe(next.id);
    expect(await at.keyring.get(legacy.keyId)).toMatchObject({ outcome: 'NOT_FOUND' });
  });
});

describe('the counter of vault.json', () => {
  it('rises at every change, and is recorded in seen', async () => {
    const at = await used();
    await using sessions = await at.open();
    const slot = await sessions.keys.slots.addPassphrase('words');
    await sessions.keys.slots.remove(slot.id);
    const { counter, key } = readRecord(at);
    expect(counter).toBe(3);
    expect(seenCounter(new VaultDirectory(at.directory), { key: await keyIn(at.keyring, key) })).toBe(3);
    await sessions.keys.rotate(ANSWERING);
    const rotated = readRecord(at);
    expect(rotated.counter).toBe(5);
    expect(seenCounter(new VaultDirectory(at.directory), { key: await keyIn(at.keyring, rotated.key) })).toBe(5);
  });

  it('stays in seen while vault.json is not trusted: an older copy is still detected afterwards', async () => {
    const at = await used();
    const before = readRecord(at);
    const sessions = await at.open();
    await sessions.keys.slots.addPassphrase('words');
    await sessions.close();
    writeRecord(at, { ...readRecord(at), provider: 'theirs' });
    const meanwhile = await at.open();
    await begin(meanwhile).append(user('two'));
    await meanwhile.close();
    writeRecord(at, before);
    await using again = await at.open();
    expect(again.keys.record.distrust).toMatchObject({ reason: expect.stringContaining('an older copy was put back') });
  });

  it('raises no alarm after a change that was killed before it was recorded in seen', async () => {
    const at = await used();
    const seen = readFileSync(join(at.directory, 'seen'));
    await using sessions = await at.open();
    await sessions.keys.slots.addPassphrase('words');
    writeFileSync(join(at.directory, 'seen'), seen);
    await using again = await at.open();
    expect(again.keys.record.distrust).toBeUndefined();
  });

  it('cannot show an older copy if seen is gone, which is reported', async () => {
    const at = await used();
    const before = readRecord(at);
    await using sessions = await at.open();
    await sessions.keys.slots.addPassphrase('words');
    writeRecord(at, before);
    rmSync(join(at.directory, 'seen'));
    await using again = await at.open();
    expect(again.keys.record.distrust).toBeUndefined();
    await again.list();
    expect(again.upkeep.seen).toMatchObject({ state: 'missing' });
  });
});

describe('a vault.json that something else writes while the vault is open', () => {
  it.each<[string, (now: VaultFile, before: VaultFile) => object, string]>([
    ['with another provider', (now) => ({ ...now, provider: 'theirs' }), 'its MAC is wrong'],
    ['without a MAC', ({ mac: _, ...others }) => others, 'its MAC is missing'],
    ['from before a change', (_, before) => before, 'an older copy was put back: found change 1, last seen 2'],
  ])('is not changed any further: %s', async (_, written, reason) => {
    const at = await used();
    await using sessions = await at.open();
    const before = readRecord(at);
    await sessions.keys.slots.addPassphrase('words');
    const found = written(readRecord(at), before);
    writeRecord(at, found);
    await expect(sessions.keys.slots.addPassphrase('more')).rejects.toMatchObject({ ...UNAUTHENTIC, reason });
    await expect(sessions.keys.rotate(ANSWERING)).rejects.toMatchObject({ ...UNAUTHENTIC, reason });
    expect(readRecord(at)).toEqual(found);
  });
});

describe('a vault on a second machine', () => {
  /**
   * Opens the vault on the second machine, which shares the directory and knows the key of that
   * time.
   */
  async function second(at: Home): Promise<{ config: string; keyring: MemoryKeyring }> {
    const config = join(temporaryFolder(), 'config');
    const keyring = new MemoryKeyring();
    await carry(at, keyring);
    await (await at.open({ config, keyring })).close();
    return { config, keyring };
  }

  async function carry(at: Home, keyring: MemoryKeyring): Promise<void> {
    const { key } = readRecord(at);
    await keyring.set(key, (await keyIn(at.keyring, key)).bytes());
  }

  it('follows the certificate of a rotation', async () => {
    const at = await used();
    const there = await second(at);
    await (await at.open()).keys.rotate(ANSWERING);
    await expect(at.open(there)).rejects.toMatchObject({
      code: 'KEY_NOT_FOUND',
      advice: expect.stringContaining('coffer recover'),
    });
    await carry(at, there.keyring);
    await using sessions = await at.open(there);
    expect(sessions.keys.record.distrust).toBeUndefined();
    await begin(sessions).append(user('there'));
  });

  it('follows several certificates through the keys that it has, and otherwise names them', async () => {
    for (const isMissing of [false, true]) {
      const at = await used();
      const there = await second(at);
      await (await at.open()).keys.rotate(ANSWERING);
      if (!isMissing) await carry(at, there.keyring);
      await (await at.open()).keys.rotate(ANSWERING);
      await carry(at, there.keyring);
      const sessions = await at.open(there);
      if (!isMissing) {
        expect(sessions.keys.record.distrust).toBeUndefined();
        continue;
      }
      expect(sessions.keys.record.distrust).toMatchObject({
        ...UNAUTHENTIC,
        advice: expect.stringContaining('coffer key trust'),
      });
      await sessions.keys.record.trust((await sessions.keys.record.changes())!);
      await using again = await at.open(there);
      expect(again.keys.record.distrust).toBeUndefined();
      expect(await again.list()).toMatchObject([{ messages: 1 }]);
    }
  });

  it('does not follow a rotation without the certificates', async () => {
    const at = await used();
    const there = await second(at);
    await (await at.open()).keys.rotate(ANSWERING);
    await carry(at, there.keyring);
    const { key, ...others } = readRecord(at);
    const sealed = (await import('../../../src/vault/keys/record/record.ts')).authenticated(
      { ...others, key, successors: [] },
      await keyIn(at.keyring, key),
    );
    writeRecord(at, sealed);
    await using sessions = await at.open(there);
    expect(sessions.keys.record.distrust).toMatchObject({ reason: expect.stringContaining(`it names key ${key}`) });
  });

  it('does not follow a rotation if the old key was in no keychain, until that is accepted', async () => {
    const { directory } = home();
    const machine = (config: string): OpenOptions => {
      return { directory, config, keychain: 'passphrase', env: {}, askPassphrase: async () => 'words' };
    };
    const [here, there] = [machine(temporaryFolder()), machine(temporaryFolder())];
    const sessions = await openVault(here);
    await begin(sessions).append(user('one'));
    await sessions.close();
    await (await openVault(there)).close();
    await (await openVault(here)).keys.rotate({ ...ANSWERING, passphrase: async () => 'words' });
    const advice = expect.stringContaining('coffer key trust');
    await expect(openVault(there)).rejects.toMatchObject({ ...UNAUTHENTIC, advice });
    const { record } = sessionsOf(there).keys;
    await record.trust((await record.changes())!);
    await using again = await openVault(there);
    expect(again.keys.record.distrust).toBeUndefined();
    expect(await saidIn(again)).toEqual([['one']]);
  });

  it('follows a rotation while it has the vault open, with the key that it holds', async () => {
    const at = await used();
    const there = await second(at);
    const sessions = await at.open(there);
    await (await at.open()).keys.rotate(ANSWERING);
    await carry(at, there.keyring);
    await there.keyring.delete(sessions.keys.status.state === 'ready' ? sessions.keys.status.keyId : '');
    await begin(sessions).append(user('there'));
    expect(sessions.keys.record.distrust).toBeUndefined();
    await sessions.close();
  });
});

describe('a rotation', () => {
  it('does not continue if the new key cannot be pinned, and drops nothing', async () => {
    const config = join(temporaryFolder(), 'config');
    const at = await used({ config });
    const { key } = readRecord(at);
    rmSync(join(config, 'vaults.lock'));
    mkdirSync(join(config, 'vaults.lock'));
    const sessions = await at.open({ config });
    await expect(sessions.keys.rotate(ANSWERING)).rejects.toMatchObject({ code: 'FAILED' });
    expect(await at.keyring.get(key)).toMatchObject({ outcome: 'READY' });
    for (const name of at.files()) expect(readHeader(at.path(name), name).keyId).toBe(key);
    await using between = await at.open({ config });
    expect(between.keys.record.distrust).toBeUndefined();
    expect(await saidIn(between)).toEqual([['one']]);
    rmSync(join(config, 'vaults.lock'), { recursive: true });
    await (await at.open({ config })).close();
    expect(readRecord(at)).not.toHaveProperty('retiring');
    expect(await at.keyring.get(key)).toMatchObject({ outcome: 'NOT_FOUND' });
  });

  it('of a vault with a passphrase continues after it ended before the new key was pinned', async () => {
    const [directory, config] = [join(temporaryFolder(), 'data'), join(temporaryFolder(), 'config')];
    const options = { directory, config, keychain: 'passphrase', env: {}, askPassphrase: async () => 'words' } as const;
    const first = await openVault(options);
    await begin(first).append(user('one'));
    await first.close();
    const { key } = readRecord({ directory });
    const rotating = await openVault(options);
    rmSync(join(config, 'vaults.lock'));
    mkdirSync(join(config, 'vaults.lock'));
    const asked = { ...ANSWERING, passphrase: async () => 'words' };
    await expect(rotating.keys.rotate(asked)).rejects.toMatchObject({ code: 'FAILED' });
    rmSync(join(config, 'vaults.lock'), { recursive: true });
    expect(readRecord({ directory })).toMatchObject({ retiring: key });
    await using second = await openVault(options);
    expect(second.keys.record.distrust).toBeUndefined();
    expect(await saidIn(second)).toEqual([['one']]);
    expect(readRecord({ directory })).not.toHaveProperty('retiring');
  });

  it('drops no key without a certificate that it was replaced', async () => {
    const at = await used();
    const other = VaultKey.generate();
    await writeSealedRecord(at, { ...readRecord(at), retiring: other.id });
    const sessions = sessionsOf({ directory: at.directory, keyring: at.keyring, env: {} });
    await sessions.keys.unlock();
    await at.keyring.set(other.id, other.bytes());
    await expect(sessions.keys.finishRotation()).rejects.toMatchObject({
      code: 'UNAUTHENTIC',
      message: expect.stringContaining('no certificate'),
    });
    expect(await at.keyring.get(other.id)).toMatchObject({ outcome: 'READY' });
  });

  it('keeps its certificate permanently', async () => {
    const at = await used();
    await (await at.open()).keys.rotate(ANSWERING);
    await (await at.open()).keys.rotate(ANSWERING);
    expect(readRecord(at).successors).toHaveLength(2);
  });
});

describe('another vault in place of a known one', () => {
  it('is reported, and opens once that is accepted', async () => {
    const at = await used();
    const other = home(undefined, at.keyring);
    const sessions = await other.open();
    await begin(sessions).append(user('another'));
    await sessions.close();
    rmSync(at.directory, { recursive: true });
    cpSync(other.directory, at.directory, { recursive: true, verbatimSymlinks: true });
    const found = await at.open();
    expect(found.keys.record.distrust).toMatchObject({
      ...UNAUTHENTIC,
      advice: expect.stringContaining('coffer key trust'),
    });
    await expect(found.keys.record.repair()).rejects.toMatchObject({ code: 'UNAUTHENTIC' });
    await found.keys.record.trust((await found.keys.record.changes())!);
    await using again = await at.open();
    expect(again.keys.record.distrust).toBeUndefined();
    expect(await saidIn(again)).toEqual([['another']]);
  });
});

describe('a repair', () => {
  it('changes nothing if vault.json is as coffer wrote it', async () => {
    const at = await used();
    const before = readFileSync(join(at.directory, 'vault.json'));
    await using sessions = await at.open();
    expect(await sessions.keys.record.repair()).toBeUndefined();
    expect(readFileSync(join(at.directory, 'vault.json'))).toEqual(before);
  });

  it('names the lost slots, and says that there may have been more if they cannot be read', async () => {
    const at = await used();
    const sessions = await at.open();
    const slot = await sessions.keys.slots.addPassphrase('words');
    const record = readRecord(at);
    writeRecord(at, { ...record, provider: 'x' });
    const changed = await at.open();
    await expect(changed.keys.slots.remove(slot.id)).rejects.toMatchObject(UNAUTHENTIC);
    expect(await changed.keys.record.repair()).toMatchObject({ lost: [slot], otherKeys: [] });
    expect(changed.keys.record.distrust).toBeUndefined();
    expect(readRecord(at)).toMatchObject({ slots: [], backend: 'memory' });
    rmSync(join(at.directory, 'vault.json'));
    expect(await (await at.open()).keys.record.repair()).toMatchObject({ lost: [] });
  });

  it('keeps the passphrase that opened a vault without a keychain, and no other', async () => {
    const at = home();
    const options = { directory: at.directory, keychain: 'passphrase', env: {} } as const;
    const ask = { askPassphrase: async () => 'words' };
    const sessions = await openVault({ ...options, ...ask });
    await begin(sessions).append(user('one'));
    const lost = await sessions.keys.slots.addPassphrase('others');
    await sessions.close();
    writeRecord(at, { ...readRecord(at), provider: 'x' });
    const changed = await openVault({ ...options, ...ask });
    expect(await changed.keys.record.repair()).toMatchObject({ lost: [lost] });
    await using again = await openVault({ ...options, ...ask });
    expect(again.keys.record.distrust).toBeUndefined();
    expect(await saidIn(again)).toEqual([['one']]);
  });

  it('is refused without a keychain while the slots are gone, which have the only key', async () => {
    const at = home();
    const options: OpenOptions = { directory: at.directory, keychain: 'passphrase', env: {} };
    const ask = { ...options, askPassphrase: async () => 'words' };
    const sessions = await openVault(ask);
    await begin(sessions).append(user('one'));
    await sessions.close();
    const record = readRecord(at);
    writeRecord(at, { ...record, slots: [] });
    const changed = { code: 'UNAUTHENTIC', reason: 'no passphrase opens it any more' };
    await expect(openVault(ask)).rejects.toMatchObject(changed);
    await expect(sessionsOf(ask).keys.record.repair()).rejects.toMatchObject(changed);
    writeRecord(at, record);
    await using again = await openVault(ask);
    expect(again.keys.record.distrust).toBeUndefined();
    expect(await saidIn(again)).toEqual([['one']]);
  });

  it('is noticed by processes that have the vault open, and made once', async () => {
    const at = await used({ config: temporaryFolder() });
    writeRecord(at, { ...readRecord(at), provider: 'another' });
    const options = { config: temporaryFolder() };
    await using here = await at.open(options);
    await using there = await at.open(options);
    await using late = await at.open(options);
    const session = begin(here);
    await expect(session.append(user('two'))).rejects.toMatchObject(UNAUTHENTIC);
    const [repaired] = await Promise.all([
      there.keys.record.repair(),
      expect(late.keys.record.repair()).rejects.toMatchObject({ code: 'VAULT_BUSY' }),
    ]);
    expect(repaired).toMatchObject({ lost: [] });
    await there.keys.slots.addRecoveryCode(async (code) => code);
    await session.append(user('three'));
    expect(here.keys.record.distrust).toBeUndefined();
    expect(await here.keys.record.repair()).toBeUndefined();
    expect(await late.keys.record.repair()).toBeUndefined();
    expect(readRecord(at).slots).toHaveLength(1);
  });

  it('works for an unknown directory, with the key that the sealed files name', async () => {
    const at = await used();
    const directory = join(temporaryFolder(), 'data');
    cpSync(at.directory, directory, { recursive: true, verbatimSymlinks: true });
    rmSync(join(directory, 'vault.json'));
    const copy = home(directory, at.keyring);
    const sessions = await copy.open();
    await expect(begin(sessions).append(user('new'))).rejects.toMatchObject(UNAUTHENTIC);
    await sessions.keys.record.repair();
    await begin(sessions).append(user('new'));
    await sessions.close();
    await using again = await copy.open();
    expect((await saidIn(again)).flat()).toEqual(expect.arrayContaining(['new', 'one']));
  });
});
