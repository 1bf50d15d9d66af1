import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { firstLink } from '../../../src/envelope/chain.ts';
import { encodeHeader } from '../../../src/envelope/format.ts';
import { VaultKey } from '../../../src/envelope/key.ts';
import { sealFrame } from '../../../src/envelope/seal.ts';
import { packSegment } from '../../../src/envelope/segment.ts';
import { FileLock } from '../../../src/files/lock.ts';
import type { Session } from '../../../src/session/session.ts';
import { VaultDirectory } from '../../../src/vault/directory.ts';
import { openHead } from '../../../src/vault/file/open.ts';
import type { RollbackMark } from '../../../src/vault/file/sealed-file.ts';
import { readVaultFile } from '../../../src/vault/keys/record/vault-file.ts';
import { rollbackOf } from '../../../src/vault/marks/rollback.ts';
import { Seen } from '../../../src/vault/marks/seen.ts';
import { headerOf, keyOf, marksOf, resumed, rowOf, seenOf, written } from '../../support/marks.ts';
import { begin, crashed, home, reply, temporaryFolder, user } from '../../support/vault.ts';

/** The fields of a vector that are used here. */
type Vector = Record<'key' | 'fileId' | 'file', string>;

const large = 'a line of a session that is too large to rewrite at every step\n'.repeat(4000);

