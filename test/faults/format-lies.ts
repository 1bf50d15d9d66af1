import { createHash } from 'node:crypto';
import { zstdCompressSync } from 'node:zlib';
import type { Chain } from '../../src/envelope/chain.ts';
import type { Kind } from '../../src/envelope/format.ts';
import { key, LENGTHS } from './format-attacks.ts';
import { type Attack, linesOf } from './format-base.ts';
import {
  fileIdNamed,
  floorAt,
  headerWith,
  linkBehind,
  linkOf,
  type Plain,
  paddingOf,
  plainOf,
  type Sealing,
  sealPlain,
  segmentOf,
  u32,
  zstdBomb,
} from './malicious.ts';

/*
 * Files that only a writer with the key can make: frames that authenticate and lie. Nothing may be
 * believed after the authentication either: a bug in another writer, or a thief of the key, must
 * not be able to do more than lie about the session. None of these files may open, so any result
 * counts as accepted.
 */

const LINES = linesOf('a lie', 500);
const SUMMARY = Buffer.from('{"id":"2026-11-20_14-30"}');
const HONEST = segmentOf(0, LINES, LINES.length);
const PACKED = zstdCompressSync(Buffer.concat([LINES, LINES, LINES]));
const PLAIN = 3 * LINES.length;

/** Yields a length field of a frame's plaintext that lies. No such length may be allocated. */
export function* lyingLengths(): Generator<Attack> {
  const longer = [...LENGTHS, 12_287, 12_288, 12_289, 16_384, 3000, 4096];
  // A summary that ends in the padding zeros after the body is valid, whatever a reader then makes
  // of its text. Only longer ones lie.
  for (const length of longer.filter((one) => one < SUMMARY.length || one > 4096 - 12)) {
    yield* everywhere(`summary length ${length}`, { summary: SUMMARY, summaryLength: length, body: HONEST });
  }
  for (const length of [12_289, 16_000, 16_384, 70_000]) {
    yield* everywhere(`a summary of ${length} bytes, all of them there`, {
      summary: Buffer.alloc(length, ' '),
      body: HONEST,
    });
  }
  const bodies = [...longer, 2 ** 32, 2 ** 53 - 1, HONEST.length - 1, HONEST.length + 1].map(BigInt);
  for (const length of [...bodies, 2n ** 53n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n]) {
    if (length !== BigInt(HONEST.length)) {
      yield* everywhere(`body length ${length}`, { summary: SUMMARY, body: HONEST, bodyLength: length });
    }
  }
  for (const length of longer) {
    for (const [codec, bytes, plain] of [
      [0, LINES, LINES.length],
      [1, PACKED, PLAIN],
    ] as const) {
      if (length !== bytes.length)
        yield* segment(`codec ${codec}, stored length ${length}`, codec, bytes, plain, length);
      if (length !== plain) yield* segment(`codec ${codec}, plain length ${length}`, codec, bytes, length);
    }
  }
}

/** Yields segments that do not contain what they declare. */
export function* lyingSegments(): Generator<Attack> {
  for (let codec = 2; codec < 256; codec++) yield* segment(`codec ${codec}`, codec, LINES, LINES.length);
  for (let cut = 1; cut < PACKED.length; cut++) {
    yield* segment(`zstd cut by ${cut}`, 1, PACKED.subarray(0, -cut), PLAIN);
  }
  const skippable = Buffer.concat([Buffer.from('502a4d1804000000', 'hex'), Buffer.alloc(4)]);
  const streams: Readonly<Record<string, Buffer>> = {
    'two zstd frames': Buffer.concat([PACKED, zstdCompressSync(LINES)]),
    'a zstd frame twice': Buffer.concat([PACKED, PACKED]),
    'a zstd frame and an empty one that nobody leaves there': Buffer.concat([
      PACKED,
      Buffer.from('28b52ffd0000010000', 'hex'),
    ]),
    'a zstd frame and a skippable one': Buffer.concat([PACKED, skippable]),
    'a skippable frame before': Buffer.concat([skippable, PACKED]),
    'a zero behind': Buffer.concat([PACKED, Buffer.alloc(1)]),
    'a frame with a dictionary': Buffer.concat([PACKED.subarray(0, 4), Buffer.of(PACKED[4]! | 1), PACKED.subarray(5)]),
    'no zstd at all': LINES,
    nothing: Buffer.alloc(0),
  };
  for (const [what, bytes] of Object.entries(streams)) {
    yield* segment(what, 1, bytes, PLAIN);
    yield* segment(`${what}, all of it named`, 1, bytes, PLAIN + LINES.length);
  }
}

/**
 * Yields little zstd that expands to very much. At most the declared length may be produced, and
 * nothing allocated for a declaration alone.
 */
