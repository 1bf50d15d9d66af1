import { describe, expect, it } from 'vitest';
import { type DeviceState, Recording, StateBuilder } from './block-device-states.ts';

const BLOCK = 4096;
const SECTOR = 512;
const SIZE = 8 * BLOCK;

/** Builds the log record of a write of one letter to whole blocks, in the format of recorder.py. */
function write(block: number, letter: string, blocks = 1): Buffer {
  const head = Buffer.alloc(13);
  head.write('W');
  head.writeBigUInt64BE(BigInt(block * BLOCK), 1);
  head.writeUInt32BE(blocks * BLOCK, 9);
  return Buffer.concat([head, Buffer.alloc(blocks * BLOCK, letter)]);
}

const flush = Buffer.concat([Buffer.from('F'), Buffer.alloc(12)]);

/** Returns the content of the device in a state: one letter per sector, a dot for an empty one. */
function lettersOf(builder: StateBuilder, state: DeviceState): string {
  const device = Buffer.alloc(SIZE);
  for (const { offset, data } of builder.build(state)) data.copy(device, offset);
  const letters = Array.from({ length: SIZE / SECTOR }, (_, sector) => String.fromCharCode(device[sector * SECTOR]!));
  return letters.join('').replaceAll('\0', '.');
}

function imagesOf(recording: Recording, from: number, count = 1_000): string[] {
  const builder = new StateBuilder(recording);
  return recording.states(from, count, 1).map((state) => lettersOf(builder, state));
}

describe('Recording', () => {
  it('keeps in every state what was flushed', () => {
    const log = Buffer.concat([write(2, 'a'), flush, write(3, 'b'), write(4, 'c')]);
    const images = imagesOf(new Recording(Buffer.alloc(SIZE), log), 13 + BLOCK + 13);
    expect(images.length).toBeGreaterThan(20);
    for (const image of images) expect(image.slice(16, 24)).toBe('aaaaaaaa');
  });

  it('lets any part of what was not flushed arrive, down to single sectors', () => {
    const log = Buffer.concat([flush, write(2, 'a'), write(3, 'b')]);
    const images = imagesOf(new Recording(Buffer.alloc(SIZE), log), 13);
    const parts = images.map((image) => `${image.slice(16, 24)} ${image.slice(24, 32)}`);
    expect(parts).toContain('........ ........');
    expect(parts).toContain('aaaaaaaa ........');
    expect(parts).toContain('........ bbbbbbbb');
    expect(parts).toContain('aaaaaaaa bbbbbbbb');
    expect(parts.some((part) => /^a+\.+a.* \.{8}$/.test(part))).toBe(true);
  });

  it('returns no state twice, and none from before the attack', () => {
    const log = Buffer.concat([write(2, 'a'), flush, write(2, 'b'), flush, write(2, 'c'), write(3, 'd'), flush]);
    const images = imagesOf(new Recording(Buffer.alloc(SIZE), log), 13 + BLOCK + 13);
    expect(new Set(images).size).toBe(images.length);
    expect(images.filter((image) => image.slice(16, 24).includes('.'))).toEqual([]);
  });

  it('returns as many states as requested, spread evenly over time', () => {
    const log = Buffer.concat([...'abcdefgh'].flatMap((letter) => [write(2, letter), flush]));
    const recording = new Recording(Buffer.alloc(SIZE), log);
    const states = recording.states(0, 9, 1);
    expect(states.map(({ flushes }) => flushes)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
  });

  it('counts the flushes between two positions in the log', () => {
    const log = Buffer.concat([flush, write(2, 'a'), flush, flush]);
    const recording = new Recording(Buffer.alloc(SIZE), log);
    expect(recording.flushesBetween(13, log.length)).toBe(2);
    expect(recording.flushesBetween(log.length, log.length)).toBe(0);
  });

  it('begins every state with the previous content of the device', () => {
    const before = Buffer.alloc(SIZE);
    before.fill('z', 5 * BLOCK, 6 * BLOCK);
    const images = imagesOf(new Recording(before, write(2, 'a')), 0);
    for (const image of images) expect(image.slice(40, 48)).toBe('zzzzzzzz');
  });
});

describe('StateBuilder', () => {
  it('refuses to go back in time', () => {
    const log = Buffer.concat([write(2, 'a'), flush]);
    const recording = new Recording(Buffer.alloc(SIZE), log);
    const builder = new StateBuilder(recording);
    const states = recording.states(0, 10, 1);
    lettersOf(builder, states.at(-1)!);
    expect(() => lettersOf(builder, states[0]!)).toThrow(RangeError);
  });
});