describe('seen', () => {
  it('exists before the first file of a vault, so that a process killed then causes no alarm', async () => {
    const at = home();
    await using sessions = await at.open();
    await begin(sessions).append(user('one'));
    const left = crashed(at);
    expect((await marksOf(left)).marks.size).toBe(0);
    await using other = await left.open();
    expect(await other.list()).toMatchObject([{ rolledBack: undefined }]);
    expect(other.upkeep.seen).toEqual({ state: 'good', removed: [] });
  });

  it('is not written by a step', async () => {
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('one'));
    const before = readFileSync(seenOf(at));
    await session.append(user('two'), reply('three'));
    await session.append(user(large));
    await session.append(user('four'));
    expect(readFileSync(seenOf(at))).toEqual(before);
  });

  it('marks a session when it is closed, and keeps its own file id through overwrites', async () => {
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('one'));
    const first = (await marksOf(at)).header;
    await session.append(user('two'));
    await session.close();
    const { header, marks } = await marksOf(at);
    expect(header).toMatchObject({ kind: 'seen', fileId: first?.fileId, generation: (first?.generation ?? 0n) + 1n });
    expect(marks.get(session.fileId!)).toMatchObject({
      generation: headerOf(at, session.fileId!).generation,
      frames: 1,
    });
    expect(statSync(seenOf(at)).mode & 0o777).toBe(0o600);
  });

  it('marks a snapshot, and its session with all frames', async () => {
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    for (const text of [large, 'two', 'three']) await session.append(user(text));
    await session.save('kept');
    const { marks } = await marksOf(at);
    const snapshot = at.files().find((name) => name !== session.fileId);
    expect(marks.get(snapshot!)).toMatchObject({ generation: 1n, frames: 1 });
    expect(marks.get(session.fileId!)).toMatchObject({ generation: 1n, frames: 3 });
  });

  it('marks a final save, unless another process holds the vault lock', async () => {
    const at = home();
    const sessions = await at.open();
    const [one, two] = [begin(sessions), begin(sessions)];
    for (const session of [one, two]) await session.append(user('one'));
    one.finalSave();
    expect([...(await marksOf(at)).marks.keys()]).toEqual([one.fileId]);
    using _turn = FileLock.tryTake(join(at.directory, 'locks', 'vault'));
    two.finalSave();
    expect([...(await marksOf(at)).marks.keys()]).toEqual([one.fileId]);
  });

  it('marks a large session when it is folded, without waiting for the vault lock', async () => {
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    await session.append(user(large));
    const generation = (): bigint => headerOf(at, session.fileId!).generation;
    const fold = async (): Promise<void> => {
      const before = generation();
      for (let count = 0; generation() === before && count < 100; count++) await session.append(user(`step ${count}`));
      expect(generation()).toBe(before + 1n);
    };
    expect((await marksOf(at)).marks.size).toBe(0);
    await fold();
    expect((await marksOf(at)).marks.get(session.fileId!)).toMatchObject({ generation: 2n, frames: 1 });
    using _turn = FileLock.tryTake(join(at.directory, 'locks', 'vault'));
    await fold();
    expect((await marksOf(at)).marks.get(session.fileId!)).toMatchObject({ generation: 2n });
  });

  it('is written only if something changes', async () => {
    const at = home();
    const fileId = await written(at, 'one');
    const before = readFileSync(seenOf(at));
    await using sessions = await at.open();
    await (await sessions.resume(await sessions.find('last'))).close();
    const mark = (await marksOf(at)).marks.get(fileId)!;
    const seen = new Seen(new VaultDirectory(at.directory));
    seen.record(
      { key: await keyOf(at) },
      new Map([[fileId, { ...mark, generation: mark.generation - 1n, frames: 9 }]]),
    );
    expect(readFileSync(seenOf(at))).toEqual(before);
    seen.record({ key: await keyOf(at) }, new Map([[fileId, { ...mark, frames: 2 }]]));
    expect((await marksOf(at)).marks.get(fileId)).toEqual({ ...mark, frames: 2 });
  });

  it('is read once while unchanged, and again for other keys', async () => {
    const at = home();
    await written(at, 'one');
    const seen = new Seen(new VaultDirectory(at.directory));
    const key = await keyOf(at);
    const young = seen.read({ key });
    expect(seen.read({ key })).not.toBe(young);
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 1000 });
    onTestFinished(() => void vi.useRealTimers());
    const settled = seen.read({ key });
    expect(settled.lines.marks).toEqual(young.lines.marks);
    expect(settled.header).toEqual(young.header);
    expect(seen.read({ key })).toBe(settled);
    expect(seen.read({ key: VaultKey.generate() })).toMatchObject({ error: { code: 'KEY_OTHER' } });
    seen.drop({ key }, at.files());
    expect(seen.read({ key }).lines.marks.size).toBe(0);
  });

  it('loses no mark when several processes write at once', async () => {
    const at = home();
    const vaults = await Promise.all(Array.from({ length: 4 }, () => at.open()));
    const open: Session[] = [];
    for (const vault of vaults) {
      for (let count = 0; count < 3; count++) {
        const session = begin(vault);
        await session.append(user('one'));
        open.push(session);
      }
    }
    await Promise.all(open.map((session) => session.close()));
    expect([...(await marksOf(at)).marks.keys()].sort()).toEqual(at.files().sort());
  });

  it('is read with a retiring key, and written with the new one', async () => {
    const at = home();
    const fileId = await written(at, 'one');
    const old = await keyOf(at);
    const key = VaultKey.generate();
    const seen = new Seen(new VaultDirectory(at.directory));
    const { marks } = seen.read({ key, retiring: old }).lines;
    expect([...marks.keys()]).toEqual([fileId]);
    seen.record({ key, retiring: old }, new Map());
    expect(seen.trouble).toBeUndefined();
    expect(seen.read({ key }).header?.keyId).toBe(key.id);
    expect(seen.read({ key }).lines.marks).toEqual(marks);
  });

  it('prevents a second key if it is the only sealed file left', async () => {
    const at = home();
    const fileId = await written(at, 'one');
    const { key } = readVaultFile(at.directory)!;
    unlinkSync(at.path(fileId));
    rmSync(join(at.directory, 'vault.json'));
    await using sessions = await at.open();
    expect(sessions.keys.status).toMatchObject({ keyId: key, how: 'opened' });
    expect(sessions.keys.record.distrust).toMatchObject({ code: 'UNAUTHENTIC' });
  });
});

