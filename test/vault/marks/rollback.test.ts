import { copyFileSync, existsSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { firstLink } from '../../../src/envelope/chain.ts';
import { encodeHeader } from '../../../src/envelope/format.ts';
import { sealFrame } from '../../../src/envelope/seal.ts';
import { VaultDirectory } from '../../../src/vault/directory.ts';
import { openSealedFile } from '../../../src/vault/file/open.ts';
import type { RollbackMark } from '../../../src/vault/file/sealed-file.ts';
import { Listing } from '../../../src/vault/list/listing.ts';
import { type RollbackMarks, Seen } from '../../../src/vault/marks/seen.ts';
import { MarkLines, packMarks } from '../../../src/vault/marks/seen-lines.ts';
import { headerOf, keyOf, marksOf, resumed, rowOf, seenOf, written } from '../../support/marks.ts';
import { begin, crashed, type Home, home, texts, user } from '../../support/vault.ts';

const large = 'a line of a session that is too large to rewrite at every step\n'.repeat(4000);

describe('a sealed file', () => {
  it('of an older generation is refused, can be read, and is the newest again once accepted and saved', async () => {
    const at = home();
    const fileId = await written(at, 'one');
    const older = readFileSync(at.path(fileId));
    await resumed(at, 'two');
    const { generation } = headerOf(at, fileId);
    writeFileSync(at.path(fileId), older);

    await using sessions = await at.open();
    const row = await rowOf(sessions, fileId);
    const phrase = `found generation ${headerOf(at, fileId).generation}, last seen ${generation}`;
    expect(row.rolledBack).toContain(phrase);
    await expect(sessions.resume(row)).rejects.toMatchObject({
      code: 'ROLLED_BACK',
      message: expect.stringContaining(phrase),
    });
    const recorded = await sessions.read({ ...row, rolledBack: undefined });
    expect(recorded.row.rolledBack).toContain(phrase);
    expect(texts(recorded)).toEqual(['one']);

    await (await sessions.resume(row, { acceptOlder: true })).close();
    expect((await rowOf(sessions, fileId)).rolledBack).toContain(phrase);

    const session = await sessions.resume(row, { acceptOlder: true });
    await session.append(user('three'));
    expect(headerOf(at, fileId).generation).toBe(generation + 1n);
    expect((await rowOf(sessions, fileId)).rolledBack).toBeUndefined();
    await session.close();
    expect(texts(await sessions.read(await rowOf(sessions, fileId)))).toEqual(['one', 'three']);
  });

  it('newer than its mark raises no alarm', async () => {
    const at = home();
    const fileId = await written(at, 'one');
    const sessions = await at.open();
    const session = await sessions.resume(await rowOf(sessions, fileId));
    await session.append(user('two'));
    await using other = await crashed(at).open();
    const row = await rowOf(other, fileId);
    expect(row.rolledBack).toBeUndefined();
    expect(texts(await other.resume(row))).toEqual(['one', 'two']);
    await sessions.close();
  });

  it('cut off at a frame is detected up to its mark, and not after it', async () => {
    const at = home();
    const sessions = await at.open();
    const session = begin(sessions);
    const path = (): string => at.path(session.fileId!);
    await session.append(user(large));
    await session.append(user('two'));
    const two = readFileSync(path());
    await session.append(user('three'));
    const three = readFileSync(path());
    await session.save('marks three frames of it');
    await session.append(user('four'));
    const left = crashed(at);
    await sessions.close();

    writeFileSync(left.path(session.fileId!), three);
    await using other = await left.open();
    expect((await rowOf(other, session.fileId!)).rolledBack).toBeUndefined();
    writeFileSync(left.path(session.fileId!), two);
    const row = await rowOf(other, session.fileId!);
    expect(row.rolledBack).toBe('steps were cut off its end: found 2 of its frames, last seen 3');
    await expect(other.resume(row)).rejects.toMatchObject({ code: 'ROLLED_BACK' });

    const resumedAs = await other.resume(row, { acceptOlder: true });
    await resumedAs.append(user('five'));
    expect(headerOf(left, session.fileId!).generation).toBe(2n);
    expect((await rowOf(other, session.fileId!)).rolledBack).toBeUndefined();
  });

  it('of the same generation from another copy of the vault is detected', async () => {
    const at = home();
    const fileId = await written(at, 'one');
    const twin = crashed(at);
    await resumed(at, 'two here');
    await resumed(twin, 'two there');
    expect(headerOf(twin, fileId)).toEqual(headerOf(at, fileId));
    copyFileSync(twin.path(fileId), at.path(fileId));
    await using sessions = await at.open();
    const row = await rowOf(sessions, fileId);
    expect(row.rolledBack).toMatch(/another file was put in its place/);
    const session = await sessions.resume(row, { acceptOlder: true });
    await session.append(user('three'));
    await session.close();
    expect((await rowOf(sessions, fileId)).rolledBack).toBeUndefined();
  });

  it('of a snapshot is compared with its mark too', async () => {
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('one'));
    await session.save('kept');
    const { fileId } = (await sessions.list()).find(({ kind }) => kind === 'snapshot')!;
    const key = await keyOf(at);
    const { summary, segments } = openSealedFile(at.path(fileId), fileId, key);
    const header = encodeHeader({ kind: 'session', keyId: key.id, fileId, generation: 1n });
    writeFileSync(
      at.path(fileId),
      Buffer.concat([header, sealFrame(key, firstLink(header), { summary, segments }).bytes]),
    );
    const row = await rowOf(sessions, fileId);
    expect(row).toMatchObject({ kind: 'snapshot', rolledBack: expect.stringContaining('another file') });
    await expect(sessions.resume(row)).rejects.toMatchObject({ code: 'ROLLED_BACK' });
    expect(texts(await sessions.resume(row, { acceptOlder: true }))).toEqual(['one']);
  });

  it('that something else removed is reported until it is forgotten', async () => {
    const at = home();
    const kept = await written(at, 'one');
    const gone = await written(at, 'two');
    unlinkSync(at.path(gone));
    await using sessions = await at.open();
    expect(await sessions.list()).toHaveLength(1);
    expect(sessions.upkeep.seen).toEqual({ state: 'good', removed: [gone] });
    unlinkSync(at.path(kept));
    await sessions.list();
    expect(sessions.upkeep.seen?.removed.toSorted()).toEqual([kept, gone].sort());
    await sessions.upkeep.forget([kept, gone]);
    await sessions.list();
    expect(sessions.upkeep.seen).toEqual({ state: 'good', removed: [] });
  });

  it('that coffer deletes takes its mark with it', async () => {
    const at = home();
    const fileId = await written(at, 'one');
    await using sessions = await at.open();
    await sessions.delete(await rowOf(sessions, fileId));
    expect((await marksOf(at)).marks.size).toBe(0);
    expect(await sessions.list()).toEqual([]);
    expect(sessions.upkeep.seen).toEqual({ state: 'good', removed: [] });
    expect(existsSync(seenOf(at))).toBe(true);
  });
});

