import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { firstLink } from '../../../src/envelope/chain.ts';
import { encodeHeader } from '../../../src/envelope/format.ts';
import { VaultKey } from '../../../src/envelope/key.ts';
import { openFrame, sealFrame } from '../../../src/envelope/seal.ts';
import { packSegment } from '../../../src/envelope/segment.ts';
import { requirePosix, smallDisk } from '../../files/facilities.ts';
import { temporaryFolder } from '../../support/vault.ts';
import { TextFolder } from './text-folder.ts';

/** Texts whose trigrams lie in different shards, each in one file. */
const NEEDLES = ['aaa', 'needle', 'zzz', '日本語', '\u0001\u0001\u0001'];

describe('a damaged text index', () => {
  it('with any byte changed rules out nothing wrongly, and is rebuilt', async () => {
    const { folder, good } = await filled();
    const places = [...Array.from({ length: 116 }, (_, at) => at), ...everyNth(good.length, 997)];
    let useless = 0;
    for (const at of places) {
      const broken = Buffer.from(good);
      broken[at] = (broken[at] ?? 0) ^ (1 << (at % 8));
      const unanswered = await misled(folder, broken);
      if (at < 52 + 60) expect(unanswered, `byte ${at} of the header and the head`).toBe(NEEDLES.length);
      useless += unanswered;
    }
    expect(useless).toBeGreaterThan(places.length / 2);
    await folder.keep();
    expect((await folder.ask('needle')).unknown).toEqual([]);
  });

  it('cut off anywhere rules out nothing wrongly, and is rebuilt', async () => {
    const { folder, good } = await filled();
    const lengths = [0, 1, 51, 52, 53, 111, 112, 113, good.length - 1, ...everyNth(good.length, 1201)];
    for (const length of lengths) await misled(folder, good.subarray(0, length));
    await folder.keep();
    expect((await folder.ask('needle')).unknown).toEqual([]);
  });

  it('with bytes appended rules out nothing wrongly', async () => {
    const { folder, good } = await filled();
    for (const length of [1, 4, 60, 72, 5000]) {
      expect(await misled(folder, Buffer.concat([good, Buffer.alloc(length)]))).toBe(NEEDLES.length);
      expect(await misled(folder, Buffer.concat([good, good.subarray(52, 52 + length)]))).toBe(NEEDLES.length);
    }
  });

  it('with an older frame of its own in it rules out nothing wrongly', async () => {
    const { folder, good } = await filled();
    folder.put('young', 70_000);
    await folder.keep();
    const other = folder.bytes;
    expect(other.subarray(0, good.length).equals(good)).toBe(true);
    const [first = 0] = folder.frames;
    const [head, firstFrame, second] = [
      good.subarray(0, 52),
      other.subarray(52, 52 + first),
      other.subarray(52 + first),
    ];
    for (const parts of [
      [head, second],
      [head, second, firstFrame],
      [head, firstFrame, firstFrame],
      [head, firstFrame, second, second],
    ])
      expect(await misled(folder, Buffer.concat(parts))).toBe(NEEDLES.length);
  });

  it('damaged in one place only is not extended', async () => {
    const { folder, good } = await filled();
    const index = folder.index();
    for (let at = good.length - 20; ; at -= 500) {
      const broken = Buffer.from(good);
      broken[at] = (broken[at] ?? 0) ^ 1;
      writeFileSync(folder.place.texts, broken);
      const { unknown } = await folder.ask('needle', index);
      if (unknown.length > 0) break;
    }
    await folder.keep(undefined, index);
    expect(folder.bytes.subarray(0, 52)).not.toEqual(good.subarray(0, 52));
    expect((await folder.ask('needle')).unknown).toEqual([]);
  });
});

