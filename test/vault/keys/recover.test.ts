import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { VaultKey } from '../../../src/envelope/key.ts';
import type { CofferError } from '../../../src/errors.ts';
import type { Keyring, Outcome } from '../../../src/keyring/keyring.ts';
import { MemoryKeyring } from '../../../src/keyring/memory.ts';
import { RecoveryCode } from '../../../src/keyring/recovery-code.ts';
import { type OpenOptions, openVault, recoverVault, sessionsOf } from '../../../src/session/open-vault.ts';
import { KnownVaults } from '../../../src/vault/keys/record/known.ts';
import { withSuccessor } from '../../../src/vault/keys/record/record.ts';
import type { KeySlot, VaultFile } from '../../../src/vault/keys/record/vault-file.ts';
import { wrapForRecoveryCode } from '../../../src/vault/keys/slots/slots.ts';
import { requirePosix } from '../../files/facilities.ts';
import { keyIn, writeSealedRecord } from '../../support/record.ts';
import { begin, temporaryFolder, user } from '../../support/vault.ts';

/** A vault that was created elsewhere: its directory is here, its keychain is not. */
interface Copy {
  readonly directory: string;
  readonly code: string;
  /** The keychain that it was created with. */
  readonly old: MemoryKeyring;
}

const PASSPHRASE = 'correct horse';

async function copied(ways: { code?: boolean; passphrase?: boolean }): Promise<Copy> {
  const made = join(temporaryFolder(), 'data');
  const old = new MemoryKeyring();
  await using sessions = await openVault({ directory: made, keyring: old, env: {} });
  await begin(sessions).append(user('one'));
  let code = '';
  if (ways.passphrase) await sessions.keys.slots.addPassphrase(PASSPHRASE);
  if (ways.code) {
    await sessions.keys.slots.addRecoveryCode(async (shown) => {
      code = shown;
      return shown;
    });
  }
  await sessions.close();
  const directory = join(temporaryFolder(), 'data');
  cpSync(made, directory, { recursive: true, verbatimSymlinks: true });
  return { directory, code, old };
}

/** Copies the vault to another directory, which is not known. */
async function copiedAgain(copy: Copy): Promise<Copy> {
  const directory = join(temporaryFolder(), 'data');
  cpSync(copy.directory, directory, { recursive: true, verbatimSymlinks: true });
  return { ...copy, directory };
}

function read({ directory }: Copy): VaultFile {
  return JSON.parse(readFileSync(join(directory, 'vault.json'), 'utf8'));
}

/** Writes vault.json as coffer would, sealed with `key` or with the key that it names. */
function write({ directory, old }: Copy, file: VaultFile, key?: VaultKey): Promise<VaultFile> {
  return writeSealedRecord({ directory, keyring: old }, file, key);
}

/** Recovers with these secrets, in order; returns the reported problems too. */
async function recover(
  copy: Copy,
  given: readonly string[],
  options: OpenOptions = {},
): Promise<{ by: string; isPassphraseNew: boolean; missing?: string | undefined; problems: string[] }> {
  const problems: string[] = [];
  const rest = [...given];
  const sessions = sessionsOf({ directory: copy.directory, env: {}, ...options });
  const { by, isPassphraseNew, missing } = await sessions.keys.recover({
    askSecret: async (problem) => {
      if (problem) problems.push(`${problem.code}: ${problem.message}`);
      return rest.shift();
    },
  });
  expect(await sessions.list()).toMatchObject([{ messages: 1 }]);
  return { by, isPassphraseNew, missing, problems };
}

/** Options without a keychain, and with a user who types a new passphrase if asked. */
const noKeychain: OpenOptions = {
  keychain: 'passphrase',
  askPassphrase: async ({ purpose }) => (purpose === 'new' ? 'new words' : undefined),
};

