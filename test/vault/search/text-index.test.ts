import { copyFileSync, existsSync, statSync, utimesSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { FileState } from '../../../src/files/replace/cache.ts';
import { sought, TextFolder } from './text-folder.ts';

describe('the text index', () => {
  it('rules out the files that cannot have a text, and no others', async () => {
    const folder = new TextFolder();
    const [needle, hay, both] = ['a needle here', 'only hay', 'hay and needles'].map((text) => folder.put(text));
    await folder.keep();
    expect(await folder.ask('needle')).toEqual({ without: [hay], unknown: [] });
    expect(await folder.ask('hay')).toEqual({ without: [needle], unknown: [] });
    expect(await folder.ask('needles')).toEqual({ without: [needle, hay], unknown: [] });
    expect(await folder.ask('nowhere')).toEqual({ without: [needle, hay, both], unknown: [] });
    expect(statSync(folder.place.texts).mode & 0o777).toBe(0o600);
  });

  it('knows nothing before it is written, nor about a text without trigrams', async () => {
    const folder = new TextFolder();
    const fileId = folder.put('needle');
    expect(await folder.ask('hay')).toEqual({ without: [], unknown: [fileId] });
    await folder.keep();
    expect(await folder.ask('ha')).toEqual({ without: [], unknown: [] });
    expect(await folder.ask('\ud800hay')).toEqual({ without: [], unknown: [] });
  });

  it('looks up only some trigrams of a long text, spread over all of it', async () => {
    const folder = new TextFolder();
    const long = Array.from({ length: 400 }, (_, index) => String.fromCharCode(0x4e00 + index)).join('');
    const [has] = [folder.put(long), folder.put(long.slice(0, 200)), folder.put(long.slice(200))];
    await folder.keep();
    const { without } = await folder.ask(long);
    expect(without).toHaveLength(2);
    expect(without).not.toContain(has);
  });

  it('knows nothing about a changed file until that is added again', async () => {
    const folder = new TextFolder();
    const fileIds = Array.from({ length: 8 }, () => folder.put('only hay'));
    await folder.keep();
    const [changed, ...others] = fileIds;
    folder.put('a needle', 70_000, changed);
    expect(await folder.ask('needle')).toEqual({ without: others, unknown: [changed] });
    await folder.keep();
    expect(await folder.ask('needle')).toEqual({ without: others, unknown: [] });
  });

  it('adds changed files, and leaves the frames of unchanged ones byte for byte', async () => {
    const folder = new TextFolder();
    const fileIds = Array.from({ length: 40 }, (_, index) => folder.put(`hay ${index}`));
    await folder.keep();
    const before = folder.bytes;
    folder.gathered.length = 0;
    folder.put('a needle', 100_000, fileIds[7]);
    await folder.keep();
    expect(folder.gathered).toEqual([fileIds[7]]);
    expect(folder.bytes.subarray(0, before.length).equals(before)).toBe(true);
    expect((await folder.ask('needle')).without).toHaveLength(39);
  });

  it('joins frames that were added little by little, without gathering any file too often', async () => {
    const folder = new TextFolder();
    for (let round = 0; round < 24; round++) {
      folder.put(`needle ${round}.`);
      await folder.keep();
    }
    expect(folder.frames.length).toBeLessThan(7);
    expect(folder.gathered.length).toBeLessThan(24 * 5);
    expect((await folder.ask('needle 7.')).without).toHaveLength(23);
  });

  it('is rebuilt if less than half of it is current', async () => {
    const folder = new TextFolder();
    const fileIds = Array.from({ length: 20 }, (_, index) => folder.put(`hay ${index}`));
    await folder.keep();
    const before = folder.bytes;
    for (const fileId of fileIds.slice(0, 11)) folder.remove(fileId);
    folder.put('a needle');
    await folder.keep();
    expect(folder.frames).toHaveLength(1);
    expect(folder.bytes.subarray(0, 52)).not.toEqual(before.subarray(0, 52));
    expect((await folder.ask('needle')).without).toHaveLength(9);
  });

  it('is not written for a small amount of text', async () => {
    const folder = new TextFolder();
    const fileId = folder.put('needle', 1000);
    await folder.keep();
    expect(existsSync(folder.place.texts)).toBe(false);
    expect(folder.gathered).toEqual([]);
    expect(await folder.ask('hay')).toEqual({ without: [], unknown: [fileId] });
  });

  it('leaves out files that cannot be read, or that may change and keep their state', async () => {
    const folder = new TextFolder();
    const [good, unreadable, young] = [folder.put('hay'), folder.put('hay'), folder.put('hay')] as const;
    utimesSync(folder.place.path(young), Date.now() / 1000 + 3600, Date.now() / 1000 + 3600);
    folder.onGather = (fileId) => {
      if (fileId === unreadable) folder.said.delete(fileId);
    };
    await folder.keep();
    folder.said.set(unreadable, 'needle');
    expect(await folder.ask('needle')).toEqual({ without: [good], unknown: [young, unreadable] });
  });

  it('does not add a file that changes while it is read', async () => {
    const folder = new TextFolder();
    const [first, second] = [folder.put('hay'), folder.put('hay')] as const;
    folder.onGather = (fileId) => {
      if (fileId === second) folder.put('needle', 90_000, second);
    };
    await folder.keep();
    expect(await folder.ask('needle')).toEqual({ without: [first], unknown: [second] });
  });

  it('is not written if a covered file has changed since, so that nothing removed from it comes back', async () => {
    const folder = new TextFolder();
    Array.from({ length: 9 }, () => folder.put('hay'));
    await folder.keep();
    const before = folder.bytes;
    folder.gathered.length = 0;
    const [first, last] = [folder.put('a secret'), folder.put('hay')] as const;
    utimesSync(folder.place.path(first), 1e9, 1e9);
    folder.onGather = (fileId) => {
      if (fileId === last) folder.put('nothing', 90_000, first);
    };
    await folder.keep();
    expect(folder.gathered).toEqual([first, last]);
    expect(folder.bytes.equals(before)).toBe(true);
    expect(folder.names).toEqual(['texts']);
  });

  it('is removed if a covered file changes during the rename', async () => {
    const folder = new TextFolder();
    const fileId = folder.put('a secret');
    const path = folder.place.path.bind(folder.place);
    let isChanged = false;
    folder.place.path = (asked) => {
      const changes = !isChanged && existsSync(folder.place.texts);
      isChanged ||= changes;
      if (changes) folder.put('nothing', 90_000, asked);
      return path(asked);
    };
    await folder.keep();
    expect(statSync(path(fileId)).size).toBe(90_000);
    expect(folder.names).toEqual([]);
  });

  it('is not written back if something was removed in the meantime from a file that had changed since', async () => {
    const folder = new TextFolder();
    const [secret, ...others] = Array.from({ length: 9 }, () => folder.put('a secret'));
    await folder.keep();
    folder.put('a secret, and more', 101_000, secret);
    const added = folder.put('hay');
    folder.onGather = (fileId) => {
      if (fileId !== added) return;
      folder.place.dropCaches();
      folder.put('nothing', 90_000, secret);
      folder.place.dropCaches();
    };
    await folder.keep([added]);
    expect(folder.gathered).toContain(added);
    expect(folder.names).toEqual([]);
    expect((await folder.ask('needle')).unknown).toEqual([secret, ...others, added]);
  });

  it('is not written with a key that is being replaced, or is no longer the vault’s', async () => {
    const folder = new TextFolder();
    const fileId = folder.put('a secret');
    for (const other of [undefined, 'f'.repeat(32)]) {
      folder.onGather = () => folder.tellKey(other ?? folder.key.id, other === undefined ? 'f'.repeat(32) : undefined);
      await folder.keep();
      expect([folder.gathered.length > 0, folder.names]).toEqual([true, []]);
      folder.tellKey(folder.key.id);
    }
    const path = folder.place.path.bind(folder.place);
    let looks = Number.NEGATIVE_INFINITY;
    folder.onGather = () => {
      looks = 0;
    };
    folder.place.path = (asked) => {
      // Once after gathering, once before the rename: a rotation that begins there has dropped the
      // previous index.
      if (++looks === 2) folder.tellKey('f'.repeat(32), folder.key.id);
      return path(asked);
    };
    await folder.keep();
    folder.place.path = path;
    expect(looks).toBeGreaterThan(1);
    expect(folder.names).toEqual([]);
    expect((await folder.ask('secret')).unknown).toEqual([fileId]);
  });

  it('adds no more than some seconds’ worth, or everything if progress is reported', async () => {
    const folder = new TextFolder();
    const fileIds = Array.from({ length: 7 }, (_, index) => folder.put(`hay ${index}`, 20 * 2 ** 20));
    await folder.keep();
    expect(folder.gathered).toHaveLength(2);
    const seen: string[] = [];
    await folder.keep(fileIds, folder.index(), (done, total) => void seen.push(`${done} of ${total}`));
    expect(seen).toEqual([1, 2, 3, 4, 5].map((done) => `${done} of 5`));
    expect((await folder.ask('hay 3')).without).toHaveLength(6);
  });

  it('keeps full frames byte for byte, however small they are compared with what is new', async () => {
    const folder = new TextFolder();
    const many = Uint32Array.from({ length: 2_000_000 }, (_, index) => index);
    folder.gather = async (fileId) => {
      folder.gathered.push(fileId);
      return many;
    };
    const [first] = [folder.put('one'), folder.put('two')];
    await folder.keep();
    const [length = 0] = folder.frames;
    const before = folder.bytes;
    const others = [3, 4, 5].map((number) => folder.put(`${number}`, 1_000_000));
    await folder.keep();
    expect(folder.bytes.subarray(0, 52 + length).equals(before.subarray(0, 52 + length))).toBe(true);
    expect(folder.gathered.filter((fileId) => fileId === first || others.includes(fileId))).toHaveLength(4);
  });

  it('is written back without the files that were removed, and extended from there', async () => {
    const folder = new TextFolder();
    const old = Array.from({ length: 20 }, (_, index) => folder.put(`hay ${index}`));
    await folder.keep();
    const young = [folder.put('a secret'), folder.put('a needle')] as const;
    await folder.keep();
    const later = folder.put('more hay', 70_000);
    await folder.keep();
    expect(folder.frames).toHaveLength(3);
    const [secret, needle] = young;
    const state = statSync(folder.place.path(secret));
    const putBack = await folder.index().without([secret]);
    folder.remove(secret);
    folder.place.dropCaches();
    putBack();
    expect(folder.frames).toHaveLength(2);
    expect((await folder.index().lookUp([{ fileId: secret, state }], [0])).unknown).toEqual([secret]);
    expect(await folder.ask('hay 7')).toEqual({
      without: [...old.filter((_, at) => at !== 7), later],
      unknown: [needle],
    });
    await folder.keep();
    expect((await folder.ask('needle')).without).toHaveLength(21);
    const emptied = await folder.index().without([...old, needle, later]);
    folder.place.dropCaches();
    emptied();
    expect(folder.names).toEqual([]);
  });

  it('is not written back if something was removed from a file while the index was read, or after that', async () => {
    for (const when of ['meanwhile', 'behind that']) {
      const folder = new TextFolder();
      const [secret] = [folder.put('a secret'), folder.put('hay')];
      await folder.keep();
      const path = folder.place.path.bind(folder.place);
      const takeOut = (): void => {
        folder.place.path = path;
        folder.place.dropCaches();
        folder.put('nothing', 90_000, secret);
        folder.place.dropCaches();
      };
      if (when === 'meanwhile') {
        folder.place.path = (asked) => {
          takeOut();
          return path(asked);
        };
      }
      const putBack = await folder.index().without([]);
      if (when === 'behind that') takeOut();
      putBack();
      expect({ when, names: folder.names, path: folder.place.path === path }).toEqual({ when, names: [], path: true });
    }
  });

  it('throws on a bug, and is left as it was', async () => {
    const folder = new TextFolder();
    folder.put('needle');
    folder.gather = async () => {
      throw new TypeError('a bug');
    };
    await expect(folder.keep()).rejects.toThrow(TypeError);
    expect(folder.names).toEqual([]);
  });

  it('contains no word and no name in the clear', async () => {
    const folder = new TextFolder();
    const fileId = folder.put('xylophone');
    await folder.keep();
    const bytes = folder.bytes;
    for (const word of ['xylophone', 'xyl', 'lop', fileId, 'texts']) expect(bytes.includes(word)).toBe(false);
    expect(bytes.includes(Buffer.from(fileId, 'hex'))).toBe(false);
  });

  it('trusts the state that a file was listed in, and examines no file itself then', async () => {
    const folder = new TextFolder();
    const fileId = folder.put('hay');
    await folder.keep();
    const state = statSync(folder.place.path(fileId));
    const answers = async (given: FileState): Promise<string[]> => {
      const { without, unknown } = await folder.index().lookUp([{ fileId, state: given }], [1]);
      return [without.has(fileId) ? 'without' : '', ...unknown];
    };
    folder.remove(fileId);
    expect(await answers(state)).toEqual(['without']);
    for (const field of ['ino', 'size', 'mtimeMs', 'ctimeMs'] as const) {
      const { ino, size, mtimeMs, ctimeMs } = state;
      expect(await answers({ ino, size, mtimeMs, ctimeMs, [field]: state[field] + 1 })).toEqual(['', fileId]);
    }
  });

  it('is valid after two processes wrote it at the same time, one over the other', async () => {
    const folder = new TextFolder();
    const fileIds = Array.from({ length: 10 }, (_, index) => folder.put(index === 3 ? 'needle' : 'hay'));
    await Promise.all([folder.keep(fileIds.slice(0, 5)), folder.keep(fileIds)]);
    const { without, unknown } = await folder.ask('needle');
    expect(unknown.length === 0 ? without.length : [without.length, unknown.length]).toEqual(
      unknown.length === 0 ? 9 : [4, 5],
    );
  });

  it('rules out nothing wrongly when an older one is put back', async () => {
    const folder = new TextFolder();
    const fileIds = Array.from({ length: 6 }, () => folder.put('hay'));
    await folder.keep();
    copyFileSync(folder.place.texts, `${folder.place.root}/older`);
    for (const fileId of fileIds.slice(0, 3)) folder.put('needle', 120_000, fileId);
    await folder.keep();
    expect(await folder.ask('needle')).toEqual({ without: fileIds.slice(3), unknown: [] });
    copyFileSync(`${folder.place.root}/older`, folder.place.texts);
    expect(await folder.ask('needle')).toEqual({ without: fileIds.slice(3), unknown: fileIds.slice(0, 3) });
  });

  it('starts another frame for a file that does not fit, and leaves out one that fits no frame', async () => {
    const folder = new TextFolder();
    const many = Uint32Array.from({ length: 2_000_000 }, (_, index) => index);
    const fileIds = [folder.put('one'), folder.put('two'), folder.put('more than fits')] as const;
    folder.gather = async (fileId) => (fileId === fileIds[2] ? new Uint32Array(4_000_000) : many);
    await folder.keep();
    expect(folder.frames).toHaveLength(2);
    const { without, unknown } = await folder.index().lookUp(sought(fileIds), [0, 2_000_000]);
    expect([[...without], unknown]).toEqual([[fileIds[0], fileIds[1]], [fileIds[2]]]);
    expect((await folder.index().lookUp(sought(fileIds), [1_999_999])).without.size).toBe(0);
  });
});
