import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CHUNK,
  type Content,
  decodeContent,
  decodeFrameHead,
  decodeHeader,
  encodeContent,
  encodeHeader,
  FRAME_HEAD_LENGTH,
  HEADER_LENGTH,
  type Header,
  MAX_MESSAGE,
  MAX_PLAIN,
  MAX_SUMMARY,
  messageLengthOf,
  plainLengthOf,
  unpackSummary,
} from '../../src/envelope/format.ts';
import { buffersOf, expectRefusal } from './support.ts';

const id = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes).toString('hex'));
const headers: fc.Arbitrary<Header> = fc.record({
  kind: fc.constantFrom('session', 'index', 'seen'),
  keyId: id,
  fileId: id,
  generation: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
});
const header: Header = { kind: 'session', keyId: 'ab'.repeat(16), fileId: 'cd'.repeat(16), generation: 258n };

describe('header', () => {
  it('survives a round trip', () => {
    fc.assert(
      fc.property(headers, (any) => {
        expect(decodeHeader(encodeHeader(any))).toEqual(any);
      }),
    );
  });

  it('has the byte layout of the specification', () => {
    expect(encodeHeader({ ...header, kind: 'seen' }).toString('hex')).toBe(
      `89434f460d0a1a0a01030000${'ab'.repeat(16)}${'cd'.repeat(16)}0000000000000102`,
    );
    expect(encodeHeader(header)).toHaveLength(HEADER_LENGTH);
  });

  it('is read from the start of a longer file', () => {
    expect(decodeHeader(new Uint8Array([...encodeHeader(header), 1, 2, 3]))).toEqual(header);
  });

  it.each([
    ['version', 8, 'NEWER_VERSION'],
    ['flags', 10, 'NEWER_VERSION'],
    ['flags', 11, 'NEWER_VERSION'],
    ['kind', 9, 'UNAUTHENTIC'],
    ...Array.from({ length: 8 }, (_, offset) => ['magic', offset, 'UNAUTHENTIC'] as const),
  ] as const)('refuses another %s (offset %i) as %s', (_, offset, code) => {
    for (let value = 0; value < 256; value++) {
      const bytes = encodeHeader(header);
      if (bytes[offset] === value || (offset === 9 && [1, 2, 3].includes(value))) continue;
      bytes[offset] = value;
      expectRefusal(() => decodeHeader(bytes), code);
    }
  });

  it('refuses a header that is cut off anywhere', () => {
    const bytes = encodeHeader(header);
    for (let length = 0; length < HEADER_LENGTH; length++) expectRefusal(() => decodeHeader(bytes.subarray(0, length)));
  });

  it('recognises a newer version even if its header is shorter', () => {
    const bytes = encodeHeader(header).subarray(0, 20);
    bytes[8] = 2;
    expectRefusal(() => decodeHeader(bytes), 'NEWER_VERSION');
  });

  it.each([
    ['a key id', { keyId: 'ab' }],
    ['a file id', { fileId: 'CD'.repeat(16) }],
    ['a generation below 0', { generation: -1n }],
    ['a generation above 2^64 - 1', { generation: 2n ** 64n }],
  ])('is not written with %s that is malformed', (_, wrong) => {
    expect(() => encodeHeader({ ...header, ...wrong })).toThrow(RangeError);
  });
});