describe('recoverVault', () => {
  it('stores the key in the local keychain, from a recovery code', async () => {
    const copy = await copied({ code: true });
    const keyring = new MemoryKeyring();
    await expect(openVault({ directory: copy.directory, keyring, env: {} })).rejects.toThrow();
    expect(await recover(copy, [copy.code.toLowerCase()], { keyring })).toMatchObject({
      by: 'recovery code',
      isPassphraseNew: false,
    });
    await using sessions = await openVault({ directory: copy.directory, keyring, env: {} });
    expect(await sessions.list()).toHaveLength(1);
    expect(read(copy).slots).toHaveLength(1);
  });

  it('is available in the library', async () => {
    const copy = await copied({ code: true });
    const options = { directory: copy.directory, keyring: new MemoryKeyring(), env: {} };
    await using sessions = await recoverVault({ ...options, askSecret: async () => copy.code });
    expect(sessions.keys.status).toMatchObject({ state: 'ready', keyId: read(copy).key });
  });

  it('does the same from a passphrase, and records where the key is now', async () => {
    const copy = await copied({ passphrase: true, code: true });
    await write(copy, { ...read(copy), backend: 'fd', provider: 'inherited descriptor' });
    const keyring = new MemoryKeyring();
    expect(await recover(copy, [PASSPHRASE], { keyring })).toMatchObject({ by: 'passphrase', isPassphraseNew: false });
    expect(read(copy)).toMatchObject({ backend: 'memory', provider: await keyring.provider() });
  });

  it('changes nothing and asks for nothing if the key is available', async () => {
    const copy = await copied({ code: true });
    const before = readFileSync(join(copy.directory, 'vault.json'));
    expect(await recover(copy, [], { keyring: copy.old })).toMatchObject({ by: 'at hand', problems: [] });
    expect(readFileSync(join(copy.directory, 'vault.json'))).toEqual(before);
  });

  it('asks for a new passphrase if no keychain is available, which opens the vault from then on', async () => {
    const copy = await copied({ code: true });
    expect(await recover(copy, [copy.code], noKeychain)).toMatchObject({ by: 'recovery code', isPassphraseNew: true });
    expect(read(copy)).toMatchObject({
      backend: 'passphrase',
      provider: 'passphrase',
      slots: [{ kind: 'recovery' }, { kind: 'passphrase' }],
    });
    const asked = { directory: copy.directory, env: {}, askPassphrase: async () => 'new words' };
    await using sessions = await openVault(asked);
    expect(await sessions.list()).toHaveLength(1);
  });

  it('keeps the given passphrase if no keychain is available', async () => {
    const copy = await copied({ passphrase: true });
    expect(await recover(copy, [PASSPHRASE], noKeychain)).toMatchObject({ by: 'passphrase', isPassphraseNew: false });
    const before = readFileSync(join(copy.directory, 'vault.json'));
    expect(read(copy)).toMatchObject({ backend: 'passphrase', slots: [{ kind: 'passphrase' }] });
    expect(await recover(copy, [PASSPHRASE], noKeychain)).toMatchObject({ by: 'at hand' });
    expect(readFileSync(join(copy.directory, 'vault.json'))).toEqual(before);
  });

  it('takes a new passphrase from COFFER_PASSPHRASE_FILE, and opens the vault with it afterwards', async () => {
    const copy = await copied({ code: true });
    const file = join(temporaryFolder(), 'passphrase');
    writeFileSync(file, 'from a file\n');
    const options: OpenOptions = { keychain: 'passphrase', env: { COFFER_PASSPHRASE_FILE: file } };
    await expect(recover(copy, [], options)).rejects.toMatchObject({ code: 'RECOVERY_CODE_WRONG' });
    expect(await recover(copy, [copy.code], options)).toMatchObject({ isPassphraseNew: true });
    expect(await recover(copy, [], options)).toMatchObject({ by: 'at hand' });
  });

  it('recovers both keys of an unfinished rotation, and reports one that is not available', async () => {
    const copy = await copied({ code: true });
    const file = read(copy);
    const key = VaultKey.generate();
    const code = RecoveryCode.read(copy.code);
    const successors = withSuccessor(file, await keyIn(copy.old, file.key), key.id);
    const retiring = { ...file, key: key.id, retiring: file.key, slots: [wrapForRecoveryCode(key, code)], successors };
    await write(copy, { ...retiring, retiringSlots: file.slots }, key);
    const keyring = new MemoryKeyring();
    expect(await recover(copy, [copy.code], { keyring })).toMatchObject({ missing: undefined });
    for (const id of [key.id, file.key]) expect(await keyring.get(id)).toMatchObject({ outcome: 'READY' });
    expect(read(copy)).toMatchObject({ key: key.id, retiring: file.key, retiringSlots: file.slots });

    const other = await copiedAgain(copy);
    await write(other, { ...retiring, retiringSlots: [], counter: 9 }, key);
    const sessions = sessionsOf({ directory: other.directory, keyring: new MemoryKeyring(), env: {} });
    expect(await sessions.keys.recover({ askSecret: async () => copy.code })).toMatchObject({ missing: file.key });
  });

  it('adds a new passphrase for both keys of an unfinished rotation', async () => {
    const copy = await copied({ code: true });
    const file = read(copy);
    const key = VaultKey.generate();
    const slots = [wrapForRecoveryCode(key, RecoveryCode.read(copy.code))];
    const successors = withSuccessor(file, await keyIn(copy.old, file.key), key.id);
    await write(copy, { ...file, key: key.id, retiring: file.key, slots, retiringSlots: file.slots, successors }, key);
    await recover(copy, [copy.code], noKeychain);
    await using sessions = await openVault({
      ...noKeychain,
      directory: copy.directory,
      env: {},
      askPassphrase: async () => 'new words',
    });
    expect(await sessions.list()).toMatchObject([{ messages: 1 }]);
  });
});

