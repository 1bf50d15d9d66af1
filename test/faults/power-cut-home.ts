import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bus } from '../support/keychain.ts';

/**
 * The place of a vault's key: outside the device, or in a gnome-keyring whose own file is on the
 * device.
 */
export type Key = { readonly credentials: string } | { readonly bus: Bus };

/** Makes a key that is not on the device. */
export function makeCredentials(folder: string): Key {
  mkdirSync(folder, { mode: 0o700 });
  writeFileSync(join(folder, 'coffer-key'), randomBytes(32), { mode: 0o600 });
  return { credentials: folder };
}

/** Returns the user's home on a device. */
function homeOn(root: string): string {
  return join(root, 'home');
}

/** Returns that user's vault directory. */
export function vaultOn(root: string): string {
  return join(homeOn(root), '.local', 'share', 'coffer');
}

/**
 * Returns the environment of a process that opens the vault on a device; `reader` if it must get
 * the key fast.
 */
export function environment(key: Key, root: string, reader = false): NodeJS.ProcessEnv {
  const directory = { COFFER_DATA_DIR: vaultOn(root) };
  if ('credentials' in key) {
    return { ...directory, COFFER_KEYCHAIN: 'fd', CREDENTIALS_DIRECTORY: key.credentials };
  }
  return { ...directory, ...key.bus.env, COFFER_KEYCHAIN: reader ? 'secret-service' : 'keytar' };
}

/**
 * Runs `work` while the user is logged in: a fresh gnome-keyring has opened the keyring files on
 * the device.
 */
export async function loggedIn<T>(key: Key, root: string, work: () => Promise<T>): Promise<T> {
  if ('credentials' in key) return work();
  const share = join(homeOn(root), '.local', 'share');
  mkdirSync(share, { recursive: true, mode: 0o700 });
  const { bus } = key;
  const env = { HOME: homeOn(root), XDG_DATA_HOME: share };
  const daemons: ReturnType<Bus['spawn']>[] = [];
  await bus.whenOwned('org.freedesktop.secrets', () => {
    const daemon = bus.spawn('gnome-keyring-daemon', ['--foreground', '--components=secrets', '--unlock'], env);
    daemon.stdout?.resume();
    daemon.stdin?.end('\n');
    daemons.push(daemon);
  });
  try {
    return await work();
  } finally {
    for (const daemon of daemons) {
      const ended = new Promise((resolve) => daemon.once('exit', resolve));
      daemon.kill('SIGKILL');
      await ended;
    }
  }
}