export function* bombs(): Generator<Attack> {
  for (const blocks of [2, 64, 4096, 32_768]) {
    const all = blocks * 2 ** 17;
    const bomb = zstdBomb(blocks);
    for (const named of [0, 1, 100, 65_536, all - 1].filter((length) => length < 2 ** 24)) {
      yield* segment(`${all} bytes that call themselves ${named}`, 1, bomb, named);
    }
    yield* segment(`${all} bytes that call themselves 2^29 + 1`, 1, bomb, 2 ** 29 + 1);
  }
  for (const named of [2 ** 29, 2 ** 29 - 1, 2 ** 28])
    yield* segment(`${PLAIN} bytes that call themselves ${named}`, 1, PACKED, named);
}

/** Yields wrong padding: longer, shorter, none, and one byte of it not zero. */
export function* wrongPadding(): Generator<Attack> {
  for (const index of [0, 1]) {
    const used = plainOf({ summary: SUMMARY, body: HONEST, padding: Buffer.alloc(0) }, 0).length;
    const right = paddingOf(used, floorAt(index));
    for (const length of [0, 1, right - 16, right - 1, right + 1, right + 16, right + 64, 2 * right, 16_384, 65_536]) {
      const plain = { summary: SUMMARY, body: HONEST, padding: Buffer.alloc(length) };
      yield lie(`padding of ${length} instead of ${right}`, plain, index);
    }
    for (let at = 0; at < right; at++) {
      const padding = Buffer.alloc(right);
      padding[at] = 1 << (at % 8);
      yield lie(`byte ${at} of the padding is not zero`, { summary: SUMMARY, body: HONEST, padding }, index);
    }
    const other = paddingOf(used, floorAt(1 - index));
    const plain = { summary: SUMMARY, body: HONEST, padding: Buffer.alloc(other) };
    yield lie(`padding as in frame ${1 - index}`, plain, index);
  }
}

/** Yields frames with tags shorter than sixteen bytes, in an otherwise correct file. */
export function* shortTags(chained = true): Generator<Attack> {
  for (const tag of [4, 8, 12]) {
    for (const index of [0, 1]) {
      const plain = { summary: SUMMARY, body: HONEST };
      yield lie(`tags of ${tag} bytes`, plain, index, { tag, chained });
    }
  }
}

/**
 * Yields files of another kind, or for another place in time, under the name of a session,
 * correctly sealed.
 */
export function* otherKinds(): Generator<Attack> {
  for (const kind of ['index', 'seen'] as const)
    yield lie(`a file of kind ${kind}`, { summary: SUMMARY, body: HONEST }, 0, {}, { kind });
  const newer: [number, Buffer][] = [
    [8, Buffer.of(2)],
    [8, Buffer.of(0)],
    [10, Buffer.of(0, 1)],
    [10, Buffer.of(128, 0)],
  ];
  for (const [at, bytes] of newer) {
    const plain = { summary: SUMMARY, body: HONEST };
    const made = lie(`byte ${at} is ${bytes.toString('hex')}`, plain, 0, {}, { changes: { [at]: bytes } });
    yield { ...made, codes: ['NEWER_VERSION'] };
  }
  yield lie('a file for another name', { summary: SUMMARY, body: HONEST }, 0, {}, { fileId: fileIdNamed('theirs') });
}

function* segment(what: string, codec: number, bytes: Buffer, plain: number, stored?: number): Generator<Attack> {
  yield* everywhere(`a segment: ${what}`, { summary: SUMMARY, body: segmentOf(codec, bytes, plain, stored) });
  const behind = Buffer.concat([HONEST, segmentOf(codec, bytes, plain, stored)]);
  yield lie(`a segment behind a good one: ${what}`, { summary: SUMMARY, body: behind }, 0);
}

function* everywhere(what: string, plain: Plain): Generator<Attack> {
  yield lie(what, plain, 0);
  yield lie(what, plain, 1);
}

/** Returns a file whose frame `index` is the lie, after honest ones. */
function lie(
  what: string,
  plain: Plain,
  index: number,
  sealing: Sealing = {},
  header: { kind?: Kind; changes?: Record<number, Uint8Array>; fileId?: string } = {},
): Attack {
  const fileId = fileIdNamed('ours');
  const start = headerWith(key, header.fileId ?? fileId, header);
  const frames: Buffer[] = [];
  let chain: Chain = linkOf(start);
  for (let at = 0; at <= index; at++) {
    const said = at === index ? plain : { summary: SUMMARY, body: HONEST };
    const salt = createHash('sha256').update(u32(at)).update(what).digest().subarray(0, 24);
    const honest: Sealing = sealing.chained === false ? { chained: false } : {};
    const frame = sealPlain(key, chain, plainOf(said, floorAt(at)), { ...(at === index ? sealing : honest), salt });
    frames.push(frame);
    chain = linkBehind(chain, frame);
  }
  return { what: `sealed with the key: ${what}, in frame ${index}`, bytes: Buffer.concat([start, ...frames]), fileId };
}
