import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readHeader } from '../../src/vault/file/open.ts';
import type { Rotated } from '../../src/vault/keys/rotation/rotate.ts';
import { Vault } from '../../src/vault/vault.ts';
import { begin, type Home, home, texts, user } from '../support/vault.ts';

/** Creates a vault with a session, and a copy of its file under another name. */
async function copied(name: string): Promise<{ at: Home; fileId: string; copy: string; key: string }> {
  const at = home();
  const sessions = await at.open();
  const session = begin(sessions);
  await session.append(user('one'));
  const fileId = session.fileId ?? '';
  await sessions.close();
  const copy = join(at.directory, 'sessions', name);
  copyFileSync(at.path(fileId), copy);
  return { at, fileId, copy, key: readHeader(copy, name).keyId };
}

function rotate({ directory, keyring }: Home): Promise<Rotated> {
  const vault = new Vault({ directory, keyring, choice: 'auto', env: {} });
  const asked = { passphrase: () => Promise.reject(new Error('nobody')), recoveryCode: () => Promise.reject() };
  return vault.keys.rotate(asked as never);
}

describe('a rotation', () => {
  it('seals a conflicting copy with the new key too, and salvage restores it', async () => {
    const { at, copy, key } = await copied('a copy');
    const rotated = await rotate(at);
    expect(rotated).toMatchObject({ from: key, resealed: 2, remaining: [] });
    expect(readHeader(copy, 'a copy').keyId).toBe(rotated.to);
    expect(await at.keyring.get(key)).toMatchObject({ outcome: 'NOT_FOUND' });
    const sessions = await at.open();
    const { id } = await sessions.upkeep.salvage('a copy');
    expect(texts(await sessions.read(await sessions.find(id)))).toEqual(['one']);
  });

  it.each([
    ['is damaged', 'a copy', (copy: string) => flip(copy, 300)],
    ['has a name too long for a temporary file', 'x'.repeat(250), () => undefined],
  ])('keeps the old key, and names the copy, if that %s', async (_, name, change) => {
    const { at, fileId, copy, key } = await copied(name);
    change(copy);
    const before = readFileSync(copy);
    const rotated = await rotate(at);
    expect(rotated.remaining.map(({ path }) => path)).toEqual([copy]);
    expect(readHeader(at.path(fileId), fileId).keyId).toBe(rotated.to);
    expect(await at.keyring.get(key)).toMatchObject({ outcome: 'READY' });
    expect(readFileSync(copy)).toEqual(before);
  });

  it('leaves a copy sealed with another key as it is, and keeps the old key until the copy is gone', async () => {
    const { at, key, copy } = await copied('a copy');
    flip(copy, 15);
    const before = readFileSync(copy);
    expect((await rotate(at)).remaining.map(({ path }) => path)).toEqual([copy]);
    expect(await at.keyring.get(key)).toMatchObject({ outcome: 'READY' });
    expect(readFileSync(copy)).toEqual(before);
  });
});

describe('a vault with only a conflicting copy left', () => {
  it('is not empty: the key that its header names opens it, and no second key is made', async () => {
    const { at, fileId, key } = await copied('a copy');
    for (const path of ['seen', 'vault.json', join('sessions', fileId)]) rmSync(join(at.directory, path));
    const sessions = await at.open();
    await sessions.keys.unlock();
    expect(sessions.keys.status).toMatchObject({ state: 'ready', keyId: key, how: 'opened' });
    const rows = await sessions.list();
    expect(await sessions.upkeep.conflicts(rows)).toMatchObject([{ name: 'a copy', fileId, of: undefined }]);
  });
});

function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[at]! ^= 1;
  writeFileSync(path, bytes);
}