describe('frame head', () => {
  const headOf = (length: number): Buffer => {
    const bytes = Buffer.alloc(FRAME_HEAD_LENGTH, 5);
    bytes.writeUInt32BE(length);
    return bytes;
  };

  it('returns length, salt and commitment', () => {
    const bytes = Buffer.concat([headOf(72), Buffer.alloc(9)]);
    bytes.fill(6, 28, 60);
    expect(decodeFrameHead(bytes)).toEqual({ length: 72, salt: Buffer.alloc(24, 5), commitment: Buffer.alloc(32, 6) });
  });

  it('is read at an offset of a larger buffer', () => {
    const bytes = Buffer.concat([Buffer.alloc(10, 0xff), headOf(5000)]).subarray(10);
    expect(decodeFrameHead(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)).length).toBe(5000);
  });

  it.each([72, 56 + 16399, 56 + 16400 + 16, 56 + 2 * 16400 - 1])('accepts %i as the length of a message', (length) => {
    expect(decodeFrameHead(headOf(length)).length).toBe(length);
  });

  it.each([0, 1, 55, 56, 71, 56 + 16400, 56 + 16400 + 15, 56 + 2 * 16400, MAX_MESSAGE + 1, 2 ** 31, 2 ** 32 - 1])(
    'refuses %i as the length of a message, and allocates nothing for it',
    (length) => {
      const grown = buffersOf(() => expectRefusal(() => decodeFrameHead(headOf(length))));
      expect(grown).toBeLessThan(64 * 1024);
    },
  );

  it('refuses a head that is cut off anywhere', () => {
    for (let length = 0; length < FRAME_HEAD_LENGTH; length++) {
      expectRefusal(() => decodeFrameHead(headOf(72).subarray(0, length)));
    }
  });

  it('has a length that determines the plaintext length', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 100 * CHUNK }), (length) => {
        expect(plainLengthOf(messageLengthOf(length))).toBe(length);
      }),
    );
    expect(messageLengthOf(0)).toBe(56 + 16);
    expect(messageLengthOf(CHUNK - 1)).toBe(56 + CHUNK - 1 + 16);
    expect(messageLengthOf(CHUNK)).toBe(56 + CHUNK + 32);
  });
});

