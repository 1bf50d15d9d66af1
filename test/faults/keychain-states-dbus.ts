import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Bus as Connection } from '../../native-fallback/dbus.ts';
import { type Bus, startBus } from '../support/keychain.ts';
import { kill, strays } from './keychain-states-scan.ts';

/*
 * States of the Secret Service that its own calls can produce, although no program of the system
 * does: collections and items apart from the default ones, and a service that is promised and never
 * appears.
 */

const SECRETS = 'org.freedesktop.secrets';
const SERVICE = { destination: SECRETS, path: '/org/freedesktop/secrets', interface: 'org.freedesktop.Secret.Service' };
/** gnome-keyring's own interface, which bypasses every prompt. */
const UNPROMPTED = { ...SERVICE, interface: 'org.gnome.keyring.InternalUnsupportedGuiltRiddenInterface' };
const PASSWORD = 'the password of the other collection';

/** Makes a second collection and returns its path. */
export function makeCollection(bus: Bus): Promise<string> {
  return talk(bus, async (connection) => {
    const properties = [['org.freedesktop.Secret.Collection.Label', { signature: 's', value: 'other' }]];
    const master = [await session(connection), Buffer.alloc(0), Buffer.from(PASSWORD), 'text/plain'];
    const [path] = await connection.call(UNPROMPTED, 'CreateWithMasterPassword', 'a{sv}(oayays)', properties, master);
    return String(path);
  });
}

/** Puts an item with keytar's attributes into a collection; its secret may be any bytes. */
export function createItem(bus: Bus, collection: string, account: string, secret: Buffer): Promise<void> {
  return talk(bus, async (connection) => {
    const attributes = [
      ['service', 'coffer'],
      ['account', account],
      ['xdg:schema', 'org.freedesktop.Secret.Generic'],
    ];
    const properties = [
      ['org.freedesktop.Secret.Item.Label', { signature: 's', value: `coffer/${account}` }],
      ['org.freedesktop.Secret.Item.Attributes', { signature: 'a{ss}', value: attributes }],
    ];
    const target = { destination: SECRETS, path: collection, interface: 'org.freedesktop.Secret.Collection' };
    const value = [await session(connection), Buffer.alloc(0), secret, 'application/octet-stream'];
    await connection.call(target, 'CreateItem', 'a{sv}(oayays)b', properties, value, true);
  });
}

export function lockCollection(bus: Bus, collection: string): Promise<unknown> {
  return talk(bus, (connection) => connection.call(SERVICE, 'Lock', 'ao', [collection]));
}

export function unlockCollection(bus: Bus, collection: string): Promise<void> {
  return talk(bus, async (connection) => {
    const master = [await session(connection), Buffer.alloc(0), Buffer.from(PASSWORD), 'text/plain'];
    await connection.call(UNPROMPTED, 'UnlockWithMasterPassword', 'o(oayays)', collection, master);
  });
}

/**
 * Lists the items of coffer as `account=text`, each byte a character; the text is `undefined` if
 * the item is locked.
 */
export function listItems(bus: Bus): Promise<string[]> {
  return talk(bus, async (connection) => {
    const [open, shut] = await connection.call(SERVICE, 'SearchItems', 'a{ss}', [['service', 'coffer']]);
    const asked = await session(connection);
    const items: string[] = [];
    for (const path of [...(open as string[]), ...(shut as string[])]) {
      const account = await accountOf(connection, path);
      items.push(`${account}=${(open as string[]).includes(path) ? await textOf(connection, path, asked) : undefined}`);
    }
    return items.sort();
  });
}

/**
 * Starts a bus that promises a keychain on demand: a script, started when it is needed. Processes
 * it started end with the bus.
 */
export async function startPromisingBus(script: string): Promise<{ bus: Bus } & AsyncDisposable> {
  const bus = await startBus({ activatable: true });
  const program = join(bus.directory, 'keychain.sh');
  await writeFile(program, `#!/bin/sh\n${script}\n`);
  await chmod(program, 0o755);
  // This folder for services takes precedence over that of the system.
  const services = join(bus.env.XDG_RUNTIME_DIR, 'dbus-1', 'services');
  await mkdir(services, { recursive: true });
  await writeFile(join(services, `${SECRETS}.service`), `[D-BUS Service]\nName=${SECRETS}\nExec=${program}\n`);
  const target = { destination: 'org.freedesktop.DBus', path: '/org/freedesktop/DBus' };
  await talk(bus, (connection) => connection.call({ ...target, interface: 'org.freedesktop.DBus' }, 'ReloadConfig'));
  return {
    bus,
    [Symbol.asyncDispose]: async () => {
      for (const pid of strays(bus.directory)) kill(pid);
      await bus.dispose();
    },
  };
}

async function talk<T>(bus: Bus, work: (connection: Connection) => Promise<T>): Promise<T> {
  using connection = await Connection.connect({ ...bus.env }, 20_000);
  return await work(connection);
}

async function accountOf(connection: Connection, path: string): Promise<string> {
  const target = { destination: SECRETS, path, interface: 'org.freedesktop.DBus.Properties' };
  const [attributes] = await connection.call(target, 'Get', 'ss', 'org.freedesktop.Secret.Item', 'Attributes');
  const pairs = (attributes as { value: [string, string][] }).value;
  return pairs.find(([name]) => name === 'account')?.[1] ?? '';
}

async function textOf(connection: Connection, path: string, asked: unknown): Promise<string> {
  const target = { destination: SECRETS, path, interface: 'org.freedesktop.Secret.Item' };
  const [secret] = await connection.call(target, 'GetSecret', 'o', asked);
  return ((secret as unknown[])[2] as Buffer).toString('latin1');
}

async function session(connection: Connection): Promise<unknown> {
  const [, path] = await connection.call(SERVICE, 'OpenSession', 'sv', 'plain', { signature: 's', value: '' });
  return path;
}
