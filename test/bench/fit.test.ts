import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { growths, powerLaw } from '../../bench/fit.ts';
import { curve } from './made-up.ts';

const sizes = [1e4, 1e5, 1e6, 1e7, 1e8];
const between = (min: number, max: number): fc.Arbitrary<number> => fc.double({ min, max, noNaN: true });

describe('powerLaw', () => {
  it('finds the power and the factor that points were made with', () => {
    fc.assert(
      fc.property(between(-2, 3), between(1e-3, 1e3), (k, c) => {
        const found = powerLaw(sizes.map((x) => [x, c * x ** k]));
        expect(found.k).toBeCloseTo(k, 9);
        expect(found.c / c).toBeCloseTo(1, 6);
        expect(found.spread).toBeCloseTo(0, 6);
      }),
    );
  });

  it('comes close to the power if points are off by up to 20 %', () => {
    const off = fc.array(between(0.8, 1.25), { minLength: sizes.length, maxLength: sizes.length });
    fc.assert(
      fc.property(between(-1, 2), off, (k, factors) => {
        const found = powerLaw(sizes.map((x, at) => [x, x ** k * (factors[at] ?? 1)]));
        expect(Math.abs(found.k - k)).toBeLessThan(0.06);
        expect(found.spread).toBeLessThan(0.06);
      }),
    );
  });

  it('has no spread for two points', () => {
    expect(
      powerLaw([
        [1, 1],
        [10, 100],
      ]),
    ).toMatchObject({ k: 2, spread: 0 });
  });

  it.each([
    ['one point', [[1, 1]]],
    ['no points', []],
    [
      'points above one another',
      [
        [1, 1],
        [1, 2],
      ],
    ],
    [
      'a point at 0',
      [
        [1, 0],
        [2, 1],
      ],
    ],
    [
      'a point that is not a number',
      [
        [1, 1],
        [2, Number.NaN],
      ],
    ],
  ] as const)('refuses %s', (_, points) => {
    expect(() => powerLaw(points)).toThrow(RangeError);
  });
});

describe('growths', () => {
  it('fits each series that can be fitted', () => {
    const { series } = curve(1);
    const all = growths({ ...curve(1), series: [...series, { name: 'one point', points: [[1, 1]] }] });
    expect(all.map((each) => each.series)).toEqual(['coffer', 'a peer & <its> way']);
  });

  it('sees a rise at the end that a long flat beginning would hide', () => {
    const late = [1, 10, 100, 1e3, 1e4, 1e5, 1e6].map((x): [number, number] => [x, 100 + x ** 1.3 / 1e4]);
    const [found] = growths({ ...curve(1), series: [{ name: 'late', points: late }] });
    expect(found?.k).toBeLessThan(0.6);
    expect(found?.worst).toBeGreaterThan(0.7);
    const flat = [1, 10, 100, 1e3].map((x): [number, number] => [x, 1]);
    expect(growths({ ...curve(1), series: [{ name: 'flat', points: flat }] })[0]?.worst).toBeCloseTo(0, 9);
  });
});
