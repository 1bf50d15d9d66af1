import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { firstLink } from '../../../src/envelope/chain.ts';
import { encodeHeader } from '../../../src/envelope/format.ts';
import { sealFrame } from '../../../src/envelope/seal.ts';
import { packSegment } from '../../../src/envelope/segment.ts';
import { openExpected } from '../../../src/vault/file/open.ts';
import { requirePosix, smallDisk } from '../../files/facilities.ts';
import {
  ENOUGH,
  filled,
  indexed,
  indexOf,
  listed,
  listedAfresh,
  partsOf,
  settle,
  tempsIn,
  textOf,
} from '../../support/indexed.ts';
import { keyOf } from '../../support/marks.ts';
import { begin, type Home, home, temporaryFolder, user } from '../../support/vault.ts';

/** Offset of the first frame. */
const HEADER = 52;

describe('an index that is', () => {
  it('flipped in any bit, or cut off anywhere, is ignored and rewritten', async () => {
    const { at } = await indexed();
    const afresh = await listedAfresh(at);
    const good = readFileSync(indexOf(at));
    const { index, keys } = await partsOf(at);
    expect(index.read(keys).rows.size).toBe(ENOUGH);
    const change = fc.record({ offset: fc.nat(good.length - 1), bit: fc.nat(7), isCut: fc.boolean() });
    fc.assert(
      fc.property(change, ({ offset, bit, isCut }) => {
        const bytes = isCut ? good.subarray(0, offset) : Buffer.from(good);
        if (!isCut) bytes[offset]! ^= 1 << bit;
        writeFileSync(indexOf(at), bytes);
        expect(index.read(keys).rows.size).toBe(0);
        expect(index.readIds(keys).size).toBe(0);
      }),
      { numRuns: 400 },
    );
    expect(await listed(at)).toEqual(afresh);
    expect((await partsOf(at)).index.read(keys).rows.size).toBe(ENOUGH);
  });

  it.each<[string, (at: Home) => unknown]>([
    ['missing', (at) => rmSync(indexOf(at))],
    ['empty', (at) => truncateSync(indexOf(at), 0)],
    ['larger than coffer writes it', (at) => truncateSync(indexOf(at), 65 * 1024 * 1024)],
    ['of a newer version', (at) => patch(at, 8, 2)],
    ['of another kind', (at) => patch(at, 9, 3)],
    ['of a later content version', (at) => reseal(at, { list: 2 })],
    ['a cache of another kind', (at) => reseal(at, { texts: 1 })],
    ['with a summary that is not JSON', (at) => reseal(at, undefined)],
    ['without a column', (at) => reseal(at, { list: 1 }, (text) => text.replace('"size"', '"girth"'))],
    ['without its shared columns', (at) => reseal(at, { list: 1 }, (text) => text.replace('"at":', '"on":'))],
    ['with a short column', (at) => reseal(at, { list: 1 }, (text) => text.replace(/"ino":\[\d+,/, '"ino":['))],
    ['without ids', (at) => reseal(at, { list: 1 }, (text) => text.replace('"ids"', '"names"'))],
    ['not JSON inside', (at) => reseal(at, { list: 1 }, (text) => text.slice(1))],
    ['null inside', (at) => reseal(at, { list: 1 }, () => 'null')],
    ['sealed with the key of another vault', foreign],
    ['of another vault with the same key', elsewhere],
    ['a link to a good one', linked],
    ['a pipe', piped],
  ])('%s costs nothing but time', async (what, spoil) => {
    const { at } = await indexed();
    await spoil(at);
    if (what !== 'of another vault with the same key') expect(await textOf(at)).toBe('[]');
    const afresh = await listedAfresh(at);
    expect(await listed(at)).toEqual(afresh);
    expect(await textOf(at)).toContain(afresh[0]!.title);
    expect(lstatSync(indexOf(at)).isFile()).toBe(true);
    expect(lstatSync(indexOf(at)).size).toBeLessThan(1024 * 1024);
    expect(tempsIn(at)).toEqual([]);
    expect([what, await listed(at)]).toEqual([what, afresh]);
  });

  it('a directory is left alone, and leaves no other file', async () => {
    const { at } = await indexed();
    rmSync(indexOf(at));
    mkdirSync(indexOf(at));
    expect(await listed(at)).toEqual(await listedAfresh(at));
    expect(lstatSync(indexOf(at)).isDirectory()).toBe(true);
    expect(tempsIn(at)).toEqual([]);
  });

  it('older than its files lists changed files as they are', async () => {
    const { at, fileIds } = await indexed();
    const stale = readFileSync(indexOf(at));
    await using sessions = await at.open();
    const session = await sessions.resume((await sessions.list()).find(({ fileId }) => fileId === fileIds[4])!);
    await session.append(user('one more'));
    await session.close();
    rmSync(at.path(fileIds[5]!));
    const swapped = readFileSync(at.path(fileIds[6]!));
    copyFileSync(at.path(fileIds[7]!), at.path(fileIds[6]!));
    writeFileSync(indexOf(at), stale);
    const afresh = await listedAfresh(at);
    expect(await listed(at)).toEqual(afresh);
    expect(afresh.find(({ fileId }) => fileId === fileIds[4])).toMatchObject({ messages: 3 });
    expect(afresh.find(({ fileId }) => fileId === fileIds[6])).toMatchObject({ unreadable: { code: 'UNAUTHENTIC' } });
    writeFileSync(at.path(fileIds[6]!), swapped);
    expect(await listed(at)).toEqual(await listedAfresh(at));
  });

  it('older than a file whose size and time were restored lists it as it is', async (context) => {
    requirePosix(context);
    const { at, fileIds } = await indexed();
    const path = at.path(fileIds[6]!);
    const reference = join(temporaryFolder(), 'as-it-was');
    execFileSync('touch', ['-r', path, reference]);
    const { mtimeMs, size, ino } = lstatSync(path);
    const bytes = readFileSync(path);
    bytes[HEADER] = 0xff;
    writeFileSync(path, bytes);
    execFileSync('touch', ['-r', reference, path]);
    expect(lstatSync(path)).toMatchObject({ mtimeMs, size, ino });
    const row = (await listed(at)).find(({ fileId }) => fileId === fileIds[6]);
    expect(row).toMatchObject({ unreadable: { code: 'UNAUTHENTIC' } });
  });
});

describe('an index that cannot be written', () => {
  it('on a full disk leaves no file and no word', async (context) => {
    const disk = smallDisk(context, '1m');
    const { at } = await filled(home(join(disk.path, 'data')));
    await settle(at);
    fill(join(disk.path, 'filler'));
    const afresh = await listedAfresh(at);
    expect(await listed(at)).toEqual(afresh);
    expect(tempsIn(at)).toEqual([]);
    expect(lstatSync(indexOf(at), { throwIfNoEntry: false })).toBeUndefined();
    rmSync(join(disk.path, 'filler'));
    expect(await listed(at)).toEqual(afresh);
    expect(lstatSync(indexOf(at)).size).toBeGreaterThan(0);
  });

  it('on a read-only disk is not needed', async (context) => {
    const disk = smallDisk(context, '1m');
    const { at } = await filled(home(join(disk.path, 'data')));
    await settle(at);
    disk.remount('ro');
    expect(await listed(at)).toEqual(await listedAfresh(at));
    expect(lstatSync(indexOf(at), { throwIfNoEntry: false })).toBeUndefined();
  });
});

/** Fills a disk to the last byte by writing zeros into a file. */
function fill(path: string): void {
  for (let size = 64 * 1024; size > 0; size = Math.floor(size / 2)) {
    try {
      for (;;) writeFileSync(path, Buffer.alloc(size), { flag: 'a' });
    } catch {
      // whatever fitted is written; a smaller piece may still fit
    }
  }
}

function patch(at: Home, offset: number, byte: number): void {
  const bytes = readFileSync(indexOf(at));
  bytes[offset] = byte;
  writeFileSync(indexOf(at), bytes);
}

/** Reseals an authentic index with another summary, and with its texts changed. */
async function reseal(at: Home, summary: object | undefined, change = (text: string): string => text): Promise<void> {
  const key = await keyOf(at);
  const { header, segments } = openExpected(indexOf(at), { kind: 'index', fileId: undefined }, key);
  const { unpackSegment } = await import('../../../src/envelope/segment.ts');
  const changed = segments.map((segment, at) =>
    at === 2 ? segment : packSegment(Buffer.from(change(unpackSegment(segment).toString()))),
  );
  const bytes = encodeHeader(header);
  const content = { summary: Buffer.from(summary ? JSON.stringify(summary) : 'no'), segments: changed };
  writeFileSync(indexOf(at), Buffer.concat([bytes, sealFrame(key, firstLink(bytes), content).bytes]));
}

async function foreign(at: Home): Promise<void> {
  const { at: other } = await indexed();
  copyFileSync(indexOf(other), indexOf(at));
}

/** Replaces the index with one whose rows name the same files, in states that they never had. */
async function elsewhere(at: Home): Promise<void> {
  const directory = join(temporaryFolder(), 'copy');
  execFileSync('cp', ['-a', at.directory, directory]);
  const copy = home(directory, at.keyring);
  rmSync(indexOf(copy));
  await using sessions = await copy.open();
  for (const { fileId } of (await sessions.list()).slice(0, 3)) writeFileSync(copy.path(fileId), 'damaged');
  await begin(sessions).append(user('only there'));
  await settle(copy);
  await listed(copy);
  copyFileSync(indexOf(copy), indexOf(at));
}

function linked(at: Home): void {
  const target = join(temporaryFolder(), 'index');
  copyFileSync(indexOf(at), target);
  rmSync(indexOf(at));
  symlinkSync(target, indexOf(at));
}

function piped(at: Home): void {
  rmSync(indexOf(at));
  execFileSync('mkfifo', [indexOf(at)]);
}
