import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { decodeHeader } from '../../src/envelope/format.ts';
import { makePlace, type Place, type Start } from '../support/coffer.ts';
import { type Bus, requireKeychain, startKeychain } from '../support/keychain.ts';

/** A vault with two sessions and a snapshot, and a real keychain that holds its key. */
interface Kept extends AsyncDisposable {
  readonly place: Place;
  readonly bus: Bus;
  readonly start: Start;
}

async function keep(): Promise<Kept> {
  const bus = await startKeychain();
  const place = await makePlace();
  const start: Start = { env: { ...bus.env, COFFER_KEYCHAIN: 'auto', COFFER_KEY_FD: undefined } };
  for (const input of ['my secret\n/save kept\n', 'something else\n']) {
    expect((await place.run(['--model', 'demo/echo'], { ...start, input })).code).toBe(0);
  }
  const dispose = async (): Promise<void> => {
    await place[Symbol.asyncDispose]();
    await bus.dispose();
  };
  return { place, bus, start, [Symbol.asyncDispose]: dispose };
}

/** Reads the key ids from the headers of all sealed files, using the format alone. */
async function headers({ place }: Kept): Promise<Set<string>> {
  const folders = [join(place.data, 'sessions'), join(place.data, 'quarantine'), place.data];
  const ids = new Set<string>();
  for (const folder of folders) {
    const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    });
    for (const name of names) {
      const path = join(folder, name);
      if (name === 'vault.json' || name.endsWith('.txt') || !(await stat(path)).isFile()) continue;
      ids.add(decodeHeader(await readFile(path)).keyId);
    }
  }
  return ids;
}

async function keysInKeychain({ bus }: Kept): Promise<string[]> {
  return (await bus.items()).map(({ attributes }) => attributes['account'] ?? '');
}

async function record({ place }: Kept): Promise<{ key: string; retiring?: string; slots: unknown[] }> {
  return JSON.parse(await readFile(join(place.data, 'vault.json'), 'utf8'));
}

