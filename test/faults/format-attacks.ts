import { CHUNK, HEADER_LENGTH } from '../../src/envelope/format.ts';
import type { VaultKey } from '../../src/envelope/key.ts';
import type { ErrorCode } from '../../src/errors.ts';
import { type Attack, type Base, baseOf, saidOf } from './format-base.ts';
import { fileIdNamed, keyNamed, u32 } from './malicious.ts';

/*
 * Everything that an attacker without the key can do to a sealed file: change it, cut it, and put
 * together pieces of all that coffer ever sealed. Each function makes all attacks of one sort.
 */

/** The genuine files of one writer, from which the attacks are made. */
export interface Bases {
  /** One frame of one chunk. */
  readonly one: Base;
  /** Three frames of one chunk each. */
  readonly three: Base;
  /** The same session before and after: another generation, the same file id. */
  readonly others: readonly Base[];
  /** Three frames of three chunks each, and donors of the same shape. */
  readonly long: Base;
  readonly longOthers: readonly Base[];
}

/** The key of the vault under attack. */
export const key: VaultKey = keyNamed('the format');

/** Seals the genuine files, without the chain if a wrong opener needs that. */
export function basesOf(chained: boolean): Bases {
  const fileId = fileIdNamed('ours');
  const small = [600, 300, 300];
  const large = [40_000, 40_000, 40_000];
  const family = (name: string, sizes: readonly number[]): Base[] => [
    baseOf(`${name}, older`, key, fileId, saidOf(`${name}-older`, sizes), { chained, generation: 6n }),
    baseOf(`${name}, newer`, key, fileId, saidOf(`${name}-newer`, sizes), { chained, generation: 8n }),
    baseOf(`${name}, sealed again`, key, fileId, saidOf(`${name}-again`, sizes), { chained, generation: 7n }),
    baseOf(`${name}, another session`, key, fileIdNamed('theirs'), saidOf(`${name}-theirs`, sizes), {
      chained,
      generation: 7n,
    }),
    baseOf(`${name}, another vault`, keyNamed('another vault'), fileId, saidOf(`${name}-vault`, sizes), {
      chained,
      generation: 7n,
    }),
  ];
  return {
    one: baseOf('one frame', key, fileId, saidOf('one', small.slice(0, 1)), { chained, generation: 7n }),
    three: baseOf('three frames', key, fileId, saidOf('three', small), { chained, generation: 7n }),
    others: family('three frames', small),
    long: baseOf('long frames', key, fileId, saidOf('long', large), { chained, generation: 7n }),
    longOthers: family('long frames', large),
  };
}

/** Yields every bit flipped, one at a time. */
export function* flippedBits(base: Base): Generator<Attack> {
  for (let at = 0; at < base.bytes.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      const bytes = Buffer.from(base.bytes);
      bytes[at]! ^= 1 << bit;
      yield attack(base, bytes, `bit ${bit} of byte ${at} flipped`, { at, codes: codesAt(at) });
    }
  }
}

/** Yields every length shorter than the file. */
export function* truncations(base: Base): Generator<Attack> {
  for (let length = 0; length < base.bytes.length; length++) {
    yield attack(base, base.bytes.subarray(0, length), `cut to ${length} bytes`);
  }
}

/** Yields the file with something appended. */
export function* appendices(base: Base, others: readonly Base[]): Generator<Attack> {
  const noise = others[0]!.bytes.subarray(HEADER_LENGTH);
  for (let length = 1; length <= 130; length++) {
    yield attack(base, Buffer.concat([base.bytes, Buffer.alloc(length)]), `${length} zeros behind it`);
    yield attack(base, Buffer.concat([base.bytes, noise.subarray(-length)]), `${length} bytes of noise behind it`);
  }
  for (const other of [base, ...others]) {
    const { name, bytes } = other;
    yield attack(base, Buffer.concat([base.bytes, bytes]), `the whole of ${name} behind it`);
    const frames = bytes.subarray(HEADER_LENGTH);
    yield attack(base, Buffer.concat([base.bytes, frames]), `all frames of ${name} behind it`);
  }
}

/** Yields frames swapped, dropped, doubled, and taken from other files, generations and vaults. */
export function* movedFrames(base: Base, others: readonly Base[]): Generator<Attack> {
  yield* moved(base, base.frames, others, 'frame', (frames) => Buffer.concat([base.header, ...frames]));
  for (const order of ORDERS) {
    const bytes = Buffer.concat([base.header, ...order.map((index) => base.frames[index]!)]);
    yield attack(base, bytes, `frames in the order ${order.join(' ')}`);
  }
  for (const other of others) {
    const codes: ErrorCode[] = other.key.id === key.id ? ['UNAUTHENTIC'] : ['UNAUTHENTIC', 'KEY_OTHER'];
    const bytes = Buffer.concat([other.header, ...base.frames]);
    if (!bytes.equals(base.bytes)) yield attack(base, bytes, `the header of ${other.name} before it`, { codes });
  }
}

/**
 * Yields the same with chunks: within a frame, from frame to frame, from file to file, with the
 * frame's length corrected and left wrong.
 */
export function* movedChunks(base: Base, others: readonly Base[]): Generator<Attack> {
  for (const [index, frame] of base.frames.entries()) {
    const chunks = chunksOf(frame);
    for (const isRight of [true, false]) {
      const join = (parts: readonly Buffer[]): Buffer => {
        const changed = Buffer.concat([frame.subarray(0, 60), ...parts]);
        if (isRight) changed.set(u32(changed.length - 4), 0);
        const frames = base.frames.map((one, place) => (place === index ? changed : one));
        return Buffer.concat([base.header, ...frames]);
      };
      const donors = [base, ...others].map((donor) => ({ name: donor.name, frames: donor.frames.flatMap(chunksOf) }));
      yield* moved(base, chunks, donors, `frame ${index}, length ${isRight ? 'right' : 'wrong'}, chunk`, join);
    }
  }
}