describe('a seen that is', () => {
  it('missing is reported, and rebuilt from the current files by the next new session', async () => {
    const at = home();
    const fileId = await written(at, 'one');
    const older = readFileSync(at.path(fileId));
    await resumed(at, 'two');
    rmSync(seenOf(at));
    const sessions = await at.open();
    await sessions.list();
    expect(sessions.upkeep.seen).toEqual({ state: 'missing', removed: [] });
    const held = begin(sessions);
    await held.append(user('three'));
    await sessions.list();
    expect(sessions.upkeep.seen).toEqual({ state: 'good', removed: [] });
    expect([...(await marksOf(at)).marks.keys()]).toEqual([fileId]);
    writeFileSync(at.path(fileId), older);
    expect(await rowOf(sessions, fileId)).toMatchObject({ rolledBack: expect.stringContaining('older copy') });
    await sessions.close();
  });

  it('rebuilt leaves out files in use, and marks only first frames, since later ones may not be flushed', async () => {
    const at = home();
    const [one, two] = [await at.open(), await at.open()];
    const held = begin(one);
    await held.append(user('one'));
    const ended = begin(one);
    for (const text of [large, 'two', 'three']) await ended.append(user(text));
    ended.finalSave();
    rmSync(seenOf(at));
    await begin(two).save('kept');
    const { marks } = await marksOf(at);
    expect(marks.has(held.fileId!)).toBe(false);
    expect(marks.get(ended.fileId!)).toMatchObject({ generation: 1n, frames: 1 });
    await one.close();
    expect((await marksOf(at)).marks.has(held.fileId!)).toBe(true);
  });

  it.each<[string, (bytes: Buffer) => Buffer]>([
    ['flipped in one bit', (bytes) => flipped(bytes, bytes.length - 20)],
    ['cut off', (bytes) => bytes.subarray(0, 80)],
    ['empty', () => Buffer.alloc(0)],
  ])('%s is reported, and kept in quarantine by the next write', async (_, change) => {
    const at = home();
    const fileId = await written(at, 'one');
    const bytes = change(readFileSync(seenOf(at)));
    writeFileSync(seenOf(at), bytes);
    const sessions = await at.open();
    expect(await sessions.list()).toMatchObject([{ rolledBack: undefined }]);
    expect(sessions.upkeep.seen).toMatchObject({ state: 'unreadable', error: { code: 'UNAUTHENTIC' } });
    expect(readFileSync(seenOf(at))).toEqual(bytes);
    await begin(sessions).save('kept');
    expect(sessions.upkeep.unmarked).toBeUndefined();
    await sessions.list();
    expect(sessions.upkeep.seen).toEqual({ state: 'good', removed: [] });
    expect((await marksOf(at)).marks.has(fileId)).toBe(true);
    const [kept, note] = readdirSync(join(at.directory, 'quarantine')).sort();
    expect(kept).toMatch(/^seen\.damaged\./);
    expect(note).toBe(`${kept}.txt`);
    expect(readFileSync(join(at.directory, 'quarantine', kept!))).toEqual(bytes);
  });

  it.each<[string, string, (bytes: Buffer) => Buffer]>([
    ['made by a newer version', 'NEWER_VERSION', (bytes) => flipped(bytes, 8)],
    ['sealed with another key', 'KEY_OTHER', (bytes) => flipped(bytes, 13)],
  ])('%s is reported and left as it is, while saves continue', async (_, code, change) => {
    const at = home();
    await written(at, 'one');
    const bytes = change(readFileSync(seenOf(at)));
    writeFileSync(seenOf(at), bytes);
    const sessions = await at.open();
    await sessions.list();
    expect(sessions.upkeep.seen).toMatchObject({ state: 'unreadable', error: { code } });
    const session = begin(sessions);
    await session.append(user('two'));
    await session.save('kept');
    await session.close();
    expect(sessions.upkeep.unmarked).toMatchObject({ code });
    expect(readFileSync(seenOf(at))).toEqual(bytes);
    expect(await sessions.list()).toHaveLength(3);
  });

  it('a directory is reported, and makes no save fail', async () => {
    const at = home();
    await written(at, 'one');
    rmSync(seenOf(at));
    mkdirSync(seenOf(at));
    await using sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('two'));
    await session.close();
    expect(session.unsaved).toBeUndefined();
    expect(sessions.upkeep.unmarked).toMatchObject({ code: 'NOT_SAVED' });
    expect(await sessions.list()).toHaveLength(2);
  });

  it.each<[string, string]>([
    ['a line that is not JSON', 'nonsense\n'],
    ['a mark without a link', JSON.stringify({ file: 'a'.repeat(32), generation: '1', frames: 1 })],
    ['a generation above 64 bits', line({ generation: '18446744073709551616' })],
    ['a generation that is a number', line({ generation: 1 })],
    ['no frames', line({ frames: 0 })],
    ['a file id that is a path', line({ file: `../${'a'.repeat(29)}` })],
    ['a short link', line({ link: 'ab' })],
  ])('authentic but has %s is rejected', async (_, text) => {
    const at = home();
    await written(at, 'one');
    const key = await keyOf(at);
    const header = encodeHeader({ kind: 'seen', keyId: key.id, fileId: 'b'.repeat(32), generation: 7n });
    const content = { summary: Buffer.from('{}'), segments: [packSegment(Buffer.from(text))] };
    writeFileSync(seenOf(at), Buffer.concat([header, sealFrame(key, firstLink(header), content).bytes]));
    expect(await marksOf(at)).toMatchObject({ error: { code: 'UNAUTHENTIC' } });
  });

  it('written by another program after docs/format.md is read, and its mark is used', () => {
    const [seen, three] = ['seen-file', 'three-frames'].map(
      (name) =>
        JSON.parse(readFileSync(join(import.meta.dirname, '../../vectors/opened', `${name}.json`), 'utf8')) as Vector,
    ) as [Vector, Vector];
    const directory = temporaryFolder();
    writeFileSync(join(directory, 'seen'), Buffer.from(seen.file, 'base64'));
    writeFileSync(join(directory, three.fileId), Buffer.from(three.file, 'base64'));
    const key = VaultKey.from(Buffer.from(seen.key, 'hex'));
    const { header, lines } = new Seen(new VaultDirectory(directory)).read({ key });
    const { marks } = lines;
    expect(header).toMatchObject({ kind: 'seen', fileId: seen.fileId, generation: 12n });
    expect([...marks.values()].map(({ generation }) => generation)).toEqual([7n, 2n ** 64n - 1n]);
    const head = openHead(join(directory, three.fileId), three.fileId, VaultKey.from(Buffer.from(three.key, 'hex')));
    expect(head.links).toHaveLength(3);
    expect(rollbackOf(marks.get(three.fileId), head)).toBeUndefined();
    expect(rollbackOf(marks.get(three.fileId), { ...head, links: head.links.slice(0, 1) })).toMatchObject({
      how: 'cut',
    });
  });

  it('authentic has all the fields that coffer writes', async () => {
    const at = home();
    await written(at, 'one');
    const key = await keyOf(at);
    const header = encodeHeader({ kind: 'seen', keyId: key.id, fileId: 'b'.repeat(32), generation: 7n });
    const content = { summary: Buffer.from('{}'), segments: [packSegment(Buffer.from(line({})))] };
    writeFileSync(seenOf(at), Buffer.concat([header, sealFrame(key, firstLink(header), content).bytes]));
    const mark: RollbackMark = { generation: 1n, frames: 1, link: Buffer.alloc(32, 0xcc) };
    expect((await marksOf(at)).marks).toEqual(new Map([['a'.repeat(32), mark]]));
  });
});

function flipped(bytes: Buffer, offset: number): Buffer {
  const changed = Buffer.from(bytes);
  changed[offset]! ^= 1;
  return changed;
}

/** Returns a line of `seen` as coffer writes it, except for `changes`. */
function line(changes: object): string {
  const mark = { file: 'a'.repeat(32), generation: '1', frames: 1, link: 'c'.repeat(64), ...changes };
  return `${JSON.stringify(mark)}\n`;
}
