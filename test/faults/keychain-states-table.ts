import { cp, link, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { VaultKey } from '../../src/envelope/key.ts';
import { authenticated } from '../../src/vault/keys/record/record.ts';
import type { VaultFile } from '../../src/vault/keys/record/shape.ts';
import { type Said, startStandIn } from '../support/dbus-service.ts';
import { startBus, startKeychain } from '../support/keychain.ts';
import { readRecord, writeRecord } from '../support/record.ts';
import * as dbus from './keychain-states-dbus.ts';
import { REPOSITORY, type World } from './keychain-states-world.ts';

/** A fault of a keychain, and the right reaction to it. */
export interface State {
  /** One of the eighteen, with its kind if there are several. */
  readonly name: string;
  /**
   * The error with which an existing vault is refused. Without it the vault must open and save as
   * usual.
   */
  readonly refused?: RegExp;
  /**
   * The right outcome of a first use in an empty directory. `vault`: a new vault. `memory`: the
   * chat says that it is in memory only, and promised nothing. `told`: the chat reports the loss at
   * its end, as a keychain exists and does not work.
   */
  readonly first: 'vault' | 'memory' | 'told';
  /** A user is present and could answer a prompt. */
  readonly attended?: true;
  bring(world: World): Promise<void>;
  /** Makes the keychain answer again, so that its items can be counted. */
  reach?(world: World): Promise<void>;
  /** Repairs the item. */
  restore?(world: World): Promise<void>;
}

const lockedAway = {
  bring: (world: World) => world.bus.lockCollection(),
  reach: (world: World) => world.bus.unlockCollection(),
};

/** All states apart from moments of a run: see keychain-states-moments.ts. */
export const states: readonly State[] = [
  { name: 'locked collection', refused: /the keychain is locked/, first: 'told', ...lockedAway },
  lockedItem(),
  {
    name: 'prompt dismissed',
    refused: /the unlock prompt was dismissed/,
    // Checking whether a key could be kept shows no prompt.
    first: 'told',
    attended: true,
    bring: async (world) => {
      // No program shows prompts on this bus, which gnome-keyring takes for a dismissal.
      world.changes = { DISPLAY: ':99' };
      await world.bus.lockCollection();
    },
    reach: lockedAway.reach,
  },
  elsewhere('no bus', /there is no session bus/, 'memory', async () => ({
    DBUS_SESSION_BUS_ADDRESS: undefined,
    XDG_RUNTIME_DIR: undefined,
  })),
  elsewhere(
    'stale bus address: no such socket',
    /the session bus cannot be reached: ENOENT/,
    'memory',
    async (world) => ({
      DBUS_SESSION_BUS_ADDRESS: `unix:path=${join(world.bus.directory, 'gone')}`,
    }),
  ),
  elsewhere('stale bus address: nobody listens', /cannot be reached: ECONNREFUSED/, 'memory', async (world) => ({
    DBUS_SESSION_BUS_ADDRESS: `unix:path=${await leaveSocket(join(world.bus.directory, 'left'))}`,
  })),
  elsewhere('no service', /there is no keychain on the session bus/, 'memory', async (world) =>
    addressOf(world.owns(await startBus())),
  ),
  elsewhere('service never starts: it hangs', /the keychain does not answer/, 'told', (world) =>
    promised(world, 'exec sleep 600'),
  ),
  elsewhere('service never starts: it ends', /the keychain does not work/, 'memory', (world) =>
    promised(world, 'exit 3'),
  ),
  elsewhere('no default collection: nor any other', /the keychain has no such key/, 'memory', async (world) => {
    world.met = world.owns(await startBus());
    await world.met.startKeyring({ isLoggedIn: false });
    return addressOf(world.met);
  }),
  {
    name: 'no default collection: the item is in another one',
    first: 'memory',
    bring: async (world) => {
      const [account, secret] = await theItem(world);
      world.met = world.owns(await startBus());
      await world.met.startKeyring({ isLoggedIn: false });
      await dbus.createItem(world.met, await dbus.makeCollection(world.met), account, Buffer.from(secret));
      world.changes = addressOf(world.met);
    },
  },
  item('item deleted', /the keychain has no such key/, ({ bus }, account) => bus.deleteItem(account)),
  item('item corrupt: words', /not a vault key/, ({ bus }, account) => bus.storeItem(account, 'these are words')),
  item('item corrupt: half a key', /not a vault key/, ({ bus }, account, secret) =>
    bus.storeItem(account, secret.slice(0, 22)),
  ),
  item('item corrupt: another key', /another key is stored under its name/, ({ bus }, account) =>
    bus.storeItem(account, Buffer.alloc(32, 7).toString('base64')),
  ),
  item('item corrupt: no text', /not a (vault key|text)/, ({ bus }, account) =>
    dbus.createItem(bus, LOGIN, account, Buffer.from('ff00fe01c080', 'hex')),
  ),
  item('item empty', /the item is (empty|not a text)/, ({ bus }, account) => bus.storeItem(account, '')),
  item('item with a newline', undefined, ({ bus }, account, secret) => bus.storeItem(account, `${secret}\n`)),
  item('item with a newline: as Windows ends lines', undefined, ({ bus }, account, secret) =>
    bus.storeItem(account, `${secret}\r\n`),
  ),
  recorded('provider changed: vault.json names another', { provider: 'KWallet' }),
  recorded('provider changed: the vault was made without the addon', { backend: 'secret-service' }),
  recorded('provider changed: the vault was made on a Mac', { backend: 'security', provider: 'macOS Keychain' }),
  elsewhere(
    'provider changed: another Secret Service answers',
    /the keychain has no such key/,
    'vault',
    async (world) => {
      world.met = world.owns(await startKeychain());
      return addressOf(world.met);
    },
  ),
  elsewhere('provider changed: another one, which keeps nothing', /the keychain has no such key/, 'told', (world) =>
    standIn(world, { CreateItem: { signature: 'oo', body: ['/c/1', '/'] } }),
  ),
  elsewhere('locked item: as a provider has it that locks each', /the keychain is locked/, 'told', (world) =>
    standIn(world, { SearchItems: { signature: 'aoao', body: [[], ['/c/1']] } }),
  ),
  withoutAddon('it is missing', async (keytar) => rm(keytar, { recursive: true })),
  withoutAddon('it is cut off', async (keytar) => {
    const addon = join(keytar, 'build', 'Release', 'keytar.node');
    const bytes = await readFile(addon);
    await rm(join(keytar, 'prebuilds'), { recursive: true });
    await writeFile(addon, bytes.subarray(0, bytes.length / 2));
  }),
  withoutAddon('it crashes', (keytar) =>
    writeFile(join(keytar, 'lib', 'keytar.js'), "process.kill(process.pid, 'SIGSEGV');"),
  ),
  {
    name: 'addon not loadable: and no other way is allowed',
    refused: /the keytar addon cannot be loaded/,
    first: 'memory',
    bring: async (world) => {
      world.changes = { COFFER_KEYCHAIN: 'keytar' };
      await bringCopy(world, (keytar) => rm(keytar, { recursive: true }));
    },
    reach: async (world) => {
      world.changes = {};
      world.sources = REPOSITORY;
    },
  },
  // Every run has the traps on PATH. Here nothing else is wrong, and a key from them would be
  // believed.
  { name: 'fake security on PATH', first: 'vault', bring: async () => undefined },
];

const LOGIN = '/org/freedesktop/secrets/collection/login';

function lockedItem(): State {
  let other = '';
  return {
    name: 'locked item',
    refused: /the keychain is locked/,
    first: 'vault',
    bring: async (world) => {
      const [account, secret] = await theItem(world);
      other = await dbus.makeCollection(world.bus);
      await world.bus.deleteItem(account);
      await dbus.createItem(world.bus, other, account, Buffer.from(secret));
      await dbus.lockCollection(world.bus, other);
    },
    reach: ({ bus }) => dbus.unlockCollection(bus, other),
  };
}

/** The keychain is unchanged, but the program meets another one. */
function elsewhere(
  name: string,
  refused: RegExp,
  first: State['first'],
  changes: (world: World) => Promise<World['changes']>,
): State {
  return {
    name,
    refused,
    first,
    bring: async (world) => {
      world.changes = await changes(world);
    },
    reach: async (world) => {
      world.changes = {};
    },
  };
}

/** The keychain answers, but with other content than was put there. */
function item(
  name: string,
  refused: RegExp | undefined,
  spoil: (world: World, account: string, secret: string) => Promise<void>,
): State {
  let kept: readonly [string, string];
  return {
    name,
    ...(refused && { refused }),
    first: 'vault',
    bring: async (world) => {
      kept = await theItem(world);
      await spoil(world, ...kept);
    },
    restore: ({ bus }) => bus.storeItem(...kept),
  };
}

/** The same key in the same keychain, but vault.json describes it differently. */
/** The record as coffer would have written it there: nothing to refuse. */
function recorded(name: string, changes: { backend?: VaultFile['backend']; provider?: string }): State {
  return {
    name,
    first: 'vault',
    bring: async (world) => {
      const at = { directory: world.place.data };
      const [, secret] = await theItem(world);
      const key = VaultKey.from(Buffer.from(secret, 'base64'));
      writeRecord(at, authenticated({ ...readRecord(at), ...changes }, key));
    },
  };
}

/** A copy of the program whose addon does not load: everything must work without it. */
function withoutAddon(how: string, spoil: (keytar: string) => Promise<void>): State {
  return {
    name: `addon not loadable: ${how}`,
    first: 'vault',
    bring: (world) => bringCopy(world, spoil),
    reach: async (world) => {
      world.sources = REPOSITORY;
    },
  };
}

async function bringCopy(world: World, spoil: (keytar: string) => Promise<void>): Promise<void> {
  const copy = join(world.bus.directory, 'copy');
  for (const name of ['src', 'native-fallback', 'package.json']) {
    await cp(join(REPOSITORY, name), join(copy, name), { recursive: true });
  }
  await linkModules(join(REPOSITORY, 'node_modules'), join(copy, 'node_modules'));
  await spoil(join(copy, 'node_modules', 'keytar'));
  world.sources = copy;
}

/** Links every package, but copies keytar, which will be damaged. */
async function linkModules(from: string, to: string): Promise<void> {
  await mkdir(to);
  for (const name of await readdir(from)) {
    if (name !== 'keytar' && !name.startsWith('.')) await symlink(join(from, name), join(to, name));
  }
  await cp(join(from, 'keytar'), join(to, 'keytar'), { recursive: true });
}

async function theItem(world: World): Promise<readonly [string, string]> {
  const [item, ...others] = await world.items();
  if (item === undefined || others.length > 0) throw new Error('the keychain does not hold exactly one item');
  const at = item.indexOf('=');
  return [item.slice(0, at), item.slice(at + 1)];
}

function addressOf({ env }: World['bus']): World['changes'] {
  const { DBUS_SESSION_BUS_ADDRESS, XDG_RUNTIME_DIR } = env;
  return { DBUS_SESSION_BUS_ADDRESS, XDG_RUNTIME_DIR };
}

async function promised(world: World, script: string): Promise<World['changes']> {
  return addressOf(world.owns(await dbus.startPromisingBus(script)).bus);
}

/**
 * Starts a fake Secret Service, unlocked and empty apart from the given replies. It refuses to
 * store anything.
 */
async function standIn(world: World, otherwise: Readonly<Record<string, Said>>): Promise<World['changes']> {
  const bus = world.owns(await startBus());
  const answers: Readonly<Record<string, Said>> = {
    ReadAlias: { signature: 'o', body: ['/c'] },
    SearchItems: { signature: 'aoao', body: [[], []] },
    Get: { signature: 'v', body: [{ signature: 'b', value: false }] },
    OpenSession: { signature: 'vo', body: [{ signature: 's', value: '' }, '/session/1'] },
    Unlock: { signature: 'aoo', body: [[], '/'] },
    ...otherwise,
  };
  const refusal: Said = { error: 'org.freedesktop.DBus.Error.AccessDenied' };
  const service = await startStandIn(bus.env, 'org.freedesktop.secrets', ({ member, body }) => {
    const plain = member !== 'OpenSession' || body?.[0] === 'plain';
    return (plain ? answers[member ?? ''] : undefined) ?? refusal;
  });
  world.owns({ [Symbol.asyncDispose]: async () => service[Symbol.dispose]() });
  return addressOf(bus);
}

/** Leaves a socket in the file system on which no process listens any more. */
async function leaveSocket(path: string): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(`${path}-bound`, resolve));
  // Closing removes the name that was bound; another name of the same socket stays.
  await link(`${path}-bound`, path);
  await new Promise((resolve) => server.close(resolve));
  return path;
}