describe('a list made while another process changes the vault', () => {
  const mark: RollbackMark = { generation: 9n, frames: 1, link: Buffer.alloc(32) };

  it('does not report a file as removed if its mark went first', async () => {
    const at = home();
    await written(at, 'one');
    const gone = new Map([['a'.repeat(32), mark]]);
    expect((await listed(at, gone, new Map())).removed).toEqual([]);
    expect((await listed(at, gone, gone)).removed).toEqual(['a'.repeat(32)]);
  });

  it('does not report marks as missing that existed before the first file', async () => {
    const at = home();
    await written(at, 'one');
    expect((await listed(at, undefined, new Map())).state).toBe('good');
    expect((await listed(at, undefined, undefined)).state).toBe('missing');
  });

  it('does not compare a file with a mark that was written after the file was read', async () => {
    const at = home();
    const fileId = await written(at, 'one');
    const later = new Map([[fileId, mark]]);
    expect((await listed(at, new Map(), later)).rollbacks).toBe(0);
    expect((await listed(at, later, later)).rollbacks).toBe(1);
  });
});

/**
 * Returns the report of a list that finds the marks `before` at its start and `after` once it has
 * read the files; undefined means no `seen`.
 */
async function listed(
  at: Home,
  before: ReadonlyMap<string, RollbackMark> | undefined,
  after: ReadonlyMap<string, RollbackMark> | undefined,
): Promise<{ state: string; removed: readonly string[]; rollbacks: number }> {
  const place = new VaultDirectory(at.directory);
  const { header } = await marksOf(at);
  const none: RollbackMarks = { lines: new MarkLines([]) };
  const reads = [before, after].map((marks) => (marks ? { lines: new MarkLines(packMarks(marks)), header } : none));
  class Changing extends Seen {
    override read(): RollbackMarks {
      return reads.shift() ?? none;
    }
  }
  const keys = { key: await keyOf(at), backend: 'memory', provider: 'memory', how: 'opened', named: {} } as const;
  const { listed, seen } = await new Listing(place, new Changing(place)).list(keys);
  const rollbacks = listed.filter((entry) => 'rollback' in entry && entry.rollback !== undefined).length;
  return { state: seen.state, removed: seen.removed, rollbacks };
}
