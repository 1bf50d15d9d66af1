import { randomBytes } from 'node:crypto';
import { chmod, cp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, type TestContext } from 'vitest';
import { VaultKey } from '../../src/envelope/key.ts';
import { openVault } from '../../src/session/open-vault.ts';
import type { Sessions } from '../../src/session/sessions.ts';
import { authenticated } from '../../src/vault/keys/record/record.ts';
import type { VaultFile } from '../../src/vault/keys/record/shape.ts';
import { ANSWERING } from '../faults/record-scene.ts';
import { makePlace, type Place, type Result, usual } from '../support/coffer.ts';
import { type Bus, requireKeychain, startKeychain } from '../support/keychain.ts';
import { texts } from '../support/vault.ts';

/** A machine with a real keychain, and a vault of its user whose key is in it. */
interface Machine extends AsyncDisposable {
  readonly bus: Bus;
  readonly place: Place;
  run(args: readonly string[], input?: string): Promise<Result>;
  record(data?: string): Promise<VaultFile>;
  write(json: object): Promise<void>;
  accounts(): Promise<string[]>;
  /** Opens the vault in this process. */
  open(): Promise<Sessions>;
  /** Makes another vault of the same user, and returns its directory. */
  other(): Promise<string>;
}

async function machine(context: TestContext): Promise<Machine> {
  requireKeychain(context);
  const bus = await startKeychain();
  const place = await makePlace();
  const start = usual(bus);
  const run = (args: readonly string[], input = ''): Promise<Result> => place.run(args, { ...start, input });
  const found: Machine = {
    ...{ bus, place, run },
    record: async (data = place.data) => JSON.parse(await readFile(join(data, 'vault.json'), 'utf8')) as VaultFile,
    write: (json) => writeFile(join(place.data, 'vault.json'), JSON.stringify(json)),
    accounts: async () => (await bus.items()).map(({ attributes }) => attributes['account'] ?? '').sort(),
    open: () => {
      const { HOME, COFFER_CONFIG_DIR } = place.libraryEnv;
      // The same item of the keychain that keytar reads, without a process for keytar.
      const env = { ...bus.env, HOME, COFFER_CONFIG_DIR, COFFER_KEYCHAIN: 'secret-service' };
      return openVault({ directory: place.data, env });
    },
    other: async () => {
      const other = join(place.root, 'other');
      await talk(found, other);
      return other;
    },
    [Symbol.asyncDispose]: async () => {
      await place[Symbol.asyncDispose]();
      await bus[Symbol.asyncDispose]();
    },
  };
  await talk(found, place.data);
  return found;
}

/** Saves a conversation, in a new vault. */
async function talk({ run }: Machine, data: string): Promise<void> {
  const chat = await run(['--data-dir', data, '--model', 'demo/echo'], 'hello\n');
  expect(chat).toMatchObject({ code: 0, stdout: 'echo: hello\n' });
}

/** Expects every command to name the fault, and the conversations to be readable. */
async function expectNamed({ run }: Machine, what: string): Promise<void> {
  const list = await run(['sessions']);
  expect(list).toMatchObject({ code: 13, stderr: expect.stringContaining(what) });
  expect(list.stdout).toContain('saved sessions (1)');
  const read = await run(['export', '1', '--format', 'json']);
  expect(read.stdout).toContain('echo: hello');
  expect(read.stderr).toContain('vault.json is not as coffer wrote it');
  const doctor = await run(['doctor']);
  expect(doctor).toMatchObject({ code: 13, stdout: expect.stringContaining(what) });
  for (const args of [
    ['key', 'add-passphrase'],
    ['key', 'rotate', '--drop-slots'],
  ]) {
    expect(await run(args, 'words\n')).toMatchObject({ code: 13 });
  }
}

/** Expects the library to name the fault, and the conversation to be readable. */
async function expectNamedInside({ open }: Machine, what: string): Promise<void> {
  await using vault = await open();
  expect(vault.keys.record.distrust?.message).toContain(what);
  expect(vault.keys.record.distrust?.message).toContain('vault.json is not as coffer wrote it');
  const [row, ...others] = await vault.list();
  expect(others).toEqual([]);
  expect(row && texts(await vault.read(row))).toContain('echo: hello');
  const unauthentic = { code: 'UNAUTHENTIC' };
  await expect(vault.keys.slots.addPassphrase('words')).rejects.toMatchObject(unauthentic);
  await expect(vault.keys.rotate(ANSWERING)).rejects.toMatchObject(unauthentic);
}

/** Adds a passphrase slot, and returns its id. */
async function addPassphrase({ open }: Machine): Promise<string> {
  await using vault = await open();
  return (await vault.keys.slots.addPassphrase('words')).id;
}

function keyIdOf(bytes: Buffer): string {
  return bytes.subarray(12, 28).toString('hex');
}

