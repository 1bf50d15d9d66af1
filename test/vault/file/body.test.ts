import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Segment } from '../../../src/envelope/format.ts';
import { unpackSegment } from '../../../src/envelope/segment.ts';
import { Body, pack, packStep } from '../../../src/vault/file/body.ts';

const MEBIBYTE = 1024 * 1024;

function lines(text: string): Buffer {
  return Buffer.from(`${text}\n`);
}

/** Returns lines that hardly shrink, of `bytes` in total. */
function noise(bytes: number): Buffer[] {
  return Array.from({ length: Math.ceil(bytes / 10_001) }, () => lines(randomBytes(5000).toString('hex')));
}

function textOf(segments: readonly Segment[]): string {
  return Buffer.concat(segments.map(unpackSegment)).toString();
}

describe('the lines of a step', () => {
  it('stay uncompressed if they are short, and are compressed if they are longer', async () => {
    const text = (length: number): Buffer[] => [lines('x'.repeat(length)), lines('y'.repeat(length))];
    for (const [length, codec] of [
      [10, 0],
      [2000, 0],
      [3000, 1],
      [200_000, 1],
      [800_000, 1],
    ] as const) {
      const segments = await packStep(text(length));
      expect(segments.map((segment) => segment.codec)).toEqual(length > 500_000 ? [1, 1] : [codec]);
      expect(textOf(segments)).toBe(text(length).join(''));
    }
  });

  it('may be empty', async () => {
    expect(await packStep([])).toEqual([]);
  });
});

describe('a body', () => {
  it('returns what was added, in order, however it was cut', async () => {
    const texts = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', '"'), maxLength: 400 }), { maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(texts, async (added) => {
        const body = new Body();
        for (const text of added) body.addLines(lines(text));
        const expected = added.map((text) => `${text}\n`).join('');
        expect(textOf(body.toSegments())).toBe(expected);
        expect(textOf(await body.toSegmentsAside([lines('draft')]))).toBe(`${expected}draft\n`);
        expect(textOf(body.toSegments())).toBe(expected);
      }),
      { numRuns: 50 },
    );
  });

  it('cuts segments of at most a mebibyte, unless one line alone is longer', () => {
    const long = lines('x'.repeat(MEBIBYTE + 10));
    const segments = pack([...noise(1_500_000), long, lines('short')]);
    expect(segments.map(({ plainLength }) => plainLength <= MEBIBYTE)).toEqual([true, true, false, true]);
  });

  it('compresses a full segment once', async () => {
    const body = new Body();
    for (const line of noise(3_500_000)) body.addLines(line);
    expect(body.settled).toBe(false);
    const first = await body.toSegmentsAside();
    expect(body.settled).toBe(true);
    expect(body.tailLength).toBeLessThan(MEBIBYTE);
    body.addLines(lines('more'));
    const second = await body.toSegmentsAside();
    expect(second).toHaveLength(first.length);
    expect(second.slice(0, 3).every(({ stored }, at) => stored === first[at]?.stored)).toBe(true);
    expect(textOf(second)).toBe(`${textOf(first)}more\n`);
  });

  it('keeps lines added during packing for the next time', async () => {
    const body = new Body();
    for (const line of noise(2_500_000)) body.addLines(line);
    const before = textOf(body.toSegments());
    const packing = body.toSegmentsAside();
    body.addLines(lines('meanwhile'));
    expect(textOf(await packing)).toBe(before);
    expect(textOf(body.toSegments())).toBe(`${before}meanwhile\n`);
    expect(textOf(await body.toSegmentsAside())).toBe(`${before}meanwhile\n`);
  });

  it('keeps only its own lines in memory, not Node’s pool', () => {
    const pooled = Buffer.from(randomBytes(500));
    expect(pooled.buffer.byteLength).toBeGreaterThan(2000);
    const body = new Body();
    body.addLines(pooled);
    const [segment] = body.toSegments();
    expect(segment).toMatchObject({ codec: 0, stored: pooled });
    expect(segment?.stored.buffer.byteLength).toBe(500);
  });

  it('has independent copies', async () => {
    const body = new Body();
    for (const line of noise(2_500_000)) body.addLines(line);
    const copy = body.copy();
    body.addLines(lines('ours'));
    copy.addLines(lines('theirs'));
    await body.toSegmentsAside();
    expect(textOf(copy.toSegments())).toMatch(/\ntheirs\n$/);
    expect(textOf(body.toSegments())).toMatch(/\nours\n$/);
    expect(textOf(body.toSegments())).not.toContain('theirs');
  });
});
