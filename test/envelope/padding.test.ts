import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { paddedLength, padme } from '../../src/envelope/padding.ts';

const lengths = fc.integer({ min: 0, max: 2 ** 32 - 1 });

describe('padme', () => {
  it.each([
    [0, 0],
    [1, 1],
    [2, 2],
    [8, 8],
    [9, 10],
    [17, 18],
    [100, 104],
    [129, 144],
    [1000, 1024],
    [4097, 4352],
    [15_872, 15_872],
    [15_873, 16_384],
    [1_000_000, 1_015_808],
    [2 ** 32 - 1, 2 ** 32],
  ])('rounds %i up to %i', (length, padded) => {
    expect(padme(length)).toBe(padded);
  });

  it('agrees with the bit mask of the paper', () => {
    const byMask = (length: bigint): bigint => {
      const exponent = BigInt(length.toString(2).length - 1);
      const kept = BigInt(exponent.toString(2).length);
      const mask = (1n << (exponent - kept)) - 1n;
      return (length + mask) & ~mask;
    };
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 2 ** 32 - 1 }), (length) => {
        expect(BigInt(padme(length))).toBe(byMask(BigInt(length)));
      }),
    );
  });

  it('adds less than 12 percent, and less than 6.3 from 256 bytes on', () => {
    fc.assert(
      fc.property(lengths, (length) => {
        expect(padme(length)).toBeGreaterThanOrEqual(length);
        expect(padme(length) - length).toBeLessThanOrEqual(length * (length < 256 ? 0.12 : 0.063));
      }),
    );
  });

  it('keeps a padded length as it is', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 }), (length) => {
        expect(padme(padme(length))).toBe(padme(length));
      }),
    );
  });

  it.each([-1, 0.5, Number.NaN, 2 ** 32])('refuses %d as a length', (length) => {
    expect(() => padme(length)).toThrow(RangeError);
  });
});

describe('paddedLength', () => {
  it.each([
    [0, 1024, 1024],
    [1024, 1024, 1024],
    [1025, 1024, 1088],
    [4096, 4096, 4096],
    [4097, 4096, 4352],
  ])('pads %i bytes above a floor of %i to %i', (length, floor, padded) => {
    expect(paddedLength(length, floor)).toBe(padded);
  });
});
