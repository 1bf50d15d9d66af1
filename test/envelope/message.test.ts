import { createSecretKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CHUNK, TAG } from '../../src/envelope/format.ts';
import { openChunk, openMessage, sealChunk, sealMessage } from '../../src/envelope/seal.ts';
import { expectRefusal, inputKeyOf, VECTORS } from './support.ts';

const key = inputKeyOf('message');
const context = Buffer.from('context');
const sizes = fc.oneof(fc.nat(50), fc.integer({ min: CHUNK - 2, max: CHUNK + 2 }), fc.nat(3 * CHUNK));

/** Bytes that differ from chunk to chunk. */
function textOf(length: number): Buffer {
  return Buffer.from(Uint8Array.from({ length }, (_, n) => n % 251));
}

describe('sealMessage', () => {
  it('survives a round trip at every length around a chunk', () => {
    fc.assert(
      fc.property(sizes, fc.uint8Array({ maxLength: 40 }), (length, any) => {
        const message = sealMessage(key, any, [textOf(length)]);
        expect(openMessage(key, any, message).equals(textOf(length))).toBe(true);
      }),
    );
  });

  it('ends in a chunk that is not full, an empty one if necessary', () => {
    for (const [length, chunks] of [
      [0, 1],
      [1, 1],
      [CHUNK - 1, 1],
      [CHUNK, 2],
      [CHUNK + 1, 2],
      [2 * CHUNK, 3],
    ] as const) {
      expect(sealMessage(key, context, [textOf(length)])).toHaveLength(56 + length + chunks * TAG);
    }
  });

  it('does not depend on how the plaintext is split into pieces', () => {
    const salt = Buffer.alloc(24, 9);
    const whole = textOf(2 * CHUNK + 100);
    const expected = sealMessage(key, context, [whole], salt);
    fc.assert(
      fc.property(fc.array(fc.nat(whole.length), { maxLength: 8 }), (cuts) => {
        const ends = [...cuts.sort((a, b) => a - b), whole.length];
        const pieces = ends.map((end, n) => whole.subarray(ends[n - 1] ?? 0, end));
        expect(sealMessage(key, context, pieces, salt).equals(expected)).toBe(true);
      }),
    );
  });

  it('uses a fresh salt every time', () => {
    const salts = Array.from({ length: 500 }, () => sealMessage(key, context, []).toString('hex', 0, 24));
    expect(new Set(salts).size).toBe(500);
  });

  it('seals equal chunks to different bytes', () => {
    const message = sealMessage(key, context, [Buffer.alloc(3 * CHUNK)]);
    const chunks = [0, 1, 2].map((n) => message.subarray(56 + n * (CHUNK + TAG)).toString('hex', 0, CHUNK));
    expect(new Set(chunks).size).toBe(3);
  });

  it('refuses a salt or a key of another length, and more than a file can hold', () => {
    expect(() => sealMessage(key, context, [], Buffer.alloc(23))).toThrow(RangeError);
    for (const length of [16, 24, 31, 33]) {
      expect(() => sealMessage(createSecretKey(Buffer.alloc(length)), context, [])).toThrow(RangeError);
    }
    const many = new Array<Uint8Array>(17).fill(new Uint8Array(64 * 1024 * 1024));
    expectRefusal(() => sealMessage(key, context, many), 'NOT_SAVED');
  });
});

describe('openMessage', () => {
  const message = sealMessage(key, context, [textOf(2 * CHUNK + 5)]);

  it('opens what another implementation of Cobblestone-256 sealed', () => {
    interface Cobblestone {
      key: string;
      context: string;
      length: number;
      message: string;
    }
    const vectors: Cobblestone[] = JSON.parse(readFileSync(join(VECTORS, 'cobblestone.json'), 'utf8'));
    for (const vector of vectors) {
      const inputKey = createSecretKey(Buffer.from(vector.key, 'hex'));
      const theirs = Buffer.from(vector.message, 'base64');
      const itsContext = Buffer.from(vector.context, 'hex');
      expect(openMessage(inputKey, itsContext, theirs).equals(textOf(vector.length))).toBe(true);
      const again = sealMessage(inputKey, itsContext, [textOf(vector.length)], theirs.subarray(0, 24));
      expect(again.equals(theirs)).toBe(true);
    }
    expect(vectors.map((vector) => vector.length)).toEqual([0, 1, 16383, 16384, 16385, 32768]);
  });

  it('refuses another key and another context', () => {
    expectRefusal(() => openMessage(inputKeyOf('another'), context, message));
    for (const other of ['', 'contex', 'context\0', 'Context']) {
      expectRefusal(() => openMessage(key, Buffer.from(other), message));
    }
    expect(openMessage(key, context, message)).toHaveLength(2 * CHUNK + 5);
  });

  it('refuses any bit flipped in a short message', () => {
    const short = sealMessage(key, context, [textOf(40)]);
    for (let bit = 0; bit < short.length * 8; bit++) {
      short[bit >> 3]! ^= 1 << (bit & 7);
      expectRefusal(() => openMessage(key, context, short));
      short[bit >> 3]! ^= 1 << (bit & 7);
    }
    expect(openMessage(key, context, short)).toEqual(textOf(40));
  });

  it('refuses a short message cut off anywhere, and one byte more', () => {
    const short = sealMessage(key, context, [textOf(40)]);
    for (let length = 0; length < short.length; length++) {
      expectRefusal(() => openMessage(key, context, short.subarray(0, length)));
    }
    expectRefusal(() => openMessage(key, context, Buffer.concat([short, Buffer.alloc(1)])));
  });

  it('refuses chunks dropped, swapped or doubled', () => {
    const sealed = CHUNK + TAG;
    const head = message.subarray(0, 56);
    const [first, second, last] = [0, 1, 2].map((n) => message.subarray(56 + n * sealed, 56 + (n + 1) * sealed));
    for (const chunks of [
      [first, second],
      [first, last],
      [second, last],
      [last],
      [second, first, last],
      [first, first, last],
      [first, second, second, last],
      [first, second, last, last],
    ]) {
      expectRefusal(() => openMessage(key, context, Buffer.concat([head, ...(chunks as Buffer[])])));
    }
    expect(openMessage(key, context, Buffer.concat([head, first!, second!, last!]))).toHaveLength(2 * CHUNK + 5);
  });
});

describe('openChunk', () => {
  const nonce = Buffer.alloc(12, 3);
  const target = Buffer.alloc(10 + 16);
  sealChunk(key, nonce, [textOf(4), textOf(6)], target);
  const [sealed, tag] = [target.subarray(0, 10), target.subarray(10)];

  it('returns what was sealed', () => {
    expect(openChunk(key, nonce, sealed, tag)).toEqual(Buffer.concat([textOf(4), textOf(6)]));
  });

  it.each([0, 4, 8, 12, 13, 14, 15])('refuses the genuine tag cut to %i bytes', (length) => {
    expectRefusal(() => openChunk(key, nonce, sealed, tag.subarray(0, length)));
  });
});