/** Yields every header field with every value that could mean something. */
export function* headerFields(base: Base, others: readonly Base[]): Generator<Attack> {
  const fields: { name: string; at: number; values: Buffer[]; codes: ErrorCode[] }[] = [
    { name: 'magic', at: 0, values: MAGICS.map((hex) => Buffer.from(hex, 'hex')), codes: ['UNAUTHENTIC'] },
    { name: 'version', at: 8, values: bytesBut(1), codes: ['NEWER_VERSION'] },
    { name: 'kind', at: 9, values: bytesBut(1), codes: ['UNAUTHENTIC'] },
    { name: 'flags', at: 10, values: FLAGS.map((hex) => Buffer.from(hex, 'hex')), codes: ['NEWER_VERSION'] },
    { name: 'key id', at: 12, values: idsOf(others, 12), codes: ['KEY_OTHER'] },
    { name: 'file id', at: 28, values: idsOf(others, 28), codes: ['UNAUTHENTIC'] },
    { name: 'generation', at: 44, values: GENERATIONS.map(u64), codes: ['UNAUTHENTIC'] },
  ];
  for (const { name, at, values, codes } of fields) {
    for (const value of values) {
      const bytes = Buffer.from(base.bytes);
      bytes.set(value, at);
      if (!bytes.equals(base.bytes)) yield attack(base, bytes, `${name} ${value.toString('hex')}`, { codes });
    }
  }
}

/** Yields every frame's length field with every absurd value. */
export function* frameLengths(base: Base): Generator<Attack> {
  let start = HEADER_LENGTH;
  for (const [index, frame] of base.frames.entries()) {
    const own = frame.length - 4;
    for (const length of [...LENGTHS, own - 1, own + 1, own - 16, own + 16, own + CHUNK + 16]) {
      const bytes = Buffer.from(base.bytes);
      bytes.set(u32(length), start);
      yield attack(base, bytes, `length ${length} in frame ${index}`);
    }
    start += frame.length;
  }
}

/** Values of a four-byte length field that a reader must not believe. */
export const LENGTHS: readonly number[] = [
  ...[0, 1, 15, 16, 55, 56, 71, 73, 4096, 2 ** 16, 2 ** 24, 2 ** 29, 2 ** 30 - 1, 2 ** 30, 2 ** 30 + 1],
  ...[2 ** 31 - 1, 2 ** 31, 2 ** 31 + 1, 2 ** 32 - 16, 2 ** 32 - 4, 2 ** 32 - 1],
];

function* moved(
  base: Base,
  parts: readonly Buffer[],
  donors: readonly { name: string; frames: readonly Buffer[] }[],
  sort: string,
  join: (parts: readonly Buffer[]) => Buffer,
): Generator<Attack> {
  const made = (changed: readonly Buffer[], what: string): Attack[] => {
    const bytes = join(changed);
    return bytes.equals(base.bytes) ? [] : [attack(base, bytes, `${sort} ${what}`)];
  };
  for (let at = 0; at < parts.length; at++) {
    yield* made(parts.toSpliced(at, 1), `${at} dropped`);
    yield* made(parts.toSpliced(at, 0, parts[at]!), `${at} doubled`);
    for (let to = at + 1; to < parts.length; to++) {
      const swapped = parts.with(at, parts[to]!).with(to, parts[at]!);
      yield* made(swapped, `${at} swapped with ${to}`);
    }
    for (const { name, frames } of donors) {
      for (const [from, part] of frames.entries()) {
        yield* made(parts.with(at, part), `${at} replaced by ${from} of ${name}`);
        yield* made(parts.toSpliced(at, 0, part), `${at} behind ${from} of ${name}`);
      }
    }
  }
}

function attack(base: Base, bytes: Buffer, what: string, more: Partial<Attack> = {}): Attack {
  return { what: `${base.name}: ${what}`, bytes, fileId: base.fileId, base, ...more };
}

/**
 * Returns the right codes for a changed byte at an offset. Several are right if a change may look
 * like either.
 */
function codesAt(offset: number): ErrorCode[] {
  if (offset === 8 || offset === 10 || offset === 11) return ['NEWER_VERSION'];
  return offset >= 12 && offset < 28 ? ['KEY_OTHER'] : ['UNAUTHENTIC'];
}

function chunksOf(frame: Buffer): Buffer[] {
  const chunks: Buffer[] = [];
  for (let start = 60; start < frame.length; start += CHUNK + 16)
    chunks.push(frame.subarray(start, start + CHUNK + 16));
  return chunks;
}

function bytesBut(value: number): Buffer[] {
  return Array.from({ length: 256 }, (_, byte) => Buffer.of(byte)).filter(([byte]) => byte !== value);
}

function idsOf(others: readonly Base[], offset: number): Buffer[] {
  const absurd = ['00', 'ff', '5f'].map((hex) => Buffer.alloc(16, hex, 'hex'));
  return [...others.map((other) => other.header.subarray(offset, offset + 16)), ...absurd];
}

function u64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
}

const ORDERS = [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0], [0, 2], [1, 2], [0, 0], [1], [2], []];
const MAGICS = ['0000000000000000', 'ffffffffffffffff', '89504e470d0a1a0a', '89434f460a1a0a00', '89434f460d0a1a00'];
const FLAGS = ['0001', '0100', '8000', '0080', 'ffff', '0101', '00ff', 'ff00'];
const GENERATIONS = [0n, 1n, 6n, 8n, 2n ** 32n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n];
