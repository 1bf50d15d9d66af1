import { createHmac, createSecretKey, randomBytes } from 'node:crypto';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { hkdfExpand, VaultKey } from '../../src/envelope/key.ts';
import { inputKeyOf } from './support.ts';

describe('VaultKey', () => {
  it('generates a different key every time', () => {
    const [a, b] = [VaultKey.generate(), VaultKey.generate()];
    expect(a.bytes()).toHaveLength(32);
    expect(a.bytes().equals(b.bytes())).toBe(false);
    expect(a.bytes().equals(Buffer.alloc(32))).toBe(false);
    expect(a.id).not.toBe(b.id);
  });

  it('derives an id of 32 hex digits from the bytes', () => {
    const key = VaultKey.generate();
    expect(key.id).toMatch(/^[0-9a-f]{32}$/);
    expect(VaultKey.from(key.bytes()).id).toBe(key.id);
    expect(VaultKey.from(key.bytes()).frameKey.equals(key.frameKey)).toBe(true);
  });

  it.each([0, 16, 31, 33, 64])('refuses %i bytes as a key', (length) => {
    expect(() => VaultKey.from(Buffer.alloc(length))).toThrow(RangeError);
  });

  it('copies the bytes it is created from, and the bytes it returns', () => {
    const bytes = Buffer.alloc(32, 7);
    const key = VaultKey.from(bytes);
    bytes.fill(0);
    key.bytes().fill(0);
    expect(key.bytes()).toEqual(Buffer.alloc(32, 7));
  });

  it('returns bytes in memory that no other buffer shares', () => {
    expect(VaultKey.generate().bytes().buffer.byteLength).toBe(32);
  });

  it('uses neither the key itself nor its id as the key of frames', () => {
    const key = VaultKey.generate();
    expect(key.frameKey.export().equals(key.bytes())).toBe(false);
    expect(key.frameKey.export().toString('hex')).not.toContain(key.id);
    expect(key.bytes().toString('hex')).not.toContain(key.id);
  });

  it('shows no key byte when it is printed', () => {
    const key = VaultKey.from(Buffer.alloc(32, 0x61));
    const frameKey = key.frameKey.export();
    const shown = inspect(key, { showHidden: true, depth: 9 }) + JSON.stringify(key) + String(key);
    for (const secret of [key.bytes(), frameKey]) {
      for (const form of [
        secret.toString('hex'),
        secret.toString('base64'),
        secret.toString('latin1'),
        inspect(secret),
      ]) {
        expect(shown).not.toContain(form);
      }
    }
    expect(shown).toContain(key.id);
  });
});

describe('hkdfExpand', () => {
  it('returns a prefix of the same bytes for every length', () => {
    const key = inputKeyOf('expand');
    const all = hkdfExpand('sha512', key, [Buffer.from('in'), Buffer.from('fo')], 255 * 64);
    for (const length of [0, 1, 63, 64, 65, 76, 128, 129]) {
      expect(hkdfExpand('sha512', key, [Buffer.from('in'), Buffer.from('fo')], length)).toEqual(
        all.subarray(0, length),
      );
    }
  });

  it.each(['sha256', 'sha512'] as const)('agrees with HMAC-%s', (algorithm) => {
    const key = createSecretKey(randomBytes(32));
    let expected = createHmac(algorithm, key).update('info').update(Uint8Array.of(1)).digest();
    expect(hkdfExpand(algorithm, key, [Buffer.from('info')], expected.length)).toEqual(expected);
    const next = createHmac(algorithm, key).update(expected).update('info').update(Uint8Array.of(2)).digest();
    expected = Buffer.concat([expected, next]);
    expect(hkdfExpand(algorithm, key, [Buffer.from('i'), Buffer.from('nfo')], expected.length)).toEqual(expected);
  });

  it.each([0, 16, 31, 33, 128])('refuses a key of %i bytes', (length) => {
    expect(() => hkdfExpand('sha512', createSecretKey(Buffer.alloc(length)), [], 32)).toThrow(RangeError);
  });

  it('refuses more than 255 blocks', () => {
    const key = createSecretKey(Buffer.alloc(32));
    expect(() => hkdfExpand('sha256', key, [], 255 * 32 + 1)).toThrow(RangeError);
  });
});
