import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { VaultKey } from '../../../src/envelope/key.ts';
import { MemoryKeyring } from '../../../src/keyring/memory.ts';
import { RecoveryCode } from '../../../src/keyring/recovery-code.ts';
import { openVault, sessionsOf } from '../../../src/session/open-vault.ts';
import type { Sessions } from '../../../src/session/sessions.ts';
import type { VaultFile } from '../../../src/vault/keys/record/vault-file.ts';
import { writeSealedRecord } from '../../support/record.ts';
import { begin, type Home, home, temporaryFolder, user } from '../../support/vault.ts';

async function withSession(): Promise<Home> {
  const at = home();
  await using sessions = await at.open();
  await begin(sessions).append(user('one'));
  return at;
}

function read(at: Home): VaultFile {
  return JSON.parse(readFileSync(join(at.directory, 'vault.json'), 'utf8'));
}

function write(at: Home, file: object): void {
  writeFileSync(join(at.directory, 'vault.json'), JSON.stringify(file));
}

/**
 * Opens the vault as on a machine whose keychain has lost the key, with a user who knows a
 * passphrase.
 */
function keychainless({ directory }: Home, passphrase: string): Sessions {
  return sessionsOf({ directory, keyring: new MemoryKeyring(), env: {}, askPassphrase: async () => passphrase });
}

/** Opens the vault as on a machine whose keychain does not have the key. */
function elsewhere(at: Home, passphrase: string): ReturnType<typeof openVault> {
  return openVault({
    directory: at.directory,
    keychain: 'passphrase',
    env: {},
    askPassphrase: async () => passphrase,
  });
}

describe('addPassphrase', () => {
  it('adds a passphrase in addition to the keychain', async () => {
    const at = await withSession();
    await using sessions = await at.open();
    const slot = await sessions.keys.slots.addPassphrase('correct horse');
    expect(sessions.keys.slots.list()).toEqual({
      key: read(at).key,
      retiring: undefined,
      backend: 'memory',
      provider: expect.any(String),
      slots: [{ id: slot.id, kind: 'passphrase' }],
    });
    expect(slot.id).toMatch(/^[0-9a-f]{8}$/);
    await using other = await elsewhere(at, 'correct horse');
    expect(await other.list()).toMatchObject([{ messages: 1 }]);
    await expect(elsewhere(at, 'wrong')).rejects.toMatchObject({ code: 'PASSPHRASE_WRONG' });
  });

  it('keeps slots that others add at the same time', async () => {
    const at = await withSession();
    const all = await Promise.all([1, 2, 3].map(async (n) => (await at.open()).keys.slots.addPassphrase(`words ${n}`)));
    const ids = all.map(({ id }) => id).sort();
    await using sessions = await at.open();
    expect(
      sessions.keys.slots
        .list()
        .slots.map(({ id }) => id)
        .sort(),
    ).toEqual(ids);
    for (const n of [1, 2, 3]) await (await elsewhere(at, `words ${n}`)).close();
  });

  it('creates no vault', async () => {
    const directory = join(temporaryFolder(), 'data');
    const sessions = sessionsOf({ directory, keyring: new MemoryKeyring(), env: {} });
    for (const act of [
      () => sessions.keys.slots.addPassphrase('words'),
      () => sessions.keys.slots.addRecoveryCode(async (code) => code),
      () => sessions.keys.slots.remove('00000000'),
      async () => sessions.keys.slots.list(),
    ]) {
      await expect(act()).rejects.toMatchObject({
        code: 'FAILED',
        message: expect.stringContaining('there is no vault'),
      });
    }
    expect(existsSync(directory)).toBe(false);
  });

  it('refuses one slot too many before asking anything, and an empty passphrase', async () => {
    const at = await withSession();
    await using sessions = await at.open();
    await expect(sessions.keys.slots.addPassphrase('')).rejects.toThrow(RangeError);
    await sessions.keys.slots.addPassphrase('words');
    const file = read(at);
    await writeSealedRecord(at, { ...file, slots: Array.from({ length: 16 }, () => file.slots[0]!) });
    let shown = 0;
    const show = async (code: string): Promise<string> => {
      shown++;
      return code;
    };
    await expect(sessions.keys.slots.addRecoveryCode(show)).rejects.toMatchObject({ code: 'FAILED' });
    await expect(sessions.keys.slots.addPassphrase('more')).rejects.toThrow('16 key slots');
    expect(shown).toBe(0);
  });

  it('changes nothing while a rotation is not finished', async () => {
    const at = await withSession();
    await using sessions = await at.open();
    const slot = await sessions.keys.slots.addPassphrase('words');
    const file = await writeSealedRecord(at, { ...read(at), retiring: 'a'.repeat(32) });
    const busy = { code: 'VAULT_BUSY', message: expect.stringContaining('coffer key rotate') };
    await expect(sessions.keys.slots.addPassphrase('more')).rejects.toMatchObject(busy);
    await expect(sessions.keys.slots.addRecoveryCode(async (code) => code)).rejects.toMatchObject(busy);
    await expect(sessions.keys.slots.remove(slot.id)).rejects.toMatchObject(busy);
    expect(read(at)).toEqual(file);
  });

  it('changes nothing if a rotation starts while a code is typed back', async () => {
    const at = await withSession();
    await using sessions = await at.open();
    const before = read(at);
    const next = VaultKey.generate();
    const rotations = [
      { ...before, retiring: 'a'.repeat(32) },
      { ...before, key: next.id },
    ];
    for (const rotated of rotations) {
      let written: VaultFile | undefined;
      const confirm = async (code: string): Promise<string> => {
        written = await writeSealedRecord(at, rotated, rotated.key === next.id ? next : undefined);
        return code;
      };
      await expect(sessions.keys.slots.addRecoveryCode(confirm)).rejects.toMatchObject({ code: 'VAULT_BUSY' });
      expect(read(at)).toEqual(written);
      write(at, before);
    }
  });

  it('removes the temporary file of a killed change of vault.json', async () => {
    const at = await withSession();
    const stray = join(at.directory, '.vault.json.0123456789abcdef.tmp');
    writeFileSync(stray, 'half');
    await using sessions = await at.open();
    await sessions.keys.slots.addPassphrase('words');
    expect(existsSync(stray)).toBe(false);
  });
});