describe('another file in place of the text index', () => {
  it('is ignored and replaced if it is sealed with another key', async () => {
    const { folder } = await filled();
    folder.key = VaultKey.generate();
    expect((await folder.ask('needle')).without).toEqual([]);
    await folder.keep();
    expect((await folder.ask('needle')).unknown).toEqual([]);
  });

  it.each([
    [8, 2],
    [8, 255],
    [10, 1],
    [11, 1],
  ])('is ignored and left alone if a newer version wrote it (byte %i is %i)', async (at, value) => {
    const { folder, good } = await filled();
    const newer = Buffer.from(good);
    newer[at] = value;
    expect(await misled(folder, newer)).toBe(NEEDLES.length);
    await folder.keep();
    expect(folder.bytes.equals(newer)).toBe(true);
  });

  it.each(['session', 'index', 'seen'] as const)(
    'is ignored if it is a sealed file of kind %s with other content',
    async (kind) => {
      const { folder } = await filled();
      const header = encodeHeader({ kind, keyId: folder.key.id, fileId: 'ab'.repeat(16), generation: 1n });
      for (const summary of ['{"list":1}', '{"texts":2}', '{}', '']) {
        const segments = [packSegment(Buffer.alloc(9600)), packSegment(Buffer.alloc(800))];
        const frame = sealFrame(folder.key, firstLink(header), { summary: Buffer.from(summary), segments });
        expect(await misled(folder, Buffer.concat([header, frame.bytes]))).toBe(NEEDLES.length);
      }
      await folder.keep();
      expect((await folder.ask('needle')).unknown).toEqual([]);
    },
  );

  it('is ignored if its frame has another content version', async () => {
    const { folder, good } = await filled();
    const chain = firstLink(good.subarray(0, 52));
    const { segments } = openFrame(folder.key, chain, good.subarray(52)).content;
    const resealed = async (summary: string): Promise<number> => {
      const { bytes } = sealFrame(folder.key, chain, { summary: Buffer.from(summary), segments });
      return misled(folder, Buffer.concat([good.subarray(0, 52), bytes]));
    };
    for (const form of ['{"texts":1}', '{"texts":2}', '{"texts":3,"full":false}']) {
      expect(await resealed(form)).toBe(NEEDLES.length);
    }
    expect(await resealed('{"texts":2,"full":false}')).toBe(0);
    expect(await resealed('{"texts":2,"full":true}')).toBe(0);
  });

  it('is ignored if it has the frame of an index in a file of another kind', async () => {
    const { folder } = await filled();
    const header = encodeHeader({ kind: 'seen', keyId: folder.key.id, fileId: 'ab'.repeat(16), generation: 1n });
    const { sealTexts } = await import('../../../src/vault/search/frame.ts');
    const files = [...folder.said.keys()].map((fileId) => {
      const { ino, size, mtimeMs, ctimeMs } = lstatSync(folder.place.path(fileId));
      return { fileId, ino, size, mtimeMs, ctimeMs };
    });
    const frame = sealTexts(
      folder.key,
      firstLink(header),
      files,
      files.map(() => new Uint32Array(0)),
    );
    expect(await misled(folder, Buffer.concat([header, frame.bytes]))).toBe(NEEDLES.length);
  });

  describe('that is not a regular file', () => {
    beforeEach(requirePosix);

    it.each([
      ['a directory', (path: string) => mkdirSync(path)],
      ['a full directory', (path: string) => mkdirSync(join(path, 'inside'), { recursive: true })],
      ['a pipe', (path: string) => void execFileSync('mkfifo', [path])],
      ['a link to nowhere', (path: string) => symlinkSync('nowhere', path)],
      ['a link to itself', (path: string) => symlinkSync(path, path)],
    ])('is ignored and left alone if it is %s', async (_, put) => {
      const { folder } = await filled();
      rmSync(folder.place.texts);
      put(folder.place.texts);
      const before = lstatSync(folder.place.texts);
      expect((await folder.ask('needle')).without).toEqual([]);
      await folder.keep();
      expect(lstatSync(folder.place.texts)).toMatchObject({ ino: before.ino, mode: before.mode });
      expect(folder.names).toEqual(['texts']);
    });

    it('is not followed if it is a link to an index', async () => {
      const { folder } = await filled();
      const elsewhere = join(temporaryFolder(), 'elsewhere');
      copyFileSync(folder.place.texts, elsewhere);
      rmSync(folder.place.texts);
      symlinkSync(elsewhere, folder.place.texts);
      expect((await folder.ask('needle')).without).toEqual([]);
    });
  });

  it('is ignored if it may not be read', async (context) => {
    requirePosix(context);
    const { folder } = await filled();
    if (process.getuid?.() === 0) context.skip('root reads everything');
    chmodSync(folder.place.texts, 0);
    expect((await folder.ask('needle')).without).toEqual([]);
    await folder.keep();
    expect(lstatSync(folder.place.texts).mode & 0o777).toBe(0);
  });
});

describe('the text index on a disk', () => {
  it('that is full is not written, and leaves nothing', async (context) => {
    const disk = smallDisk(context, '1m');
    const folder = await fill(new TextFolder(join(disk.path, 'data')));
    const filler = join(disk.path, 'filler');
    fillUp(filler);
    await folder.keep();
    expect(folder.names).toEqual([]);
    rmSync(filler);
    await folder.keep();
    const good = folder.bytes;
    fillUp(filler);
    const young = [...folder.said.keys()].slice(0, 4);
    for (const fileId of young) folder.put('needle', 110_000, fileId);
    await folder.keep();
    expect(folder.bytes.equals(good)).toBe(true);
    expect((await folder.ask('needle')).unknown).toEqual(young);
    expect(folder.names).toEqual(['texts']);
  });

  it('that is read-only is not written', async (context) => {
    const disk = smallDisk(context, '1m');
    const folder = await fill(new TextFolder(join(disk.path, 'data')));
    disk.remount('ro');
    await folder.keep();
    expect(existsSync(folder.place.texts)).toBe(false);
    expect((await folder.ask('needle')).without).toEqual([]);
    disk.remount('rw');
  });
});

async function filled(): Promise<{ folder: TextFolder; good: Buffer }> {
  const folder = await fill(new TextFolder());
  await folder.keep();
  const { without, unknown } = await folder.ask('needle');
  expect([without.length, unknown.length]).toEqual([folder.said.size - 1, 0]);
  return { folder, good: folder.bytes };
}

/** Fills a disk. */
function fillUp(path: string): void {
  const file = openSync(path, 'a');
  try {
    for (;;) writeSync(file, Buffer.alloc(4096));
  } catch (error) {
    expect(error).toMatchObject({ code: 'ENOSPC' });
  } finally {
    closeSync(file);
  }
}

/** Enough words for some ten shards. */
async function fill(folder: TextFolder): Promise<TextFolder> {
  for (let file = 0; file < 12; file++) {
    const words = Array.from({ length: 4000 }, (_, index) => ((index * (file + 7) * 7919) % 46_656).toString(36));
    folder.put(`${words.join(' ')} ${NEEDLES[file] ?? ''}`, 20_000);
  }
  return folder;
}

/**
 * Writes these bytes in place of the index, and returns how many lookups it answers with nothing;
 * all other answers are checked.
 */
async function misled(folder: TextFolder, bytes: Buffer): Promise<number> {
  writeFileSync(folder.place.texts, bytes);
  let unanswered = 0;
  for (const needle of NEEDLES) if ((await folder.ask(needle)).without.length === 0) unanswered++;
  return unanswered;
}

function everyNth(length: number, step: number): number[] {
  return Array.from({ length: Math.floor(length / step) }, (_, index) => index * step);
}
