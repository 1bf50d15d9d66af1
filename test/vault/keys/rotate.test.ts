import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Keyring } from '../../../src/keyring/keyring.ts';
import type { MemoryKeyring } from '../../../src/keyring/memory.ts';
import { openVault, sessionsOf } from '../../../src/session/open-vault.ts';
import type { Sessions } from '../../../src/session/sessions.ts';
import { readHeader } from '../../../src/vault/file/open.ts';
import type { VaultFile } from '../../../src/vault/keys/record/vault-file.ts';
import type { Rotated } from '../../../src/vault/keys/rotation/rotate.ts';
import type { SlotRow } from '../../../src/vault/keys/slots/key-slots.ts';
import type { Rewrapping } from '../../../src/vault/keys/slots/rewrap.ts';
import { Vault } from '../../../src/vault/vault.ts';
import { begin, crashed, type Home, home, texts, user } from '../../support/vault.ts';

/** Creates a vault with a session of two steps, one that appends, and a snapshot. */
async function furnished(): Promise<Home> {
  const at = home();
  const sessions = await at.open();
  const small = begin(sessions);
  await small.append(user('one'));
  await small.append(user('two'));
  await small.save('kept');
  const large = begin(sessions);
  await large.append(user('x'.repeat(200_000)));
  await large.append(user('behind'));
  await sessions.close();
  return at;
}

function unfinished({ directory, keyring }: Home): Sessions {
  return sessionsOf({ directory, keyring, env: {} });
}

function vaultOf(at: Home, keyring: Keyring = at.keyring): Vault {
  return new Vault({ directory: at.directory, keyring, choice: 'auto', env: {} });
}

function rotate(at: Home, keyring?: Keyring): Promise<Rotated> {
  return vaultOf(at, keyring).keys.rotate(NOBODY);
}

function record(at: Home): VaultFile {
  return JSON.parse(readFileSync(join(at.directory, 'vault.json'), 'utf8')) as VaultFile;
}

function keyIds(at: Home): Set<string> {
  return new Set(at.files().map((name) => readHeader(at.path(name), name).keyId));
}

/** Reads everything, and leaves an interrupted rotation as it is. */
async function contents(at: Home): Promise<unknown[]> {
  const sessions = unfinished(at);
  const rows = await sessions.list();
  return Promise.all(rows.map(async (row) => [row.id, row.kind, texts(await sessions.read(row))]));
}

/** A keyring that fails from its n-th change on, as if the process had ended there. */
function endingAt(keyring: MemoryKeyring, left: { changes: number }): Keyring {
  const count = (): void => {
    left.changes -= 1;
    if (left.changes < 0) throw new Error('the end');
  };
  return {
    backend: 'memory',
    probe: () => keyring.probe(),
    provider: () => keyring.provider(),
    get: (keyId) => keyring.get(keyId),
    set: async (keyId, secret) => {
      count();
      return keyring.set(keyId, secret);
    },
    delete: async (keyId) => {
      count();
      return keyring.delete(keyId);
    },
  };
}