describe('addRecoveryCode', () => {
  it('adds the code that was typed back', async () => {
    const at = await withSession();
    await using sessions = await at.open();
    let shown = '';
    const slot = await sessions.keys.slots.addRecoveryCode(async (code) => {
      shown = code;
      expect(read(at).slots).toEqual([]);
      return code.toLowerCase().replaceAll('-', ' ');
    });
    expect(read(at).slots).toMatchObject([{ kind: 'recovery', algorithm: 'hkdf-sha256' }]);
    expect(sessions.keys.slots.list().slots).toEqual([slot]);
    expect(RecoveryCode.read(shown).show()).toBe(shown);
    expect(readFileSync(join(at.directory, 'vault.json'), 'utf8')).not.toContain(shown.slice(0, 9));
  });

  it('says what was mistyped and asks again for the same code', async () => {
    const at = await withSession();
    await using sessions = await at.open();
    const seen: unknown[] = [];
    await sessions.keys.slots.addRecoveryCode(async (code, problem) => {
      seen.push([code, problem?.message]);
      if (seen.length === 1) return code.slice(1);
      return seen.length === 2 ? RecoveryCode.generate().show() : code;
    });
    const [[code] = []] = seen as [string][];
    expect(seen).toEqual([
      [code, undefined],
      [code, 'a recovery code has 36 characters, this one has 35'],
      [code, 'this is not the recovery code that was just shown'],
    ]);
    expect(read(at).slots).toHaveLength(1);
  });

  it('adds nothing after three mistakes, or if the code is not typed back', async () => {
    const at = await withSession();
    await using sessions = await at.open();
    let asked = 0;
    const wrong = async (): Promise<string> => {
      asked++;
      return 'wrong';
    };
    await expect(sessions.keys.slots.addRecoveryCode(wrong)).rejects.toMatchObject({ code: 'RECOVERY_CODE_WRONG' });
    expect(asked).toBe(3);
    await expect(sessions.keys.slots.addRecoveryCode(async () => undefined)).rejects.toMatchObject({
      code: 'CANCELLED',
    });
    expect(read(at).slots).toEqual([]);
  });
});

