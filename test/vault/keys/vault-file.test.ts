import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { VaultKey } from '../../../src/envelope/key.ts';
import { sweepTemps } from '../../../src/files/replace/temporary.ts';
import {
  createVaultFile,
  findVaultFile,
  readVaultFile,
  type VaultFile,
} from '../../../src/vault/keys/record/vault-file.ts';
import { temporaryFolder } from '../../support/vault.ts';

const slot = {
  kind: 'passphrase',
  algorithm: 'argon2id',
  memory: 65_536,
  passes: 3,
  parallelism: 1,
  salt: 'AAAAAAAAAAAAAAAAAAAAAA==',
  wrapped: 'AAAA',
};
const file = { format: 1, key: 'a'.repeat(32), backend: 'passphrase', provider: 'passphrase', slots: [slot] };

describe('readVaultFile', () => {
  it('returns what is written there, and undefined if there is no file', () => {
    expect(readVaultFile(temporaryFolder())).toBeUndefined();
    const retiring = { ...file, retiring: 'b'.repeat(32) };
    expect(readVaultFile(folderWith(retiring))).toEqual(retiring);
  });

  it('keeps fields that a newer version wrote in this format, which the MAC covers too', () => {
    const newer = { ...file, hint: 'a cat', slots: [{ ...slot, colour: 'red' }] };
    expect(readVaultFile(folderWith(newer))).toEqual(newer);
  });

  it.each<[string, unknown]>([
    ['format', 0],
    ['format', '1'],
    ['format', 1.5],
    ['key', 'A'.repeat(32)],
    ['key', 'a'.repeat(31)],
    ['retiring', null],
    ['retiring', 'x'],
    ['backend', 'cloud'],
    ['provider', 'p'.repeat(201)],
    ['provider', undefined],
    ['slots', {}],
    ['slots', [null]],
    ['slots', [[]]],
    ['slots', Array.from({ length: 17 }, () => slot)],
    ['slots', [{ ...slot, kind: 'pin' }]],
    ['slots', [{ ...slot, algorithm: 'md5' }]],
    ['slots', [{ ...slot, memory: '65536' }]],
    ['slots', [{ ...slot, passes: 2.5 }]],
    ['slots', [{ ...slot, parallelism: 2 ** 53 }]],
    ['slots', [{ ...slot, salt: 'AAA' }]],
    ['slots', [{ ...slot, wrapped: 'not base64!' }]],
    ['slots', [{ ...slot, wrapped: undefined }]],
    ['successors', {}],
    ['successors', [{ from: 'a'.repeat(32), to: 'b'.repeat(32) }]],
    ['successors', [{ from: 'a', to: 'b'.repeat(32), sealed: 'AAAA' }]],
    ['counter', 0],
    ['counter', 1.5],
    ['counter', '1'],
    ['mac', 'a'.repeat(63)],
    ['mac', 'A'.repeat(64)],
    ['mac', null],
  ])('refuses another %s: %j', (name, value) => {
    expect(() => readVaultFile(folderWith({ ...file, [name]: value }))).toThrow(
      expect.objectContaining({
        code: 'UNAUTHENTIC',
        message: expect.stringContaining(`its ${name} is not what coffer writes`),
      }),
    );
  });

  it.each([[null], [[]], [1], ['text']])('refuses what is not an object: %j', (value) => {
    expect(() => readVaultFile(folderWith(value))).toThrow(
      expect.objectContaining({
        code: 'UNAUTHENTIC',
        message: expect.stringContaining('damaged: it is not what coffer writes'),
      }),
    );
  });

  it('takes no field from the prototype', () => {
    const inherited = JSON.stringify({ format: 1 }).replace('{', `{"__proto__":${JSON.stringify(file)},`);
    expect(() => readVaultFile(folderWith(inherited, String))).toThrow(
      expect.objectContaining({ code: 'UNAUTHENTIC' }),
    );
  });

  it('tells a newer format from damage', () => {
    const newer = findVaultFile(folderWith({ ...file, format: 2 }));
    expect(newer.error).toMatchObject({
      code: 'UNAUTHENTIC',
      message: expect.stringMatching(
        /format that this version of coffer does not know.*if a newer coffer wrote it, update/,
      ),
    });
    expect(newer.file).toBeUndefined();
  });
});

function folderWith(value: unknown, write: (value: unknown) => string = JSON.stringify): string {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'vault.json'), write(value));
  return folder;
}

describe('createVaultFile', () => {
  it('returns undefined if another file came first, even if its own temporary file was swept', async () => {
    const directory = temporaryFolder();
    const lost = createVaultFile(directory, file as VaultFile, VaultKey.generate());
    writeFileSync(join(directory, 'vault.json'), JSON.stringify({ ...file, key: 'b'.repeat(32) }));
    expect(sweepTemps(directory, (name) => name === 'vault.json')).toBe(1);
    expect(await lost).toBeUndefined();
    expect(readVaultFile(directory)).toMatchObject({ key: 'b'.repeat(32) });
  });

  it('throws if the file cannot be created and no other came first', async () => {
    const directory = temporaryFolder();
    const failed = createVaultFile(directory, file as VaultFile, VaultKey.generate());
    sweepTemps(directory, () => true);
    await expect(failed).rejects.toMatchObject({ code: 'NOT_SAVED' });
  });
});