describe('a recovery during other changes', () => {
  it('rejects a key that was rotated in the meantime', async () => {
    for (const backend of ['memory', 'fd'] as const) {
      const copy = await copied({ code: true });
      const keyring = new MemoryKeyring();
      await write(copy, { ...read(copy), backend, provider: await keyring.provider() });
      const key = VaultKey.generate();
      let rotated: VaultFile | undefined;
      const sessions = sessionsOf({ directory: copy.directory, keyring, env: {} });
      const askSecret = async (): Promise<string> => {
        rotated = await write(copy, { ...read(copy), key: key.id }, key);
        return copy.code;
      };
      await expect(sessions.keys.recover({ askSecret })).rejects.toMatchObject({ code: 'VAULT_BUSY' });
      expect(read(copy)).toEqual(rotated);
    }
  });

  it('writes nothing if vault.json names this keychain already', async () => {
    const copy = await copied({ code: true });
    const before = statSync(join(copy.directory, 'vault.json'));
    expect(await recover(copy, [copy.code], { keyring: new MemoryKeyring() })).toMatchObject({ by: 'recovery code' });
    expect(statSync(join(copy.directory, 'vault.json')).ino).toBe(before.ino);
  });
});

describe('a secret that opens nothing', () => {
  it('is reported, and asked for three times', async () => {
    const copy = await copied({ code: true });
    const keyring = new MemoryKeyring();
    const short = copy.code.slice(0, -1);
    const mistyped = (copy.code.startsWith('A') ? 'B' : 'A') + copy.code.slice(1);
    expect(await recover(copy, [short, mistyped, copy.code], { keyring })).toMatchObject({
      problems: [
        'RECOVERY_CODE_WRONG: a recovery code has 36 characters, this one has 35',
        'RECOVERY_CODE_WRONG: a character of the recovery code is mistyped, or two are swapped',
      ],
    });
    const none = new MemoryKeyring();
    const foreign = RecoveryCode.generate().show();
    await expect(recover(copy, [foreign, foreign, foreign, copy.code], { keyring: none })).rejects.toMatchObject({
      code: 'RECOVERY_CODE_WRONG',
      message: "the recovery code is not this vault's",
    });
    expect(await none.get(read(copy).key)).toMatchObject({ outcome: 'NOT_FOUND' });
  });

  it.each([
    [{ passphrase: true }, 'wrong words', 'PASSPHRASE_WRONG', 'wrong passphrase'],
    [{ passphrase: true }, 'foreign', 'RECOVERY_CODE_WRONG', "the recovery code is not this vault's"],
    [{ passphrase: true, code: true }, 'wrong words', 'PASSPHRASE_WRONG', 'wrong passphrase'],
    [{ passphrase: true, code: true }, 'foreign', 'RECOVERY_CODE_WRONG', "the recovery code is not this vault's"],
    [{ passphrase: true, code: true }, 'A'.repeat(35), 'RECOVERY_CODE_WRONG', 'this one has 35'],
    [{ code: true }, 'wrong words', 'RECOVERY_CODE_WRONG', 'this one has 10'],
  ])('is reported as what it was probably meant to be: %j, %s', async (ways, text, code, message) => {
    const copy = await copied(ways);
    const given = text === 'foreign' ? RecoveryCode.generate().show() : text;
    const before = readFileSync(join(copy.directory, 'vault.json'));
    const refused = recover(copy, [given], { keyring: new MemoryKeyring() });
    await expect(refused).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
    expect(readFileSync(join(copy.directory, 'vault.json'))).toEqual(before);
  });

  it('does not hide behind a damaged slot', async () => {
    const copy = await copied({ passphrase: true, code: true });
    const file = read(copy);
    const [passphrase, code] = file.slots;
    const bad = [{ ...passphrase!, passes: 1_000_000 } as KeySlot, { ...code!, salt: 'AAAA' }];
    await write(copy, { ...file, slots: [...bad, code!] });
    expect(await recover(copy, [copy.code], { keyring: new MemoryKeyring() })).toMatchObject({ by: 'recovery code' });
    await write(copy, { ...file, slots: [{ ...code!, salt: 'AAAA' }], counter: 9 });
    await expect(recover(copy, [copy.code], { keyring: new MemoryKeyring() })).rejects.toMatchObject({
      code: 'KEY_MISMATCH',
    });
  });
});