describe('remove', () => {
  it('removes only the requested slot', async () => {
    const at = await withSession();
    await using sessions = await at.open();
    const first = await sessions.keys.slots.addPassphrase('first');
    const second = await sessions.keys.slots.addPassphrase('second');
    expect(await sessions.keys.slots.remove(first.id)).toEqual(first);
    expect(sessions.keys.slots.list().slots).toEqual([second]);
    await expect(elsewhere(at, 'first')).rejects.toMatchObject({ code: 'PASSPHRASE_WRONG' });
    await expect(sessions.keys.slots.remove(first.id)).rejects.toMatchObject({ code: 'USAGE' });
    await expect(sessions.keys.slots.remove('')).rejects.toMatchObject({ code: 'USAGE' });
  });

  it('removes the last slot if the keychain has the key, but not otherwise', async () => {
    const at = await withSession();
    await using sessions = await at.open();
    const slot = await sessions.keys.slots.addPassphrase('words');
    const before = read(at);
    const empty = keychainless(at, 'words');
    await expect(empty.keys.slots.remove(slot.id)).rejects.toMatchObject({
      code: 'FAILED',
      message: expect.stringMatching(/is the last way in: .*add another one first/),
    });
    expect(read(at)).toEqual(before);
    await sessions.keys.slots.remove(slot.id);
    expect(read(at).slots).toEqual([]);
  });

  it('removes one of two if the keychain is gone', async () => {
    const at = await withSession();
    await using sessions = await at.open();
    const first = await sessions.keys.slots.addPassphrase('words');
    const second = await sessions.keys.slots.addRecoveryCode(async (code) => code);
    const gone = keychainless(at, 'words');
    await gone.keys.slots.remove(first.id);
    await expect(gone.keys.slots.remove(second.id)).rejects.toThrow('last way in');
    expect(sessions.keys.slots.list().slots).toEqual([second]);
  });

  it('keeps one of two slots that are removed at the same time', async () => {
    const at = await withSession();
    await using sessions = await at.open();
    const slots = [await sessions.keys.slots.addPassphrase('a'), await sessions.keys.slots.addPassphrase('b')];
    const gone = slots.map(() => keychainless(at, 'a'));
    for (const one of gone) await one.keys.unlock();
    const all = await Promise.allSettled(slots.map(({ id }, index) => gone[index]!.keys.slots.remove(id)));
    expect(all.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect(all.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { code: 'VAULT_BUSY' } });
    expect(read(at).slots).toHaveLength(1);
  });

  it('keeps one passphrase in a vault without a keychain, whatever recovery codes it has', async () => {
    const at = home();
    const options = { directory: at.directory, keychain: 'passphrase', env: {} } as const;
    await using sessions = await openVault({ ...options, askPassphrase: async () => 'words' });
    await begin(sessions).append(user('one'));
    const [only] = sessions.keys.slots.list().slots;
    await sessions.keys.slots.addRecoveryCode(async (code) => code);
    await expect(sessions.keys.slots.remove(only!.id)).rejects.toMatchObject({
      code: 'FAILED',
      message: expect.stringContaining('opens with a passphrase only'),
    });
    const second = await sessions.keys.slots.addPassphrase('more words');
    await sessions.keys.slots.remove(only!.id);
    expect(sessions.keys.slots.list().slots.map(({ id }) => id)).toContain(second.id);
    await expect(sessions.keys.slots.remove(second.id)).rejects.toMatchObject({ code: 'FAILED' });
  });
});
