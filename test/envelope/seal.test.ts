import { createHash, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { firstLink, nextLink } from '../../src/envelope/chain.ts';
import { type Content, decodeFrameHead, encodeHeader, HEADER_LENGTH } from '../../src/envelope/format.ts';
import { openFrame, openSummary, SUMMARY_REACH, sealFrame, sealFrameInSlices } from '../../src/envelope/seal.ts';
import { headBelongs } from '../../src/envelope/secrets.ts';
import { packSegment } from '../../src/envelope/segment.ts';
import { buffersOf, contentOf, expectRefusal, keyOf, openFile, SealedFile } from './support.ts';

const key = keyOf('seal');
const contents = ['first\n', 'second\n', 'third\n'].map(contentOf);
const file = new SealedFile(key, contents);
const [one, two, three] = file.frames as [Buffer, Buffer, Buffer];

/** Expects that a file with this header and these frames does not open. */
function expectRefused(header: Uint8Array, ...frames: Uint8Array[]): void {
  expectRefusal(() => openFile(key, Buffer.concat([header, ...frames])));
}

describe('seal', () => {
  it('opens a file of several frames unchanged', () => {
    const opened = openFile(key, Buffer.concat([file.header, one, two, three]));
    expect(opened.events).toEqual(['first\n', 'second\n', 'third\n']);
    expect(opened.contents).toEqual(contents);
  });

  it('opens whatever was sealed', () => {
    const any = fc.record({
      summary: fc.uint8Array({ maxLength: 12_288 }),
      lines: fc.uint8Array({ maxLength: 40_000 }),
    });
    fc.assert(
      fc.property(fc.array(any, { minLength: 1, maxLength: 3 }), (frames) => {
        const sealed: Content[] = frames.map(({ summary, lines }) => ({
          summary: Buffer.from(summary),
          segments: [packSegment(lines)],
        }));
        const made = new SealedFile(key, sealed);
        const opened = openFile(key, Buffer.concat([made.header, ...made.frames]));
        expect(opened.contents).toEqual(sealed);
      }),
      { numRuns: 50 },
    );
  });

  it('pads the first frame to 4096 and later ones to 1024 at least', () => {
    expect(one).toHaveLength(4 + 56 + 4096 + 16);
    expect(two).toHaveLength(4 + 56 + 1024 + 16);
  });

  it('returns the same position after the frame as opening it', () => {
    const { next } = openFrame(key, file.chains[0]!, one);
    expect(next).toEqual(file.chains[1]);
    const link = createHash('sha256').update(file.chains[0]!.link).update(one.subarray(0, 60)).digest();
    expect(next).toEqual({ link, index: 1 });
    expect(file.chains[0]!.link).toEqual(createHash('sha256').update(file.header).digest());
  });

  it('opens a frame in place with the same result', () => {
    const lines = randomBytes(100_000);
    const segments = [{ codec: 0 as const, plainLength: lines.length, stored: lines }];
    const { bytes } = sealFrame(key, file.chains[0]!, { summary: Buffer.from('{}'), segments });
    const apart = openFrame(key, file.chains[0]!, bytes);
    expect(apart.content.segments[0]!.stored.buffer).not.toBe(bytes.buffer);
    const over = openFrame(key, file.chains[0]!, Buffer.from(bytes), 'over');
    expect(over).toEqual(apart);
    const frame = Buffer.from(bytes);
    expect(openFrame(key, file.chains[0]!, frame, 'over').content.segments[0]!.stored.buffer).toBe(frame.buffer);
    const changed = Buffer.from(bytes);
    changed[changed.length - 20]! ^= 1;
    expectRefusal(() => openFrame(key, file.chains[0]!, changed, 'over'));
  });

  it('seals the same bytes in slices, and yields between them', () => {
    const lines = randomBytes(2_000_000);
    const content = {
      summary: Buffer.from('{}'),
      segments: [{ codec: 0 as const, plainLength: lines.length, stored: lines }],
    };
    const salt = Buffer.alloc(24, 7);
    const slices = sealFrameInSlices(key, file.chains[0]!, content, salt);
    let turns = 0;
    let step = slices.next();
    for (; !step.done; step = slices.next()) turns++;
    expect(step.value).toEqual(sealFrame(key, file.chains[0]!, content, salt));
    expect(turns).toBe(3);
  });

  it('never seals the same content to the same bytes', () => {
    const [a, b] = [0, 1].map(() => sealFrame(key, file.chains[0]!, contents[0]!).bytes);
    expect(a!.subarray(4, 28).equals(b!.subarray(4, 28))).toBe(false);
    expect(a!.subarray(60, 100).equals(b!.subarray(60, 100))).toBe(false);
  });

  it('reveals nothing of the content', () => {
    const secret = 'canary-'.repeat(20);
    const stored = { codec: 0 as const, plainLength: secret.length, stored: Buffer.from(secret) };
    const content = { summary: Buffer.from(secret), segments: [stored] };
    const { bytes } = sealFrame(key, file.chains[0]!, content);
    expect(bytes.includes('canary')).toBe(false);
    expect(bytes.includes(key.bytes())).toBe(false);
    expect(openFrame(key, file.chains[0]!, bytes).content.summary.includes('canary')).toBe(true);
  });

  it('refuses a header of another length to begin a chain', () => {
    expect(() => firstLink(file.header.subarray(1))).toThrow(RangeError);
  });
});

describe('open', () => {
  it('rejects any bit flipped in a frame', () => {
    const frame = Buffer.from(two);
    for (let bit = 0; bit < frame.length * 8; bit++) {
      frame[bit >> 3]! ^= 1 << (bit & 7);
      expectRefusal(() => openFrame(key, file.chains[1]!, frame));
      frame[bit >> 3]! ^= 1 << (bit & 7);
    }
    expect(openFrame(key, file.chains[1]!, frame).content).toEqual(contents[1]);
  });

  it('rejects any bit flipped in the header', () => {
    for (let bit = 0; bit < HEADER_LENGTH * 8; bit++) {
      const header = Buffer.from(file.header);
      header[bit >> 3]! ^= 1 << (bit & 7);
      expectRefusal(() => openFrame(key, firstLink(header), one));
    }
  });

  it('rejects a frame cut off anywhere, with and without its length made to fit', () => {
    for (let length = 0; length < two.length; length++) {
      const frame = Buffer.from(two.subarray(0, length));
      const words = length < 60 ? 'ends inside the head' : 'not as long as it says';
      expectRefusal(() => openFrame(key, file.chains[1]!, frame), 'UNAUTHENTIC', words);
      if (length < 4) continue;
      frame.writeUInt32BE(length - 4);
      expectRefusal(() => openFrame(key, file.chains[1]!, frame));
    }
  });

  it('rejects bytes after a frame', () => {
    for (const more of [Buffer.alloc(1), Buffer.alloc(60), randomBytes(100), two]) {
      const longer = Buffer.concat([one, more]);
      expectRefusal(() => openFrame(key, file.chains[0]!, longer), 'UNAUTHENTIC', 'not as long as it says');
    }
  });

  it('rejects frames swapped, dropped and doubled', () => {
    expectRefused(file.header, two, one, three);
    expectRefused(file.header, one, three, two);
    expectRefused(file.header, two, three);
    expectRefused(file.header, one, three);
    expectRefused(file.header, three);
    expectRefused(file.header, one, one);
    expectRefused(file.header, one, two, two, three);
  });

  it('rejects a frame moved to another session', () => {
    const other = new SealedFile(key, contents, { fileId: 'f'.repeat(32) });
    expectRefused(other.header, one);
    expectRefused(other.header, other.frames[0]!, two);
    expectRefused(file.header, one, other.frames[1]!);
  });

  it('rejects a frame moved to another generation, kind or overwrite', () => {
    for (const change of [{ generation: 2n }, { kind: 'index' } as const, {}]) {
      const other = new SealedFile(key, contents, change);
      expectRefused(file.header, one, other.frames[1]!);
      expectRefused(other.header, other.frames[0]!, two);
    }
    expectRefused(new SealedFile(key, contents, { generation: 2n }).header, one);
    expectRefused(new SealedFile(key, contents, { kind: 'seen' }).header, one);
  });

  it('rejects a frame at another position of the same chain', () => {
    const chain = file.chains[1]!;
    for (const index of [0, 2, 2 ** 32 + 1]) expectRefusal(() => openFrame(key, { link: chain.link, index }, two));
    expect(openFrame(key, chain, two).content).toEqual(contents[1]);
  });

  it('rejects a frame sealed with another key', () => {
    expectRefusal(() => openFrame(keyOf('another'), file.chains[0]!, one));
  });

  it('rejects a length of 2^32 - 1 and allocates nothing for it', () => {
    const frame = Buffer.from(one);
    frame.writeUInt32BE(2 ** 32 - 1);
    const grown = buffersOf(() => {
      expectRefusal(() => openFrame(key, file.chains[0]!, frame));
      expectRefusal(() => openSummary(key, file.chains[0]!, frame));
    });
    expect(grown).toBeLessThan(64 * 1024);
  });
});

describe('headBelongs', () => {
  const head = decodeFrameHead(one);

  it('accepts a genuine head at its own position only', () => {
    expect(headBelongs(key, file.chains[0]!, head)).toBe(true);
    expect(headBelongs(key, file.chains[1]!, head)).toBe(false);
    expect(headBelongs(keyOf('another'), file.chains[0]!, head)).toBe(false);
    expect(nextLink(file.chains[0]!, one)).toEqual(file.chains[1]);
  });

  it('rejects a head with any bit flipped, or a commitment of another length', () => {
    for (let bit = 0; bit < 60 * 8; bit++) {
      const bytes = Buffer.from(one.subarray(0, 60));
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      const read = { length: bytes.readUInt32BE(), salt: bytes.subarray(4, 28), commitment: bytes.subarray(28) };
      expect(headBelongs(key, file.chains[0]!, read)).toBe(false);
    }
    for (const length of [0, 4, 31]) {
      const commitment = head.commitment.subarray(0, length);
      expect(headBelongs(key, file.chains[0]!, { ...head, commitment })).toBe(false);
    }
  });
});

describe('openSummary', () => {
  const long = { summary: Buffer.alloc(12_288, 'x'), segments: [packSegment(randomBytes(40_000))] };
  const chain = firstLink(encodeHeader({ kind: 'index', keyId: key.id, fileId: '1'.repeat(32), generation: 0n }));
  const frame = sealFrame(key, chain, long).bytes;

  it('opens the summary with the first chunk alone', () => {
    expect(openSummary(key, chain, frame.subarray(0, SUMMARY_REACH))).toEqual(long.summary);
    expect(openSummary(key, chain, frame)).toEqual(long.summary);
    expect(openSummary(key, file.chains[0]!, one)).toEqual(contents[0]!.summary);
    expect(openSummary(key, file.chains[1]!, Buffer.concat([two, three]))).toEqual(contents[1]!.summary);
  });

  it('rejects fewer bytes than that', () => {
    for (const length of [0, 59, 60, 76, SUMMARY_REACH - 1]) {
      expectRefusal(() => openSummary(key, chain, frame.subarray(0, length)), 'UNAUTHENTIC', 'it ends inside');
    }
    expectRefusal(() => openSummary(key, file.chains[1]!, two.subarray(0, -1)));
  });

  it('rejects any byte changed in the head or the first chunk, and ignores the others', () => {
    for (let offset = 0; offset < SUMMARY_REACH; offset += offset < 60 ? 1 : 97) {
      const changed = Buffer.from(frame.subarray(0, SUMMARY_REACH));
      changed[offset]! ^= 1;
      expectRefusal(() => openSummary(key, chain, changed));
    }
    const behind = Buffer.from(frame);
    behind[SUMMARY_REACH]! ^= 1;
    expect(openSummary(key, chain, behind)).toEqual(long.summary);
    expectRefusal(() => openFrame(key, chain, behind));
  });

  it('rejects another position and another key', () => {
    expectRefusal(() => openSummary(key, file.chains[0]!, frame));
    expectRefusal(() => openSummary(keyOf('another'), chain, frame));
  });
});
