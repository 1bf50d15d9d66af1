import { randomBytes } from 'node:crypto';
import { describe, expect, it, type TestContext } from 'vitest';
import type { Keyring } from '../../src/keyring/keyring.ts';

/** A keyring under test, and what must be put away after it. */
export interface Subject extends AsyncDisposable {
  readonly keyring: Keyring;
}

/** Makes a fresh keyring that keeps nothing yet; may skip the test. */
export type SetUp = (context: TestContext) => Promise<Subject>;

/** The keys that the suites set: a keychain that outlives a test must lose them before and after. */
export const KEY_IDS: readonly string[] = ['00112233445566778899aabbccddeeff', 'ffeeddccbbaa99887766554433221100'];

const [KEY_ID, OTHER_ID] = KEY_IDS as [string, string];

/** What every keyring that takes a key must do, wherever it keeps it. */
export function keyringSuite(name: string, setUp: SetUp): void {
  describe(`${name} as a keyring`, () => {
    it('answers that it is ready, and who it is', async (context) => {
      await using subject = await setUp(context);
      const answer = await subject.keyring.probe();
      expect(answer.outcome).toBe('READY');
      expect(answer.detail).toMatch(/^\S.*[^.\s]$/);
      expect(await subject.keyring.provider()).toMatch(/^\S.{1,60}$/);
    });

    it('gives back what was set', async (context) => {
      await using subject = await setUp(context);
      const secret = randomBytes(32);
      expect((await subject.keyring.set(KEY_ID, secret)).outcome).toBe('READY');
      expect(await subject.keyring.get(KEY_ID)).toEqual({ outcome: 'READY', secret });
    });

    it('keeps every byte as it is', async (context) => {
      await using subject = await setUp(context);
      for (let first = 0; first < 256; first += 32) {
        const secret = Buffer.from(Array.from({ length: 32 }, (_, index) => first + index));
        await subject.keyring.set(KEY_ID, secret);
        expect(await subject.keyring.get(KEY_ID)).toEqual({ outcome: 'READY', secret });
      }
    });

    it('gives a secret that is the caller’s own', async (context) => {
      await using subject = await setUp(context);
      const secret = randomBytes(32);
      const kept = Buffer.from(secret);
      await subject.keyring.set(KEY_ID, secret);
      secret.fill(0);
      const first = await subject.keyring.get(KEY_ID);
      if (first.outcome === 'READY') first.secret.fill(0);
      expect(await subject.keyring.get(KEY_ID)).toEqual({ outcome: 'READY', secret: kept });
    });

    it('answers NOT_FOUND for a key that it does not have', async (context) => {
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

    it('puts a new key in the place of the old one', async (context) => {
      await using subject = await setUp(context);
      const secret = randomBytes(32);
      await subject.keyring.set(KEY_ID, randomBytes(32));
      await subject.keyring.set(KEY_ID, secret);
      expect(await subject.keyring.get(KEY_ID)).toEqual({ outcome: 'READY', secret });
      expect((await subject.keyring.delete(KEY_ID)).outcome).toBe('READY');
      expect((await subject.keyring.get(KEY_ID)).outcome).toBe('NOT_FOUND');
    });

    it('serves several callers at once', async (context) => {
      await using subject = await setUp(context);
      const secret = randomBytes(32);
      await subject.keyring.set(KEY_ID, secret);
      const found = await Promise.all([1, 2, 3].map(() => subject.keyring.get(KEY_ID)));
      expect(found).toEqual([1, 2, 3].map(() => ({ outcome: 'READY', secret })));
    });

    it('rejects what is not a key of 32 bytes', async (context) => {
      await using subject = await setUp(context);
      await expect(subject.keyring.set(KEY_ID, randomBytes(31))).rejects.toThrow(RangeError);
      expect((await subject.keyring.get(KEY_ID)).outcome).toBe('NOT_FOUND');
    });

    it('rejects a key id that is none', async (context) => {
      await using subject = await setUp(context);
      await expect(subject.keyring.get('../x')).rejects.toThrow(RangeError);
      await expect(subject.keyring.set('"\n', randomBytes(32))).rejects.toThrow(RangeError);
      await expect(subject.keyring.delete('')).rejects.toThrow(RangeError);
    });
  });
}

/** What a keyring must do that gives one key and takes none. */
export function readOnlyKeyringSuite(name: string, secret: Buffer, setUp: SetUp): void {
  describe(`${name} as a keyring`, () => {
    it('answers that it is ready, and who it is', async (context) => {
      await using subject = await setUp(context);
      expect((await subject.keyring.probe()).outcome).toBe('READY');
      expect(await subject.keyring.provider()).toMatch(/^\S.{1,60}$/);
    });

    it('gives the key, again and again, as the caller’s own', async (context) => {
      await using subject = await setUp(context);
      const first = await subject.keyring.get(KEY_ID);
      expect(first).toEqual({ outcome: 'READY', secret });
      if (first.outcome === 'READY') first.secret.fill(0);
      expect(await subject.keyring.get(KEY_ID)).toEqual({ outcome: 'READY', secret });
    });

    it('never claims a write that it did not make', async (context) => {
      await using subject = await setUp(context);
      expect((await subject.keyring.set(KEY_ID, randomBytes(32))).outcome).toBe('DECLINED');
      expect((await subject.keyring.delete(KEY_ID)).outcome).toBe('DECLINED');
      expect(await subject.keyring.get(KEY_ID)).toEqual({ outcome: 'READY', secret });
    });
  });
}
