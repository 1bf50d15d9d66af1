import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { CofferError } from '../../../src/errors.ts';
import { openVault, sessionsOf } from '../../../src/session/open-vault.ts';
import { KnownVaults } from '../../../src/vault/keys/record/known.ts';
import { requireUnix } from '../../support/keychain.ts';
import { begin, type Home, home, temporaryFolder, user } from '../../support/vault.ts';

const KEY = 'a'.repeat(32);

/** Creates a home with a list of known vaults of its own. */
async function known(): Promise<{ at: Home; config: string; path: string }> {
  const at = home();
  const config = join(temporaryFolder(), 'config');
  const sessions = await at.open({ config });
  await begin(sessions).append(user('one'));
  await sessions.close();
  return { at, config, path: join(config, 'vaults.json') };
}

function entries(path: string): Record<string, { key?: string }> {
  return JSON.parse(readFileSync(path, 'utf8')).vaults;
}

describe('the known vaults', () => {
  it('have the key of a vault once it was opened, in a file of mode 0600', async () => {
    const { at, path } = await known();
    const { key } = JSON.parse(readFileSync(join(at.directory, 'vault.json'), 'utf8'));
    expect(entries(path)).toEqual({ [at.directory]: { key } });
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('are written by the first opening only, not by later reads', async () => {
    const { at, config, path } = await known();
    const before = statSync(path);
    await using sessions = await at.open({ config });
    await sessions.list();
    expect(statSync(path)).toMatchObject({ ino: before.ino, mtimeMs: before.mtimeMs });
  });

  it('know a vault by its real path, and drop missing directories at the next write', async () => {
    const { at, config, path } = await known();
    const link = join(temporaryFolder(), 'link');
    symlinkSync(at.directory, link);
    await (await openVault({ directory: link, keyring: at.keyring, config, env: {} })).close();
    expect(Object.keys(entries(path))).toEqual([at.directory]);
    const moved = `${at.directory}-moved`;
    renameSync(at.directory, moved);
    const sessions = await openVault({ directory: moved, keyring: at.keyring, config, env: {} });
    expect(sessions.keys.record.distrust).toBeUndefined();
    expect(await sessions.list()).toHaveLength(1);
    expect(Object.keys(entries(path))).toEqual([moved]);
  });

  it('are written although one of the directories is unreadable, which stays', async () => {
    const { at, config, path } = await known();
    const file = join(config, 'file');
    writeFileSync(file, '');
    const unreachable = join(file, 'vault');
    writeFileSync(path, JSON.stringify({ format: 1, vaults: { [unreachable]: { key: KEY } } }));
    await (await at.open({ config })).close();
    expect(Object.keys(entries(path)).sort()).toEqual([at.directory, unreachable].sort());
  });

  it('pin the new key if a directory starts over', async () => {
    const { at, config, path } = await known();
    const before = entries(path);
    rmSync(at.directory, { recursive: true });
    await using sessions = await at.open({ config });
    expect(sessions.keys.record.distrust).toBeUndefined();
    expect(entries(path)).not.toEqual(before);
  });

  it('keep what several processes write at the same time', async () => {
    const config = join(temporaryFolder(), 'config');
    const directories = Array.from({ length: 6 }, () => temporaryFolder());
    await Promise.all(directories.map((directory) => new KnownVaults(config).change(directory, { key: KEY })));
    for (const directory of directories) expect(new KnownVaults(config).find(directory)).toEqual({ key: KEY });
  });

  it('are not written in an incognito chat', async () => {
    const config = join(temporaryFolder(), 'config');
    await using sessions = sessionsOf({ directory: temporaryFolder(), config, incognito: true, env: {} });
    await begin(sessions).record(user('one'));
    expect(existsSync(config)).toBe(false);
  });

  it.each([
    ['not JSON', '{'],
    ['of another shape', '{"format":1,"vaults":[]}'],
    ['an invalid key', '{"format":1,"vaults":{"/x":{"key":"x"}}}'],
    ['another format', '{"format":2,"vaults":{}}'],
  ])('are refused if they are %s, and left as they are', async (_, text) => {
    const { at, config, path } = await known();
    writeFileSync(path, text, { mode: 0o600 });
    await expect(at.open({ config })).rejects.toMatchObject({ code: 'SETTINGS_INVALID' });
    expect(readFileSync(path, 'utf8')).toBe(text);
  });

  it('are refused if others could have written them', async (context) => {
    requireUnix(context);
    const { at, config, path } = await known();
    chmodSync(path, 0o666);
    await expect(at.open({ config })).rejects.toMatchObject({
      code: 'SETTINGS_INVALID',
      message: expect.stringContaining('others can write to it'),
    });
  });

  it('hold for the process if they cannot be written, which is reported once', async () => {
    const config = join(temporaryFolder(), 'config');
    mkdirSync(join(config, 'vaults.lock'), { recursive: true });
    const at = home();
    const told: CofferError[] = [];
    await using sessions = await at.open({ config, onDistrust: (error) => told.push(error) });
    await begin(sessions).append(user('one'));
    expect(sessions.keys.record.distrust).toBeUndefined();
    expect(told).toMatchObject([{ code: 'FAILED', reason: expect.stringContaining('vaults.lock is not a lock file') }]);
    expect(told[0]?.what).toBe(`the key of ${at.directory} could not be written to ${join(config, 'vaults.json')}`);
    expect(existsSync(join(config, 'vaults.json'))).toBe(false);
    await using again = await at.open({ config });
    expect(await again.list()).toHaveLength(1);
  });
});

describe('a data directory that others can write to', () => {
  it.each([0o770, 0o707, 0o777, 0o720, 0o1777])(
    'is refused with mode %o, and opens once that is accepted',
    async (mode) => {
      if (process.platform === 'win32') return;
      const { at, config } = await known();
      chmodSync(at.directory, mode);
      await expect(at.open({ config })).rejects.toMatchObject({
        code: 'FAILED',
        message: expect.stringMatching(/chmod go-w/),
      });
      const sessions = sessionsOf({ directory: at.directory, keyring: at.keyring, config, env: {} });
      const change = await sessions.keys.record.changes();
      expect(change).toMatchObject({ key: undefined, access: { mode: mode & 0o777 } });
      await sessions.keys.record.trust(change!);
      await using opened = await at.open({ config });
      expect(await opened.list()).toHaveLength(1);
      expect(await opened.keys.record.changes()).toBeUndefined();
      chmodSync(at.directory, (mode & 0o777) === 0o777 ? 0o775 : 0o777);
      await expect(at.open({ config })).rejects.toMatchObject({ code: 'FAILED' });
    },
  );

  it('is not refused while there is no vault in it, and is 0700 afterwards', async () => {
    const directory = temporaryFolder();
    chmodSync(directory, 0o777);
    await using sessions = await home(directory).open();
    await begin(sessions).append(user('one'));
    expect(statSync(directory).mode & 0o777).toBe(0o700);
  });

  it('is refused if it belongs to another user, even if there is no vault in it', async (context) => {
    if (process.getuid?.() !== 0) context.skip('only root can give a directory away');
    const { chownSync } = await import('node:fs');
    const { at, config } = await known();
    chownSync(at.directory, 4321, 4321);
    await expect(at.open({ config })).rejects.toMatchObject({
      code: 'FAILED',
      message: expect.stringContaining('uid 4321'),
    });
    const empty = temporaryFolder();
    chownSync(empty, 4321, 4321);
    await expect(home(empty).open()).rejects.toMatchObject({ code: 'FAILED' });
  });
});