describe('coffer key rotate', () => {
  it('leaves one key in the keychain and its name in every header, and every session opens', async (context) => {
    requireKeychain(context);
    await using kept = await keep();
    const { place, start } = kept;
    const before = await record(kept);
    const listed = (await place.listed(start)).map(({ id, messages }) => [id, messages]);
    const rotated = await place.run(['key', 'rotate'], start);
    expect(rotated).toMatchObject({ code: 0, stderr: '' });
    const { key } = await record(kept);
    expect(key).not.toBe(before.key);
    expect(rotated.stdout).toContain(`the vault has a new key, ${key}`);
    expect(rotated.stdout).toContain(`the old key, ${before.key}, was removed from this machine`);
    expect(rotated.stdout).toContain(
      'older copies of the vault still open with any other keychain that has the old key',
    );
    expect(await headers(kept)).toEqual(new Set([key]));
    expect(await keysInKeychain(kept)).toEqual([key]);
    expect((await place.listed(start)).map(({ id, messages }) => [id, messages])).toEqual(listed);
    const chat = await place.run(['resume', 'last'], { ...start, input: 'and on\n' });
    expect(chat.code).toBe(0);
    expect(await headers(kept)).toEqual(new Set([key]));
  });

  it('ends with 11 and names the process while a chat is open, and changes nothing', async (context) => {
    requireKeychain(context);
    await using kept = await keep();
    const { place, start } = kept;
    const before = await place.sessionBytes();
    await using chat = place.terminal(['resume', '1'], start);
    await chat.waitFor(/resumed session/);
    const refused = await place.run(['key', 'rotate'], start);
    expect(refused).toMatchObject({ code: 11, stdout: '' });
    expect(refused.stderr).toMatch(new RegExp(`in use by process ${chat.pid} since \\d\\d:\\d\\d`));
    expect(await place.sessionBytes()).toEqual(before);
    expect(await keysInKeychain(kept)).toEqual([(await record(kept)).key]);
  });

  it('resumes at the next start of a chat once the file that stopped it was removed', async (context) => {
    requireKeychain(context);
    await using kept = await keep();
    const { place, start } = kept;
    const old = (await record(kept)).key;
    const [name = ''] = await place.sessionFiles();
    const bytes = await readFile(place.sessionFile(name));
    bytes[bytes.length - 1]! ^= 1;
    await writeFile(place.sessionFile(name), bytes);
    const rotated = await place.run(['key', 'rotate'], start);
    expect(rotated.code).toBe(13);
    expect(rotated.stderr).toContain(`sessions/${name}`);
    expect(rotated.stderr).toContain(`the old key, ${old}, is kept`);
    expect((await keysInKeychain(kept)).toSorted()).toEqual([old, (await record(kept)).key].toSorted());
    await rm(place.sessionFile(name));
    const chat = await place.run(['--model', 'demo/echo'], { ...start, input: '' });
    expect(chat.code).toBe(0);
    expect(chat.stderr).toContain('resuming an interrupted key rotation');
    expect(await record(kept)).not.toHaveProperty('retiring');
    expect(await keysInKeychain(kept)).toEqual([(await record(kept)).key]);
  });

  it('asks for the passphrase and shows a new code on a terminal', async (context) => {
    requireKeychain(context);
    await using kept = await keep();
    const { place, start } = kept;
    const added = await place.run(['key', 'add-passphrase'], { ...start, input: 'a long secret\n' });
    expect(added.code).toBe(0);
    const piped = await place.run(['key', 'rotate'], start);
    expect(piped).toMatchObject({ code: 2, stdout: '' });
    expect(piped.stderr).toMatch(/no terminal to ask for passphrase [0-9a-f]{8}/);
    await using rotation = place.terminal(['key', 'rotate'], start);
    await rotation.waitFor(/passphrase [0-9a-f]{8}.*: /);
    rotation.enter('a wrong one');
    await rotation.waitFor(/wrong passphrase/);
    await rotation.waitFor(/passphrase [0-9a-f]{8}.*: /);
    rotation.enter('a long secret');
    expect(await rotation.exit).toEqual({ code: 0, signal: null });
    expect(rotation.screen()).toMatch(/older copies of the vault still open with passphrase [0-9a-f]{8}, /);
    expect(rotation.screen()).not.toContain('a long secret');
    expect((await record(kept)).slots).toHaveLength(1);
    const file = join(place.temp, 'passphrase');
    await writeFile(file, 'a long secret\n', { mode: 0o600 });
    const env = { ...start.env, COFFER_KEYCHAIN: 'passphrase', COFFER_PASSPHRASE_FILE: file };
    expect((await place.run(['sessions'], { ...start, env })).code).toBe(0);
  });

  it('says in one line that there is no vault, and makes none', async () => {
    await using place = await makePlace();
    for (const args of [
      ['key', 'rotate'],
      ['purge', '1', '--yes'],
    ]) {
      const refused = await place.run(args);
      expect(refused).toMatchObject({ code: 1, stdout: '' });
      expect(refused.stderr).toMatch(/^coffer: there is no vault in .*\n$/);
    }
    await expect(stat(place.data)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describe('coffer purge', () => {
  it('deletes, rotates, and names everything else that contains the words', async (context) => {
    requireKeychain(context);
    await using kept = await keep();
    const { place, start } = kept;
    const before = await place.listed(start);
    const secret = before.find(({ kind, label }) => kind === 'session' && label !== '_autosave')!;
    const unconfirmed = await place.run(['purge', secret.id], start);
    expect(unconfirmed).toMatchObject({ code: 2, stdout: '' });
    expect((await place.listed(start)).length).toBe(before.length);
    const purged = await place.run(['purge', secret.id, '--yes'], start);
    expect(purged.code).toBe(0);
    expect(purged.stderr).toContain(`will be deleted permanently: ${secret.id}, 2 messages`);
    expect(purged.stderr).toMatch(/still contains purged text: .*_kept, 2 messages/);
    expect(purged.stdout).toContain('the vault has a new key');
    const left = await place.listed(start);
    expect(left.map(({ fileId }) => fileId)).toEqual(
      before.filter(({ fileId }) => fileId !== secret.fileId).map(({ fileId }) => fileId),
    );
    expect(await keysInKeychain(kept)).toEqual([(await record(kept)).key]);
    expect(await headers(kept)).toEqual(new Set([(await record(kept)).key]));
  });

  it('first completes a rotation that the purged file had stopped', async (context) => {
    requireKeychain(context);
    await using kept = await keep();
    const { place, start } = kept;
    const [name = ''] = await place.sessionFiles();
    const bytes = await readFile(place.sessionFile(name));
    bytes[bytes.length - 1]! ^= 1;
    await writeFile(place.sessionFile(name), bytes);
    expect((await place.run(['key', 'rotate'], start)).code).toBe(13);
    const purged = await place.run(['purge', name, '--yes'], start);
    expect(purged.code).toBe(0);
    expect(purged.stderr).toContain('(unreadable)');
    expect(await place.sessionFiles()).toHaveLength(2);
    expect(await keysInKeychain(kept)).toEqual([(await record(kept)).key]);
    expect(await record(kept)).not.toHaveProperty('retiring');
  });

  it('is confirmed by a word on a terminal', async (context) => {
    requireKeychain(context);
    await using kept = await keep();
    const { place, start } = kept;
    await using refused = place.terminal(['purge', '1'], start);
    await refused.waitFor(/type purge/);
    refused.enter('y');
    expect(await refused.exit).toEqual({ code: 1, signal: null });
    expect(refused.screen()).toContain('nothing was deleted');
    await using purge = place.terminal(['purge', '1'], start);
    await purge.waitFor(/type purge/);
    purge.enter('purge');
    expect(await purge.exit).toEqual({ code: 0, signal: null });
    expect(await place.sessionFiles()).toHaveLength(2);
  });

  it('deletes nothing if there is no such session', async (context) => {
    requireKeychain(context);
    await using kept = await keep();
    const { place, start } = kept;
    const refused = await place.run(['purge', '1', 'nothing-like-it', '--yes'], start);
    expect(refused).toMatchObject({ code: 10, stdout: '' });
    expect(await place.sessionFiles()).toHaveLength(3);
  });
});