describe('content', () => {
  const segments = fc.record({
    codec: fc.constantFrom(0 as const, 1 as const),
    plainLength: fc.nat(MAX_PLAIN),
    stored: fc.uint8Array({ maxLength: 700 }).map((bytes) => Buffer.from(bytes)),
  });
  const contents: fc.Arbitrary<Content> = fc.record({
    summary: fc.uint8Array({ maxLength: 900 }).map((bytes) => Buffer.from(bytes)),
    segments: fc.array(segments, { maxLength: 8 }),
  });
  const floors = fc.constantFrom(1024, 4096);
  const small: Content = {
    summary: Buffer.from('{}'),
    segments: [{ codec: 0, plainLength: 3, stored: Buffer.from('abc') }],
  };
  const used = 4 + 2 + 8 + 9 + 3;
  const plainOf = (content: Content): Buffer => Buffer.concat(encodeContent(content, 1024));

  it('survives a round trip', () => {
    fc.assert(
      fc.property(contents, floors, (content, floor) => {
        expect(decodeContent(Buffer.concat(encodeContent(content, floor)), floor)).toEqual(content);
      }),
    );
  });

  it('has the byte layout of the specification', () => {
    const packed: Content = { ...small, segments: [...small.segments, { ...small.segments[0]!, codec: 1 }] };
    const bytes = plainOf(packed);
    const body = '00 00000003 00000003 616263 01 00000003 00000003 616263';
    expect(bytes.toString('hex')).toBe(`00000002 7b7d 0000000000000018 ${body}`.replaceAll(' ', '').padEnd(2048, '0'));
  });

  it('does not copy a segment unless the plaintext is one chunk', () => {
    const { stored } = small.segments[0]!;
    expect(encodeContent(small, 4096)).toHaveLength(1);
    expect(encodeContent(small, 16_383)).toHaveLength(1);
    expect(encodeContent(small, 16_384)).toContain(stored);
    expect(Buffer.concat(encodeContent(small, 16_383))).toEqual(
      Buffer.concat(encodeContent(small, 16_384)).subarray(0, 16_383),
    );
  });

  it('refuses every other amount of padding', () => {
    const bytes = plainOf(small);
    for (let length = 0; length < bytes.length; length++) {
      expectRefusal(() => decodeContent(bytes.subarray(0, length), 1024));
    }
    for (const more of [1, 64, 1024, 3072]) {
      expectRefusal(() => decodeContent(Buffer.concat([bytes, Buffer.alloc(more)]), 1024));
    }
    expectRefusal(() => decodeContent(bytes, 4096));
  });

  it('refuses a padding with any bit set', () => {
    const bytes = plainOf(small);
    for (let offset = used; offset < bytes.length; offset++) {
      bytes[offset] = 1 << (offset % 8);
      expectRefusal(() => decodeContent(bytes, 1024));
      bytes[offset] = 0;
    }
    expect(decodeContent(bytes, 1024)).toEqual(small);
  });

  it('refuses a summary, a body or a segment that claims to be longer than the frame', () => {
    for (const [offset, length] of [
      [0, 4],
      [6, 8],
      [15, 4],
    ] as const) {
      for (let byte = 0; byte < length - 1; byte++) {
        const bytes = plainOf(small);
        bytes[offset + byte] = 0xff;
        const grown = buffersOf(() => expectRefusal(() => decodeContent(bytes, 1024)));
        expect(grown).toBeLessThan(64 * 1024);
      }
    }
  });

  it('refuses a plain length above the limit, and an unknown codec', () => {
    const bytes = plainOf(small);
    bytes.writeUInt32BE(MAX_PLAIN + 1, 19);
    expectRefusal(() => decodeContent(bytes, 1024));
    bytes.writeUInt32BE(MAX_PLAIN, 19);
    expect(decodeContent(bytes, 1024).segments[0]?.plainLength).toBe(MAX_PLAIN);
    bytes[14] = 2;
    expectRefusal(() => decodeContent(bytes, 1024));
  });

  it('refuses a body that ends inside the head of a segment', () => {
    for (let more = 1; more < 9; more++) {
      const stored = Buffer.alloc(3 + more, 0);
      const bytes = plainOf({ ...small, segments: [{ codec: 0, plainLength: 3, stored }] });
      bytes.writeUInt32BE(3, 15);
      expectRefusal(() => decodeContent(bytes, 1024));
    }
  });

  it('accepts a summary of at most 12 KiB', () => {
    const longest = { summary: Buffer.alloc(MAX_SUMMARY, ' '), segments: [] };
    expect(decodeContent(plainOf(longest), 1024)).toEqual(longest);
    const longer = { summary: Buffer.alloc(MAX_SUMMARY + 1, ' '), segments: [] };
    expect(() => encodeContent(longer, 1024)).toThrow(RangeError);
    const bytes = Buffer.alloc(CHUNK);
    bytes.writeUInt32BE(MAX_SUMMARY + 1);
    expectRefusal(() => unpackSummary(bytes));
  });

  it('refuses a summary that extends past the end of the plaintext', () => {
    const bytes = Buffer.alloc(1024);
    bytes.writeUInt32BE(1020);
    expect(unpackSummary(bytes)).toHaveLength(1020);
    bytes.writeUInt32BE(1021);
    expectRefusal(() => unpackSummary(bytes));
    for (let length = 0; length < 4; length++) expectRefusal(() => unpackSummary(Buffer.alloc(length)));
  });

  it('refuses to seal more than a file can hold', () => {
    const stored = Buffer.alloc(64 * 1024 * 1024);
    const many = Array.from({ length: 17 }, () => ({ codec: 0 as const, plainLength: stored.length, stored }));
    expectRefusal(() => encodeContent({ ...small, segments: many }, 4096), 'NOT_SAVED');
    const wide = { codec: 1 as const, plainLength: MAX_PLAIN + 1, stored: Buffer.alloc(1) };
    expectRefusal(() => encodeContent({ ...small, segments: [wide] }, 4096), 'NOT_SAVED');
  });

  it('opens or refuses, whatever the bytes', () => {
    const lengths = fc.tuple(fc.nat(40), fc.nat(60), fc.nat(30));
    fc.assert(
      fc.property(lengths, fc.uint8Array({ maxLength: 100 }), ([summary, body, stored], more) => {
        const bytes = Buffer.alloc(1024);
        bytes.set(more, 4);
        bytes.writeUInt32BE(summary, 0);
        bytes.writeBigUInt64BE(BigInt(body), 4 + summary);
        bytes.writeUInt32BE(stored, 4 + summary + 9);
        try {
          const content = decodeContent(bytes, 1024);
          expect(Buffer.concat(encodeContent(content, 1024))).toEqual(bytes);
        } catch (error) {
          expectRefusal(() => {
            throw error;
          });
        }
      }),
      { numRuns: 2000 },
    );
  });
});