describe('rotate', () => {
  it('reseals everything with a new key, drops the old one, and keeps every word', async () => {
    const at = await furnished();
    const before = await contents(at);
    const old = record(at).key;
    const rotated = await rotate(at);
    const { key, ...others } = record(at);
    expect(key).not.toBe(old);
    expect(others).not.toHaveProperty('retiring');
    expect(keyIds(at)).toEqual(new Set([key]));
    expect(rotated).toMatchObject({ from: old, to: key, resealed: 3, remaining: [], oldSlots: [] });
    expect(await at.keyring.get(old)).toMatchObject({ outcome: 'NOT_FOUND' });
    expect(await at.keyring.get(key)).toMatchObject({ outcome: 'READY' });
    expect(await contents(at)).toEqual(before);
  });

  it('raises each generation by one and leaves the modes as they are', async () => {
    const at = await furnished();
    const generations = (): Map<string, bigint> =>
      new Map(at.files().map((name) => [name, readHeader(at.path(name), name).generation]));
    const before = generations();
    await rotate(at);
    expect(generations()).toEqual(new Map([...before].map(([name, generation]) => [name, generation + 1n])));
    for (const name of at.files()) expect(statSync(at.path(name)).mode & 0o777).toBe(0o600);
  });

  it('is refused while a session is held, naming who holds it, and changes nothing', async () => {
    const at = await furnished();
    await using sessions = await at.open();
    await begin(sessions).append(user('held'));
    const before = record(at);
    await expect(rotate(at)).rejects.toMatchObject({
      code: 'SESSION_IN_USE',
      message: expect.stringContaining(`process ${process.pid} since`),
    });
    expect(record(at)).toEqual(before);
    expect(keyIds(at)).toEqual(new Set([before.key]));
  });

  it('is refused if a newer version wrote a file, and changes nothing', async () => {
    const at = await furnished();
    const [name = ''] = at.files();
    const bytes = readFileSync(at.path(name));
    bytes[8] = 2;
    writeFileSync(at.path(name), bytes);
    const before = record(at);
    await expect(rotate(at)).rejects.toMatchObject({ code: 'NEWER_VERSION', message: expect.stringContaining(name) });
    expect(record(at)).toEqual(before);
    expect(readFileSync(at.path(name))).toEqual(bytes);
  });

  it('reseals what is in quarantine', async () => {
    const at = await furnished();
    const [name = ''] = at.files();
    const kept = join(at.directory, 'quarantine', `${name}.torn.0a0a0a0a`);
    mkdirSync(join(at.directory, 'quarantine'), { recursive: true });
    copyFileSync(at.path(name), kept);
    writeFileSync(`${kept}.txt`, 'a note\n');
    const temp = join(at.directory, 'quarantine', `.${name}.torn.0a0a0a0a.0123456789abcdef.tmp`);
    copyFileSync(at.path(name), temp); // as a killed rotation leaves it
    await rotate(at);
    expect(existsSync(temp)).toBe(false);
    expect(readHeader(kept, name).keyId).toBe(record(at).key);
    expect(readFileSync(`${kept}.txt`, 'utf8')).toBe('a note\n');
  });

  it('reseals a torn session without its torn end', async () => {
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('x'.repeat(200_000)));
    await session.append(user('whole'));
    await session.append(user('torn'));
    const dead = crashed(at);
    const [name = ''] = dead.files();
    truncateSync(dead.path(name), statSync(dead.path(name)).size - 10);
    expect(await rotate(dead)).toMatchObject({ resealed: 1, remaining: [] });
    const [[, , said] = []] = (await contents(dead)) as [string, string, string[]][];
    expect(said?.at(-1)).toBe('whole');
  });

  it('keeps the old key while a file that does not open needs it, and names the file', async () => {
    const at = await furnished();
    const [name = ''] = at.files();
    const bytes = readFileSync(at.path(name));
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(at.path(name), bytes);
    const old = record(at).key;
    const rotated = await rotate(at);
    expect(rotated.remaining).toMatchObject([{ path: at.path(name), error: { code: 'UNAUTHENTIC' } }]);
    expect(record(at)).toMatchObject({ key: rotated.to, retiring: old });
    expect(await at.keyring.get(old)).toMatchObject({ outcome: 'READY' });
    expect(readFileSync(at.path(name))).toEqual(bytes);
    await expect(rotate(at)).rejects.toMatchObject({ code: 'VAULT_BUSY', message: expect.stringContaining(old) });
    expect(record(at)).toMatchObject({ key: rotated.to, retiring: old });
    await (await at.open()).delete((await (await at.open()).list()).find(({ fileId }) => fileId === name)!);
    expect(await vaultOf(at).keys.finishRotation()).toMatchObject({ resealed: 0, remaining: [] });
    expect(record(at)).not.toHaveProperty('retiring');
    expect(await at.keyring.get(old)).toMatchObject({ outcome: 'NOT_FOUND' });
  });

  it.each([
    ['magic', 3],
    ['kind', 9],
  ])('keeps the old key for a file with a damaged %s, which can be salvaged', async (_, offset) => {
    const at = await furnished();
    const [name = ''] = at.files();
    const bytes = readFileSync(at.path(name));
    bytes[offset]! ^= 0x40;
    writeFileSync(at.path(name), bytes);
    writeFileSync(at.path('0'.repeat(32)), 'no sealed file');
    writeFileSync(at.path('1'.repeat(32)), Buffer.alloc(5000));
    const old = record(at).key;
    const { remaining } = await rotate(at);
    expect(remaining).toMatchObject([{ path: at.path(name), error: { code: 'UNAUTHENTIC' } }]);
    expect(await at.keyring.get(old)).toMatchObject({ outcome: 'READY' });
    await using sessions = await at.open();
    expect(await sessions.upkeep.salvage(name)).toMatchObject({ damaged: true, lost: [] });
  });

  it('does not reseal an older copy, which would hide the rollback', async () => {
    const at = home();
    const sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('one'));
    const path = at.path(session.fileId!);
    const older = readFileSync(path);
    await session.append(user('two'));
    await sessions.close();
    writeFileSync(path, older);
    const rotated = await rotate(at);
    expect(rotated.remaining).toMatchObject([{ path, error: { code: 'ROLLED_BACK' } }]);
    expect(readFileSync(path)).toEqual(older);
    const again = unfinished(at);
    expect(await again.list()).toMatchObject([{ rolledBack: expect.stringContaining('older copy') }]);
    const accepted = await again.resume((await again.list())[0]!, { acceptOlder: true });
    await accepted.append(user('going on'));
    await again.close();
    expect(await vaultOf(at).keys.finishRotation()).toMatchObject({ remaining: [] });
    expect(await unfinished(at).list()).not.toMatchObject([{ rolledBack: expect.anything() }]);
  });

  it('raises no alarm of its own', async () => {
    const at = await furnished();
    await rotate(at);
    await rotate(at);
    for (const row of await unfinished(at).list()) expect(row).not.toHaveProperty('rolledBack', expect.anything());
  });

  it('leaves a file of another vault alone, and keeps the old key because of it', async () => {
    const at = await furnished();
    const other = await furnished();
    const [foreign = ''] = other.files();
    copyFileSync(other.path(foreign), at.path(foreign));
    const bytes = readFileSync(at.path(foreign));
    const rotated = await rotate(at);
    expect(rotated).toMatchObject({
      resealed: 3,
      remaining: [{ path: at.path(foreign), error: { code: 'KEY_OTHER' } }],
    });
    expect(readFileSync(at.path(foreign))).toEqual(bytes);
    expect(await at.keyring.get(rotated.from)).toMatchObject({ outcome: 'READY' });
    rmSync(at.path(foreign));
    expect(await vaultOf(at).keys.finishRotation()).toMatchObject({ remaining: [] });
    expect(await at.keyring.get(rotated.from)).toMatchObject({ outcome: 'NOT_FOUND' });
  });

  it('continues after it ended before the old key was dropped, and needs no second key', async () => {
    const at = await furnished();
    const before = await contents(at);
    const old = record(at).key;
    await expect(rotate(at, endingAt(at.keyring, { changes: 1 }))).rejects.toThrow('the end');
    expect(record(at)).toMatchObject({ retiring: old });
    expect(await contents(at)).toEqual(before);
    expect(await vaultOf(at).keys.finishRotation()).toMatchObject({ from: old, remaining: [] });
    expect(record(at)).not.toHaveProperty('retiring');
    expect(await contents(at)).toEqual(before);
  });

  it('continues automatically when the vault is opened, or if a session is held, the next time', async () => {
    const at = await furnished();
    await expect(rotate(at, endingAt(at.keyring, { changes: 1 }))).rejects.toThrow('the end');
    const holder = unfinished(at);
    const session = begin(holder);
    await session.append(user('held'));
    await (await at.open()).close();
    expect(record(at)).toHaveProperty('retiring');
    await holder.close();
    await (await at.open()).close();
    expect(record(at)).not.toHaveProperty('retiring');
  });

  it('leaves the vault with its old key if the new one cannot be stored', async () => {
    const at = await furnished();
    const before = record(at);
    await expect(rotate(at, endingAt(at.keyring, { changes: 0 }))).rejects.toThrow('the end');
    expect(record(at)).toEqual(before);
  });

  it('keeps everything readable half-way, and a save uses the new key', async () => {
    const at = await furnished();
    const paths = [join(at.directory, 'seen'), ...at.files().map((name) => at.path(name))];
    const old = new Map(paths.map((path) => [path, readFileSync(path)]));
    const before = await contents(at);
    await expect(rotate(at, endingAt(at.keyring, { changes: 1 }))).rejects.toThrow('the end');
    // As if the process had ended before it reached any of these.
    for (const [path, bytes] of old) writeFileSync(path, bytes);
    expect(keyIds(at)).toEqual(new Set([record(at).retiring]));
    expect(await contents(at)).toEqual(before);
    const sessions = unfinished(at);
    const session = await sessions.resume((await sessions.list())[0]!);
    await session.append(user('more'));
    expect(readHeader(at.path(session.fileId!), session.fileId!).keyId).toBe(record(at).key);
    await sessions.close();
    expect(await vaultOf(at).keys.finishRotation()).toMatchObject({ resealed: 2, remaining: [] });
    expect(keyIds(at)).toEqual(new Set([record(at).key]));
  });

  it('reaches another process that has the vault open at its next step', async () => {
    const at = await furnished();
    const sessions = await at.open();
    expect(await sessions.list()).toHaveLength(3);
    await rotate(at);
    const session = begin(sessions);
    await session.append(user('after'));
    expect(keyIds(at)).toEqual(new Set([record(at).key]));
    await sessions.close();
    expect((await contents(at)).length).toBe(4);
  });

  it('asks for each passphrase before anything is changed, and replaces the slots', async () => {
    const at = await furnished();
    await using sessions = await at.open();
    await sessions.keys.slots.addPassphrase('first secret');
    await sessions.keys.slots.addPassphrase('second secret');
    const before = record(at);
    const slotsBefore = sessions.keys.slots.list().slots;
    const given = ['wrong', 'first secret', undefined];
    const dropped: SlotRow[] = [];
    const passphrase = async (slot: SlotRow, attempt: number): Promise<string | undefined> => {
      expect(record(at)).toEqual(before);
      expect([slot.kind, attempt]).toEqual(['passphrase', given.length === 2 ? 2 : 1]);
      return given.shift();
    };
    const rotated = await vaultOf(at).keys.rotate({
      ...NOBODY,
      passphrase,
      onDropped: (slot) => dropped.push(slot),
    });
    expect(dropped).toMatchObject([{ kind: 'passphrase' }]);
    expect(record(at).slots).toHaveLength(1);
    expect(rotated.oldSlots).toEqual(slotsBefore);
    const opened = await openVault({
      directory: at.directory,
      keychain: 'passphrase',
      env: {},
      askPassphrase: async () => 'first secret',
    });
    expect(opened.keys.status).toMatchObject({ keyId: rotated.to });
  });

  it('replaces the recovery codes by a new one, or drops them if it is not typed back', async () => {
    const at = await furnished();
    await using sessions = await at.open();
    await sessions.keys.slots.addRecoveryCode(async (code) => code);
    await sessions.keys.slots.addRecoveryCode(async (code) => code);
    const shown: string[] = [];
    const confirmCode = async (code: string): Promise<string> => {
      shown.push(code);
      return code;
    };
    await vaultOf(at).keys.rotate({ ...NOBODY, confirmCode });
    expect(record(at).slots).toMatchObject([{ kind: 'recovery' }]);
    expect(shown).toHaveLength(1);
    const dropped: SlotRow[] = [];
    await vaultOf(at).keys.rotate({ ...NOBODY, onDropped: (slot) => dropped.push(slot) });
    expect(record(at).slots).toEqual([]);
    expect(dropped).toMatchObject([{ kind: 'recovery' }]);
  });

  it('never leaves a vault without both keychain and passphrase', async () => {
    const at = home();
    const open = (): Vault =>
      new Vault({ directory: at.directory, choice: 'passphrase', env: {}, askPassphrase: async () => 'a secret' });
    await open().keys.unlocking.unlock();
    const before = record(at);
    await expect(open().keys.rotate(NOBODY)).rejects.toMatchObject({ code: 'KEY_ABSENT' });
    expect(record(at)).toEqual(before);
    await open().keys.rotate({ ...NOBODY, passphrase: async () => 'a secret' });
    expect(record(at).key).not.toBe(before.key);
    expect(record(at).slots).toHaveLength(1);
    expect((await open().keys.unlocking.unlock()).key.id).toBe(record(at).key);
  });

  it('removes files to be purged before it reseals the rest', async () => {
    const at = await furnished();
    const sessions = await at.open();
    const [first, ...others] = await sessions.list();
    await sessions.keys.rotate(NOBODY, { remove: [first!] });
    expect(at.files()).not.toContain(first!.fileId);
    expect((await sessions.list()).map(({ id }) => id)).toEqual(others.map(({ id }) => id));
    await sessions.close();
  });
});

const NOBODY: Rewrapping = {
  passphrase: async () => undefined,
  confirmCode: async () => undefined,
  onDropped: () => undefined,
};
