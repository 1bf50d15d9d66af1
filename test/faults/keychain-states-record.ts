import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { VaultKey } from '../../src/envelope/key.ts';
import { authenticated } from '../../src/vault/keys/record/record.ts';
import type { VaultFile } from '../../src/vault/keys/record/shape.ts';
import type { Bus } from '../support/keychain.ts';
import { type Blame, begin, CHAT, judgeSecrets, judgeSessions } from './keychain-states-attack.ts';
import { sealedFiles, type World } from './keychain-states-world.ts';
import { wrongWay } from './wrong-saves.ts';

/**
 * A key known to the attacker who writes vault.json; it is in the keychain, as if another program
 * had put it there.
 */
const theirs: VaultKey = VaultKey.generate();

/**
 * Returns the new content of vault.json; undefined removes it. `other` is the record of another
 * vault of the same user.
 */
type Write = (record: VaultFile, other: VaultFile) => object | undefined;

const ordered = (record: VaultFile): VaultFile => ({ ...record, key: theirs.id, retiring: record.key });

const reseal: Write = (record) => authenticated(ordered(record), theirs);

const writings: readonly (readonly [string, Write])[] = [
  ["another vault's key retiring", (record, other) => ({ ...record, retiring: other.key })],
  ['another vault exchanged', (_, other) => other],
  ['a reseal ordered', reseal],
  ['another backend', (record) => ({ ...record, backend: 'passphrase' })],
  ['no MAC', ({ mac: _mac, counter: _counter, ...record }) => record],
  ['gone', () => undefined],
];

/** Each way of writing to vault.json, with the keys that it names in a real keychain. */
export const records: readonly { readonly name: string; pass(world: World, blame: Blame): Promise<void> }[] =
  writings.map(([what, write]) => ({
    name: `vault.json: ${what}`,
    pass: (world, blame) => attackRecord(world, blame, write),
  }));

/**
 * The attack that succeeds on a coffer which believes, without a certificate, that one key replaces
 * another.
 */
export async function attackBelieving(world: World, blame: Blame): Promise<void> {
  await attackRecord(world, blame, reseal, wrongWay('certificate-unchecked'));
}

async function attackRecord(world: World, blame: Blame, write: Write, changes: NodeJS.ProcessEnv = {}): Promise<void> {
  await begin(world, blame);
  const other = join(world.place.root, 'another');
  await blame.run(() => world.run(CHAT, { data: other, input: 'elsewhere\n' }));
  await keep(world.bus, theirs);
  const json = write(read(world.place.data), read(other));
  const path = join(world.place.data, 'vault.json');
  if (json) writeFileSync(path, JSON.stringify(json));
  else rmSync(path);
  world.changes = { ...world.changes, ...changes };
  const before = { items: await world.items(), files: await bytesOf(world), record: recordIn(path) };
  for (const args of [['sessions'], ['doctor'], ['key', 'rotate', '--drop-slots']]) {
    const ran = await blame.run(() => world.run(args));
    blame.unless(
      ran.code === 13 && /vault\.json/.test(`${ran.stderr}${ran.stdout}`),
      `${args[0]} does not name it`,
      ran,
    );
    if (args[0] === 'sessions') blame.unless(/saved sessions \(1\)/.test(ran.stdout), 'the session is not listed', ran);
  }
  const chat = await blame.run(() => world.run(CHAT, { input: 'meanwhile\n' }));
  if (blame.unless(chat.code === 0, 'a chat is not saved', chat)) world.acknowledged.add('meanwhile');
  const [items, files] = [await world.items(), await bytesOf(world)];
  const gone = before.items.filter((item) => !items.includes(item));
  const sealed = [...before.files].filter(([name, bytes]) => files.get(name) !== bytes).length;
  blame.tally.lostSessions += gone.length + sealed;
  blame.unless(gone.length === 0, 'a key was dropped', gone.length);
  blame.unless(sealed === 0, 'a session was resealed', sealed);
  blame.unless(recordIn(path) === before.record, 'vault.json was written');
  await judgeSessions(world, blame);
  await judgeSecrets(world, blame);
}

async function keep(bus: Bus, key: VaultKey): Promise<void> {
  await bus.storeItem(key.id, key.bytes().toString('base64'));
}

function read(data: string): VaultFile {
  return JSON.parse(readFileSync(join(data, 'vault.json'), 'utf8')) as VaultFile;
}

function recordIn(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined; // it was removed
  }
}

async function bytesOf({ place }: World): Promise<Map<string, string>> {
  const names = await sealedFiles(place.data);
  return new Map(names.map((name) => [name, readFileSync(join(place.data, 'sessions', name), 'hex')]));
}