describe('a vault.json that an attacker wrote', () => {
  it("makes no command drop another vault's key", async (context) => {
    await using at = await machine(context);
    const directory = await at.other();
    const { key: other } = await at.record(directory);
    const before = await at.accounts();
    expect(before).toContain(other);
    await at.write({ ...(await at.record()), retiring: other });
    await expectNamed(at, 'its MAC is wrong');
    expect(await at.accounts()).toEqual(before);
    expect(await at.run(['--data-dir', directory, 'sessions'])).toMatchObject({ code: 0 });
    expect(await at.run(['key', 'repair'])).toMatchObject({ code: 0 });
    expect(await at.run(['sessions'])).toMatchObject({ code: 0, stderr: '' });
    expect(await at.accounts()).toEqual(before);
  });

  it('makes no command reseal anything for a key the attacker knows', async (context) => {
    await using at = await machine(context);
    const record = await at.record();
    const secret = randomBytes(32);
    const theirs = VaultKey.from(secret);
    await at.bus.storeItem(theirs.id, secret.toString('base64'));
    const ordered = { ...record, key: theirs.id, retiring: record.key };
    const { mac: _mac, counter: _counter, ...plain } = ordered;
    const before = await at.place.sessionBytes();
    for (const [json, expectIt] of [
      [ordered, expectNamed],
      [plain, expectNamedInside],
      [authenticated(ordered, theirs), expectNamedInside],
    ] as const) {
      await at.write(json);
      await expectIt(at, `names key ${theirs.id}`);
      expect(await at.place.sessionBytes()).toEqual(before);
      expect(await at.accounts()).toContain(record.key);
    }
    expect(await at.run(['--model', 'demo/echo'], 'meanwhile\n')).toMatchObject({ code: 0 });
    const files = await at.place.sessionBytes();
    expect(files.size).toBe(2);
    for (const bytes of files.values()) expect(keyIdOf(bytes)).toBe(record.key);
  });

  it.for(['its slots', 'all of it'])('makes coffer report %s as missing when they are gone', async (what, context) => {
    await using at = await machine(context);
    await addPassphrase(at);
    const record = await at.record();
    const isSlots = what === 'its slots';
    if (isSlots) await at.write({ ...record, slots: [] });
    else await rm(join(at.place.data, 'vault.json'));
    await expectNamed(at, isSlots ? 'its MAC is wrong' : 'it is missing, and sealed files are there');
    const chat = await at.run(['--model', 'demo/echo'], 'meanwhile\n');
    expect(chat).toMatchObject({ code: 0, stdout: 'echo: meanwhile\n' });
    const repaired = await at.run(['key', 'repair']);
    expect(repaired).toMatchObject({ code: 0, stdout: expect.stringContaining(`for key ${record.key}`) });
    expect(repaired.stdout).toContain('any other passphrase or recovery code that the vault had is lost, too');
    expect(await at.run(['sessions'])).toMatchObject({ code: 0, stderr: '' });
    expect(await at.run(['key', 'add-passphrase'], 'words\n')).toMatchObject({ code: 0 });
  });

  it('makes its repair name the slots that are lost', async (context) => {
    await using at = await machine(context);
    const slot = await addPassphrase(at);
    await at.write({ ...(await at.record()), provider: 'theirs' });
    const repaired = await at.run(['key', 'repair']);
    expect(repaired).toMatchObject({ code: 0, stdout: expect.stringContaining(`slot ${slot} is lost (passphrase)`) });
    expect(await at.record()).toMatchObject({ slots: [] });
  });

  it('of another vault is accepted by coffer key trust only, which says what has changed', async (context) => {
    await using at = await machine(context);
    const { key } = await at.record();
    const directory = await at.other();
    const { key: other } = await at.record(directory);
    await rm(at.place.data, { recursive: true });
    await cp(directory, at.place.data, { recursive: true, verbatimSymlinks: true });
    expect(await at.run(['sessions'])).toMatchObject({ code: 13, stderr: expect.stringContaining('coffer key trust') });
    const asked = await at.run(['key', 'trust']);
    expect(asked).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(`vault.json names key ${other}, but the known key is ${key}`),
    });
    expect(await at.run(['sessions'])).toMatchObject({ code: 13 });
    expect(await at.run(['key', 'trust', '--yes'])).toMatchObject({ code: 0 });
    expect(await at.run(['sessions'])).toMatchObject({ code: 0, stderr: '' });
  });
});

describe('a directory that others can write to', () => {
  it('is refused until coffer key trust accepts it', async (context) => {
    await using at = await machine(context);
    await chmod(at.place.data, 0o777);
    expect(await at.run(['sessions'])).toMatchObject({ code: 1, stderr: expect.stringContaining('coffer key trust') });
    expect(await at.run(['key', 'trust'])).toMatchObject({ code: 2, stderr: expect.stringContaining('mode 777') });
    expect(await at.run(['key', 'trust', '--yes'])).toMatchObject({ code: 0 });
    expect(await at.run(['sessions'])).toMatchObject({ code: 0 });
  });
});
