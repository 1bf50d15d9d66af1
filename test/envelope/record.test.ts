import { createSecretKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { VaultKey } from '../../src/envelope/key.ts';
import { hasRecordMac, isSuccessor, recordMac, sealSuccessor } from '../../src/envelope/record.ts';
import { authenticated, certifies, hasRightMac, leadsTo, withSuccessor } from '../../src/vault/keys/record/record.ts';
import type { VaultFile } from '../../src/vault/keys/record/shape.ts';
import { VECTORS } from './support.ts';

interface RecordVector {
  readonly key: string;
  readonly retired: string;
  readonly canonical: string;
  readonly record: VaultFile & { mac: string };
}

const vector: RecordVector = JSON.parse(readFileSync(join(VECTORS, 'record.json'), 'utf8'));
const key = VaultKey.from(Buffer.from(vector.key, 'hex'));
const retired = VaultKey.from(Buffer.from(vector.retired, 'hex'));

describe('the MAC of vault.json', () => {
  it('verifies as docs/format.md says, if another implementation computed it', () => {
    expect(recordMac(key, vector.canonical).toString('hex')).toBe(vector.record.mac);
    expect(hasRightMac(vector.record, key)).toBe(true);
  });

  it('does not depend on the order of the fields or on undefined ones', () => {
    const reversed = Object.fromEntries(Object.entries(vector.record).reverse()) as unknown as VaultFile;
    expect(hasRightMac({ ...reversed, retiring: undefined }, key)).toBe(true);
  });

  it('is wrong if any field is changed, added or removed, for another key, and if malformed', () => {
    for (const name of Object.keys(vector.record)) {
      const { [name as keyof VaultFile]: _, ...without } = vector.record;
      expect([name, hasRightMac(without as VaultFile, key)]).toEqual([name, false]);
      expect([name, hasRightMac({ ...vector.record, [name]: 'x' }, key)]).toEqual([name, false]);
    }
    expect(hasRightMac({ ...vector.record, hint: 'x' } as VaultFile, key)).toBe(false);
    expect(hasRightMac(vector.record, retired)).toBe(false);
    for (const mac of ['', 'x', vector.record.mac.slice(2)])
      expect(hasRecordMac(key, vector.canonical, mac)).toBe(false);
  });

  it('comes with a counter above all previous ones', () => {
    expect(authenticated(vector.record, key)).toMatchObject({ counter: 8 });
    expect(authenticated(vector.record, key, 20)).toMatchObject({ counter: 21 });
    expect(hasRightMac(authenticated(vector.record, key), key)).toBe(true);
  });

  it('covers text of any language, and fields named like properties of every object', () => {
    const odd = JSON.parse('{"__proto__":{"a":1},"constructor":"é \\ud800"}');
    const record = authenticated({ ...vector.record, ...odd }, key);
    const read = JSON.parse(JSON.stringify(record)) as VaultFile;
    expect(hasRightMac(read, key)).toBe(true);
    expect(hasRightMac({ ...read, constructor: 'e' } as unknown as VaultFile, key)).toBe(false);
  });
});

describe('a successor certificate', () => {
  const [certificate] = vector.record.successors ?? [];
  const sealed = Buffer.from(certificate?.sealed ?? '', 'base64');

  it('opens as docs/format.md says, if another implementation sealed it', () => {
    expect(isSuccessor(retired, key.id, sealed)).toBe(true);
    expect(certifies(vector.record, retired, key.id)).toBe(true);
  });

  it('is valid for one key pair only, and rejects any change', () => {
    expect(isSuccessor(retired, retired.id, sealed)).toBe(false);
    expect(isSuccessor(key, key.id, sealed)).toBe(false);
    expect(isSuccessor(VaultKey.generate(), key.id, sealed)).toBe(false);
    for (const at of [0, 30, sealed.length - 1]) {
      const changed = Buffer.from(sealed);
      changed[at]! ^= 1;
      expect(isSuccessor(retired, key.id, changed)).toBe(false);
    }
    for (const length of [0, 10, 71, sealed.length - 1]) {
      expect(isSuccessor(retired, key.id, sealed.subarray(0, length))).toBe(false);
    }
  });

  it('is not accepted if it was sealed with the new key', () => {
    const forged = { from: retired.id, to: key.id, sealed: sealSuccessor(key, key.id).toString('base64') };
    expect(certifies({ successors: [forged] }, retired, key.id)).toBe(false);
  });

  it('throws for an invalid key instead of returning false', () => {
    const short = { id: retired.id, frameKey: createSecretKey(Buffer.alloc(16)) } as unknown as VaultKey;
    expect(() => isSuccessor(short, key.id, sealed)).toThrow(RangeError);
  });

  it('leads through all available keys, and no further', async () => {
    const keys = Array.from({ length: 4 }, () => VaultKey.generate());
    let successors: VaultFile['successors'] = [];
    for (const [index, one] of keys.slice(0, -1).entries()) {
      successors = withSuccessor({ ...vector.record, successors }, one, keys[index + 1]!.id);
    }
    const [first, second, , last] = keys as [VaultKey, VaultKey, VaultKey, VaultKey];
    const find = async (keyId: string): Promise<VaultKey | undefined> => keys.find(({ id }) => id === keyId);
    expect(await leadsTo({ successors }, first.id, last.id, find)).toBe(true);
    expect(await leadsTo({ successors }, last.id, first.id, find)).toBe(false);
    const without = async (keyId: string): Promise<VaultKey | undefined> =>
      keyId === second.id ? undefined : find(keyId);
    expect(await leadsTo({ successors }, first.id, last.id, without)).toBe(false);
    expect(await leadsTo({ successors: undefined }, first.id, last.id, find)).toBe(false);
  });

  it('is kept for the newest 64 rotations', () => {
    let file: VaultFile = { ...vector.record, successors: [] };
    for (let count = 0; count < 70; count++) {
      file = { ...file, successors: withSuccessor(file, retired, VaultKey.generate().id) };
    }
    expect(file.successors).toHaveLength(64);
  });
});
