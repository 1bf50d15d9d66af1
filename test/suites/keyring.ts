import { randomBytes } from 'node:crypto';
import { describe, expect, it, type TestContext } from 'vitest';
import type { Keyring } from '../../src/keyring/keyring.ts';

/** A keyring under test. Disposing it cleans up. */
export interface Subject extends AsyncDisposable {
  readonly keyring: Keyring;
}

/** Creates an empty keyring. May skip the test. */
export type SetUp = (context: TestContext) => Promise<Subject>;

/**
 * Ids of the keys that the suites set. A keychain that outlives a test must delete them before and
 * after.
 */
export const KEY_IDS: readonly string[] = ['00112233445566778899aabbccddeeff', 'ffeeddccbbaa99887766554433221100'];

const [KEY_ID, OTHER_ID] = KEY_IDS as [string, string];

/** Tests the contract of a writable keyring. */
export function keyringSuite(name: string, setUp: SetUp): void {
  describe(`${name} as a keyring`, () => {
    it('reports that it is ready, and its provider', async (context) => {
      await using subject = await setUp(context);
      const answer = await subject.keyring.probe();
      expect(answer.outcome).toBe('READY');
      expect(answer.detail).toMatch(/^\S.*[^.\s]$/);
      expect(await subject.keyring.provider()).toMatch(/^\S.{1,60}$/);
    });

    it('returns the key that was set', async (context) => {
      await using subject = await setUp(context);
      const secret = randomBytes(32);
      expect((await subject.keyring.set(KEY_ID, secret)).outcome).toBe('READY');
      expect(await subject.keyring.get(KEY_ID)).toEqual({ outcome: 'READY', secret });
    });

    it('preserves every byte value', async (context) => {
      await using subject = await setUp(context);
      for (let first = 0; first < 256; first += 32) {
        const secret = Buffer.from(Array.from({ length: 32 }, (_, index) => first + index));
        await subject.keyring.set(KEY_ID, secret);
        expect(await subject.keyring.get(KEY_ID)).toEqual({ outcome: 'READY', secret });
      }
    });

    it('returns a copy of the secret that the caller owns', async (context) => {
      await using subject = await setUp(context);
      const secret = randomBytes(32);
      const kept = Buffer.from(secret);
      await subject.keyring.set(KEY_ID, secret);
      secret.fill(0);
      const first = await subject.keyring.get(KEY_ID);
      if (first.outcome === 'READY') first.secret.fill(0);
      expect(await subject.keyring.get(KEY_ID)).toEqual({ outcome: 'READY', secret: kept });
    });

    it('returns NOT_FOUND for an unknown key', async (context) => {
      await using subject = await setUp(context);
      expect((await subject.keyring.get(KEY_ID)).outcome).toBe('NOT_FOUND');
      expect((await subject.keyring.delete(KEY_ID)).outcome).toBe('NOT_FOUND');
    });

    it('keeps keys apart by their id', async (context) => {
      await using subject = await setUp(context);
      const [one, other] = [randomBytes(32), randomBytes(32)];
      await subject.keyring.set(KEY_ID, one);
      await subject.keyring.set(OTHER_ID, other);
      expect(await subject.keyring.get(KEY_ID)).toEqual({ outcome: 'READY', secret: one });
      expect((await subject.keyring.delete(KEY_ID)).outcome).toBe('READY');
      expect((await subject.keyring.get(KEY_ID)).outcome).toBe('NOT_FOUND');
      expect(await subject.keyring.get(OTHER_ID)).toEqual({ outcome: 'READY', secret: other });
    });

    it('replaces an existing key', async (context) => {
      await using subject = await setUp(context);
      const secret = randomBytes(32);
      await subject.keyring.set(KEY_ID, randomBytes(32));
      await subject.keyring.set(KEY_ID, secret);
      expect(await subject.keyring.get(KEY_ID)).toEqual({ outcome: 'READY', secret });
      expect((await subject.keyring.delete(KEY_ID)).outcome).toBe('READY');
      expect((await subject.keyring.get(KEY_ID)).outcome).toBe('NOT_FOUND');
    });

    it('serves concurrent callers', async (context) => {
      await using subject = await setUp(context);
      const secret = randomBytes(32);
      await subject.keyring.set(KEY_ID, secret);
      const found = await Promise.all([1, 2, 3].map(() => subject.keyring.get(KEY_ID)));
      expect(found).toEqual([1, 2, 3].map(() => ({ outcome: 'READY', secret })));
    });

    it('rejects a key that is not 32 bytes long', async (context) => {
      await using subject = await setUp(context);
      await expect(subject.keyring.set(KEY_ID, randomBytes(31))).rejects.toThrow(RangeError);
      expect((await subject.keyring.get(KEY_ID)).outcome).toBe('NOT_FOUND');
    });

    it('rejects an invalid key id', async (context) => {
      await using subject = await setUp(context);
      await expect(subject.keyring.get('../x')).rejects.toThrow(RangeError);
      await expect(subject.keyring.set('"\n', randomBytes(32))).rejects.toThrow(RangeError);
      await expect(subject.keyring.delete('')).rejects.toThrow(RangeError);
    });
  });
}

/** Tests the contract of a read-only keyring that holds one key. */
export function readOnlyKeyringSuite(name: string, secret: Buffer, setUp: SetUp): void {
  describe(`${name} as a keyring`, () => {
    it('reports that it is ready, and its provider', async (context) => {
      await using subject = await setUp(context);
      expect((await subject.keyring.probe()).outcome).toBe('READY');
      expect(await subject.keyring.provider()).toMatch(/^\S.{1,60}$/);
    });

    it('returns the key any number of times, each time as a copy that the caller owns', async (context) => {
      await using subject = await setUp(context);
      const first = await subject.keyring.get(KEY_ID);
      expect(first).toEqual({ outcome: 'READY', secret });
      if (first.outcome === 'READY') first.secret.fill(0);
      expect(await subject.keyring.get(KEY_ID)).toEqual({ outcome: 'READY', secret });
    });

    it('declines to set and delete keys', async (context) => {
      await using subject = await setUp(context);
      expect((await subject.keyring.set(KEY_ID, randomBytes(32))).outcome).toBe('DECLINED');
      expect((await subject.keyring.delete(KEY_ID)).outcome).toBe('DECLINED');
      expect(await subject.keyring.get(KEY_ID)).toEqual({ outcome: 'READY', secret });
    });
  });
}
