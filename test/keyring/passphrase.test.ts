import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  deriveSlotKey,
  newSlotParameters,
  readPassphraseFile,
  type SlotParameters,
} from '../../src/keyring/passphrase.ts';

const FIXED: SlotParameters = { ...newSlotParameters(), salt: Buffer.from('0123456789abcdef').toString('base64') };

describe('newSlotParameters', () => {
  it('returns 64 MiB and three passes, with a fresh salt each time', () => {
    const { salt, ...others } = newSlotParameters();
    expect(others).toEqual({ kind: 'passphrase', algorithm: 'argon2id', memory: 65_536, passes: 3, parallelism: 1 });
    expect(Buffer.from(salt, 'base64')).toHaveLength(16);
    expect(newSlotParameters().salt).not.toBe(salt);
  });
});

describe('deriveSlotKey', () => {
  it('derives the same key as the reference implementation', async () => {
    // Computed by argon2id of the C reference implementation and of OpenSSL, which agree.
    const key = await deriveSlotKey('correct horse battery staple', FIXED);
    expect(key.export().toString('hex')).toBe('94c86f541abdb3d9aabfea59aa03963549483e9c0b1a79336e76b54cee6c917e');
  });

  it('derives the same key for the same passphrase, however it was typed', async () => {
    const [composed, decomposed] = ['Schl\u00fcssel', 'Schlu\u0308ssel'];
    expect(composed).not.toBe(decomposed);
    const [one, other] = [await deriveSlotKey(composed, FIXED), await deriveSlotKey(decomposed, FIXED)];
    expect(one.equals(other)).toBe(true);
    expect(one.symmetricKeySize).toBe(32);
  });

  it('derives another key for another passphrase and for another salt', async () => {
    const key = await deriveSlotKey('one', FIXED);
    expect(key.equals(await deriveSlotKey('One', FIXED))).toBe(false);
    expect(key.equals(await deriveSlotKey('one', newSlotParameters()))).toBe(false);
  });

  it.each([
    ['memory', { memory: 65_535 }],
    ['memory', { memory: 1_048_577 }],
    ['memory', { memory: 2 ** 40 }],
    ['memory', { memory: 65_536.5 }],
    ['memory', { memory: Number.NaN }],
    ['memory', { memory: '65536' as unknown as number }],
    ['passes', { passes: 2 }],
    ['passes', { passes: 17 }],
    ['parallelism', { parallelism: 0 }],
    ['parallelism', { parallelism: 5 }],
    ['salt', { salt: '' }],
    ['salt', { salt: Buffer.alloc(15).toString('base64') }],
    ['salt', { salt: Buffer.alloc(17).toString('base64') }],
    ['salt', { salt: `${Buffer.alloc(16).toString('base64')}!` }],
    ['algorithm', { algorithm: 'argon2i' as 'argon2id' }],
    ['algorithm', { kind: 'recovery' as 'passphrase' }],
  ])('refuses a %s out of bounds before it is used', async (name, change) => {
    const derived = deriveSlotKey('x', { ...FIXED, ...change });
    await expect(derived).rejects.toMatchObject({
      code: 'KEY_MISMATCH',
      message: expect.stringContaining(`slot's ${name} is`),
    });
  });
});

describe('docs/format.md', () => {
  const format = readFileSync(join(import.meta.dirname, '../../docs/format.md'), 'utf8');

  it.each(['memory', 'passes', 'parallelism'] as const)('has the bounds of %s that coffer enforces', async (name) => {
    const [, least, most] = new RegExp(`\`${name}\` from (\\d+) to (\\d+)`).exec(format) ?? [];
    await expect(deriveSlotKey('x', { ...FIXED, [name]: 0 })).rejects.toMatchObject({
      message: expect.stringContaining(`but must be ${least} to ${most};`),
    });
  });

  it('has the parameters that coffer writes', () => {
    const { memory, passes, parallelism } = newSlotParameters();
    expect(format).toContain(`Writers use ${memory}, ${passes} and ${parallelism}.`);
  });
});

describe('readPassphraseFile', () => {
  it.each([
    ['as it is', 'correct horse', 'correct horse'],
    ['without one newline', 'correct horse\n', 'correct horse'],
    ['without one line end of Windows', 'correct horse\r\n', 'correct horse'],
    ['with a second newline', 'correct horse\n\n', 'correct horse\n'],
    ['with its spaces', '  correct  ', '  correct  '],
    ['in any script', 'größe 🔑\n', 'größe 🔑'],
  ])('returns a passphrase %s', async (_, content, expected) => {
    expect(await readPassphraseFile(file(content))).toBe(expected);
  });

  it.each([
    ['empty', ''],
    ['empty', '\n'],
    ['not UTF-8', Buffer.from([0xff, 0xfe, 0x41])],
    ['larger than 64 KiB', Buffer.alloc(64 * 1024 + 1, 65)],
  ])('refuses a file that is %s', async (what, content) => {
    const path = file(content);
    const message = expect.stringContaining(`${path} is ${what}`);
    await expect(readPassphraseFile(path)).rejects.toMatchObject({ code: 'KEY_ABSENT', message });
  });

  it('names a file that cannot be read', async () => {
    const message = 'the passphrase file /no/such/file cannot be read: ENOENT';
    await expect(readPassphraseFile('/no/such/file')).rejects.toMatchObject({ code: 'KEY_ABSENT', message });
  });
});

function file(content: string | Uint8Array): string {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-passphrase-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'passphrase');
  writeFileSync(path, content);
  return path;
}