describe('an impossible recovery', () => {
  it('stores the key and leaves vault.json alone if that is not as coffer wrote it', async () => {
    const copy = await copied({ code: true });
    const file = read(copy);
    const changed = { ...file, slots: [...file.slots, ...file.slots] };
    writeFileSync(join(copy.directory, 'vault.json'), JSON.stringify(changed));
    const keyring = new MemoryKeyring();
    await expect(recover(copy, [copy.code], { keyring })).rejects.toMatchObject({
      code: 'UNAUTHENTIC',
      reason: 'its MAC is wrong',
    });
    expect(read(copy)).toEqual(changed);
    expect(await keyring.get(file.key)).toMatchObject({ outcome: 'READY' });
  });

  it('stores no key but the one that is known here', async () => {
    const copy = await copied({ code: true });
    const config = temporaryFolder();
    await new KnownVaults(config).change(copy.directory, { key: 'a'.repeat(32) });
    const keyring = new MemoryKeyring();
    await expect(recover(copy, [copy.code], { keyring, config })).rejects.toMatchObject({
      code: 'UNAUTHENTIC',
      reason: expect.stringContaining('this directory is known with key'),
    });
    expect(await keyring.get(read(copy).key)).toMatchObject({ outcome: 'NOT_FOUND' });
  });

  it('asks for nothing in a directory that others can write to', async (context) => {
    requirePosix(context);
    const copy = await copied({ code: true });
    chmodSync(copy.directory, 0o777);
    const sessions = sessionsOf({ directory: copy.directory, keyring: new MemoryKeyring(), env: {} });
    const askSecret = async (): Promise<string> => {
      throw new Error('asked');
    };
    await expect(sessions.keys.recover({ askSecret })).rejects.toMatchObject({
      code: 'FAILED',
      advice: expect.stringContaining('coffer key trust'),
    });
  });

  it('is refused before the user is asked anything', async () => {
    const copy = await copied({});
    const nothing = async (): Promise<CofferError | undefined> => {
      const asked = sessionsOf({ directory: copy.directory, keyring: new MemoryKeyring(), env: {} });
      return asked.keys.recover({ askSecret: () => Promise.reject(new Error('asked')) }).then(
        () => undefined,
        (error) => error,
      );
    };
    expect(await nothing()).toMatchObject({
      code: 'KEY_NOT_FOUND',
      message: expect.stringContaining('no recovery code'),
    });
    rmSync(join(copy.directory, 'vault.json'));
    expect(await nothing()).toMatchObject({ code: 'KEY_NOT_FOUND', message: expect.stringContaining('vault.json') });
    rmSync(copy.directory, { recursive: true });
    expect(await nothing()).toMatchObject({ code: 'FAILED', message: expect.stringContaining('there is no vault') });
    expect(existsSync(copy.directory)).toBe(false);
  });

  it.for<[string, (path: string) => void]>([
    ['a link', (path) => symlinkSync('/etc/hostname', path)],
    ['a directory', (path) => mkdirSync(path)],
    ['a FIFO', (path) => execFileSync('mkfifo', [path])],
  ])('reports %s in place of vault.json', async ([, put], context) => {
    requirePosix(context);
    const copy = await copied({ code: true });
    const path = join(copy.directory, 'vault.json');
    rmSync(path);
    put(path);
    await expect(recover(copy, [copy.code], { keyring: new MemoryKeyring() })).rejects.toMatchObject({
      code: 'UNAUTHENTIC',
      message: expect.stringMatching(/vault.json is damaged: it is not a regular file/),
    });
  });

  it.each<Exclude<Outcome, 'READY'>>(['LOCKED', 'DECLINED', 'TIMEOUT'])(
    'is refused if the keychain answers %s',
    async (outcome) => {
      const copy = await copied({ code: true });
      const answer = { outcome, detail: `it said ${outcome}` } as const;
      const keyring: Keyring = {
        backend: 'memory',
        probe: async () => answer,
        provider: async () => 'test',
        get: async () => answer,
        set: async () => answer,
        delete: async () => answer,
      };
      const before = readFileSync(join(copy.directory, 'vault.json'));
      const sessions = sessionsOf({ directory: copy.directory, keyring, env: {} });
      const askSecret = (): Promise<string> => Promise.reject(new Error('asked'));
      await expect(sessions.keys.recover({ askSecret })).rejects.toMatchObject({ code: `KEY_${outcome}` });
      expect(readFileSync(join(copy.directory, 'vault.json'))).toEqual(before);
    },
  );

  it('rejects a keychain that lost what was stored', async () => {
    const copy = await copied({ code: true });
    const before = readFileSync(join(copy.directory, 'vault.json'));
    const memory = new MemoryKeyring();
    const forgetful: Keyring = {
      backend: 'memory',
      probe: () => memory.probe(),
      provider: () => memory.provider(),
      get: (keyId) => memory.get(keyId),
      set: async () => ({ outcome: 'READY', detail: 'set' }),
      delete: (keyId) => memory.delete(keyId),
    };
    await expect(recover(copy, [copy.code], { keyring: forgetful })).rejects.toMatchObject({ code: 'KEY_NOT_FOUND' });
    expect(readFileSync(join(copy.directory, 'vault.json'))).toEqual(before);
  });

  it('does not replace a key that was passed in', async () => {
    const copy = await copied({ code: true });
    await write(copy, { ...read(copy), backend: 'fd' });
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'coffer-key'), Buffer.alloc(32, 7), { mode: 0o600 });
    const options: OpenOptions = { keychain: 'fd', env: { CREDENTIALS_DIRECTORY: folder } };
    await expect(recover(copy, [copy.code], options)).rejects.toMatchObject({ code: 'KEY_DECLINED' });
  });

  it('adds no slot if all are taken', async () => {
    const copy = await copied({ code: true });
    const file = read(copy);
    const full = await write(copy, { ...file, slots: Array.from({ length: 16 }, () => file.slots[0]!) });
    await expect(recover(copy, [copy.code], noKeychain)).rejects.toMatchObject({
      code: 'FAILED',
      message: expect.stringContaining('16 key slots'),
    });
    expect(read(copy)).toEqual(full);
  });

  it('stores nothing in memory, and needs a prompt for a passphrase', async () => {
    const copy = await copied({ code: true });
    await expect(recover(copy, [copy.code], { keychain: 'memory' })).rejects.toMatchObject({ code: 'KEY_ABSENT' });
    await expect(recover(copy, [copy.code], { keychain: 'passphrase' })).rejects.toMatchObject({
      code: 'KEY_ABSENT',
      message: expect.stringContaining('COFFER_PASSPHRASE_FILE'),
    });
    await expect(recover(copy, [], { keyring: new MemoryKeyring() })).rejects.toMatchObject({ code: 'KEY_ABSENT' });
  });
});
