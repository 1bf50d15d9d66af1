import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { Rows } from '../../../src/vault/list/columns.ts';
import { Look } from '../../../src/vault/list/look.ts';
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
  titleOf,
} from '../../support/indexed.ts';
import { begin, type Home, user } from '../../support/vault.ts';

const large = 'a line of a session that is too large to rewrite at every step\n'.repeat(40_000);

describe('the index of a list', () => {
  it('gives the same list as the files, whatever they are', async () => {
    const { at, fileIds } = await filled();
    const { held, files } = await furnish(at, fileIds);
    await settle(at);
    const afresh = await listedAfresh(at);
    const get = vi.spyOn(Rows.prototype, 'get');
    expect(await listed(at)).toEqual(afresh);
    expect(get.mock.results.filter(({ value }) => value !== undefined)).toEqual([]);
    expect(existsSync(indexOf(at))).toBe(true);
    expect(await listed(at)).toEqual(afresh);
    expect(get.mock.results.filter(({ value }) => value !== undefined).length).toBeGreaterThanOrEqual(ENOUGH);
    const found = files.map((fileId) => afresh.find((row) => row.fileId === fileId));
    expect(found).toMatchObject([
      { unreadable: { code: 'UNAUTHENTIC' } },
      { rolledBack: expect.stringContaining('older copy') },
      { torn: expect.stringContaining('cut off') },
      { archived: true, tags: ['a', 'b'], name: 'named' },
    ]);
    expect(afresh.filter(({ kind }) => kind === 'snapshot')).toHaveLength(1);
    expect(afresh.filter((row) => row.held !== undefined)).toHaveLength(1);
    await held.close();
    get.mockRestore();
  });

  it('contains nothing in the clear', async () => {
    const { at } = await indexed();
    expect(await textOf(at)).toContain(titleOf(7));
    const bytes = readFileSync(indexOf(at));
    for (const text of [titleOf(7), '/work/project-7', 'demo/echo', '2026-01-01'])
      expect(bytes.includes(text)).toBe(false);
    expect(statSync(indexOf(at)).mode & 0o777).toBe(0o600);
    expect(tempsIn(at)).toEqual([]);
  });

  it('is rewritten for many new files, but not for few', async () => {
    const { at } = await indexed();
    const before = readFileSync(indexOf(at));
    await filled(at, 20);
    await settle(at);
    expect(await listed(at)).toHaveLength(ENOUGH + 20);
    expect(readFileSync(indexOf(at))).toEqual(before);
    await filled(at, 20);
    await settle(at);
    expect(await listed(at)).toHaveLength(ENOUGH + 40);
    expect(readFileSync(indexOf(at))).not.toEqual(before);
  });

  it('has no row of a file that may still change under the same state', async () => {
    const { at } = await filled();
    await settle(at);
    const [young = ''] = at.files();
    const { place, keys, index } = await partsOf(at);
    writeFileSync(at.path(young), readFileSync(at.path(young)));
    const look = new Look(place, keys, UNKNOWN);
    for (const fileId of at.files()) look.into(fileId, statSync(at.path(fileId)));
    index.update(keys, look, new Rows(), undefined);
    const { rows } = index.read(keys);
    expect(rows.size).toBe(ENOUGH - 1);
    expect(rows.has(young)).toBe(false);
  });

  it('is not written by a listing that must change nothing', async () => {
    const { at } = await filled();
    await settle(at);
    expect(await listedAfresh(at)).toHaveLength(ENOUGH);
    expect(existsSync(indexOf(at))).toBe(false);
  });

  it('does not prevent comparison with a mark that was raised later', async () => {
    const { at, fileIds } = await indexed();
    const { seen, keys } = await partsOf(at);
    const [fileId = ''] = fileIds;
    const mark = seen.read(keys).lines.find(fileId)!;
    seen.record(keys, new Map([[fileId, { ...mark, generation: mark.generation + 1n }]]));
    const rows = await listed(at);
    expect(rows.filter(({ rolledBack }) => rolledBack !== undefined)).toMatchObject([{ fileId }]);
    expect(await listedAfresh(at)).toEqual(rows);
  });

  it('does not hide that something else removed a file', async () => {
    const { at, fileIds } = await indexed();
    rmSync(at.path(fileIds[3]!));
    await using sessions = await at.open();
    expect(await sessions.list()).toHaveLength(ENOUGH - 1);
    expect(sessions.upkeep.seen).toEqual({ state: 'good', removed: [fileIds[3]] });
    expect(await textOf(at)).not.toContain(fileIds[3]);
    await sessions.list();
    expect(sessions.upkeep.seen).toEqual({ state: 'good', removed: [fileIds[3]] });
  });

  it.each<[string, (at: Home) => void]>([
    ['nothing', () => undefined],
    ['a file that is removed', (at) => rmSync(at.path(at.files()[0]!))],
    ['a file that is overwritten', (at) => writeFileSync(at.path(at.files()[0]!), 'other')],
    ['a rotation that begins', rotating],
  ])('is dropped after %s during its write', async (what, change) => {
    const { at } = await filled();
    await settle(at);
    const { place, keys, index } = await partsOf(at);
    const look = new Look(place, keys, UNKNOWN);
    for (const fileId of at.files()) look.into(fileId, statSync(at.path(fileId)));
    const kept = look.kept();
    vi.spyOn(look, 'kept').mockImplementation(() => {
      change(at);
      return kept;
    });
    index.update(keys, look, new Rows(), undefined);
    expect(existsSync(indexOf(at))).toBe(what === 'nothing');
  });

  it('is not written with a key that a rotation is replacing', async () => {
    const { at } = await filled();
    rotating(at);
    await settle(at);
    const { listing, keys } = await partsOf(at);
    expect((await listing.list(keys)).listed).toHaveLength(ENOUGH);
    expect(existsSync(indexOf(at))).toBe(false);
  });
});

/** What a look starts with if nothing is known. */
const UNKNOWN = { rows: new Rows(), known: new Map(), marks: new Map(), readMarks: () => new Map() };

/** Starts a rotation, up to the point at which vault.json names both keys. */
function rotating({ directory }: Home): void {
  const path = join(directory, 'vault.json');
  const { key, ...file } = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  writeFileSync(path, JSON.stringify({ ...file, key, retiring: 'a'.repeat(32) }));
}

/**
 * Adds one of everything that a list can show to a vault; returns the file ids of those that
 * nothing else distinguishes.
 */
async function furnish(
  at: Home,
  fileIds: readonly string[],
): Promise<{ held: { close(): Promise<void> }; files: string[] }> {
  const sessions = await at.open();
  const held = begin(sessions);
  await held.append(user('one that is held'));
  await held.save('kept');
  const many = begin(sessions);
  for (const text of [large, 'two', 'three', 'four', 'five']) await many.append(user(text));
  const torn = at.path(many.fileId!);
  const whole = readFileSync(torn);
  await many.close();
  writeFileSync(torn, whole.subarray(0, -10));
  const marked = begin(sessions);
  await marked.append(user('one that is marked'), { type: 'name', name: 'named' }, { type: 'archive', archived: true });
  await marked.append({ type: 'tags', tags: ['a', 'b'] });
  await marked.close();
  const older = begin(sessions);
  await older.append(user('one'));
  const before = readFileSync(at.path(older.fileId!));
  await older.append(user('two'));
  await older.close();
  writeFileSync(at.path(older.fileId!), before);
  writeFileSync(at.path(fileIds[5]!), 'nothing of ours');
  return { held: sessions, files: [fileIds[5]!, older.fileId!, many.fileId!, marked.fileId!] };
}
