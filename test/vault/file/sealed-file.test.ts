import { randomBytes } from 'node:crypto';
import { appendFileSync, mkdirSync, readdirSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { VaultKey } from '../../../src/envelope/key.ts';
import { openSealedFile } from '../../../src/vault/file/open.ts';
import { SealedFile, type Step } from '../../../src/vault/file/sealed-file.ts';
import { temporaryFolder } from '../../support/vault.ts';

const fileId = 'f'.repeat(32);
const key = VaultKey.generate();

function step(line: string): Step {
  return { lines: Buffer.from(`${line}\n`), summary: Buffer.from('{}') };
}

/** Reads what is on disk, with a reader of its own. */
function linesOf(path: string): string[] {
  const lines: string[] = [];
  const read = new SealedFile(path, fileId, key);
  read.adopt(openSealedFile(path, fileId, key), (more) => lines.push(...more.toString().trimEnd().split('\n')));
  return lines;
}

describe('SealedFile', () => {
  it('reports every failed save, including one that waited for another', async () => {
    const folder = join(temporaryFolder(), 'sessions');
    const file = new SealedFile(join(folder, fileId), fileId, key);
    const [first, second] = await Promise.allSettled([file.save(step('one')), file.save(step('two'))]);
    expect(first).toMatchObject({ status: 'rejected', reason: { code: 'NOT_SAVED' } });
    expect(second).toMatchObject({ status: 'rejected', reason: { code: 'NOT_SAVED' } });
    mkdirSync(folder);
    await file.fold();
    expect(linesOf(join(folder, fileId))).toEqual(['one', 'two']);
  });

  it('combines saves that wait for the same one into one write', async () => {
    const path = join(temporaryFolder(), fileId);
    const file = new SealedFile(path, fileId, key);
    await Promise.all(['one', 'two', 'three'].map((line) => file.save(step(line))));
    expect(linesOf(path)).toEqual(['one', 'two', 'three']);
    expect(openSealedFile(path, fileId, key).header.generation).toBe(1n);
  });

  it('never appends to bytes that are not its own, and overwrites with the next save', async () => {
    const path = join(temporaryFolder(), fileId);
    const file = new SealedFile(path, fileId, key);
    const long = 'x'.repeat(200_000);
    await file.save(step(long));
    await file.save(step('appended'));
    const { ino } = statSync(path);
    appendFileSync(path, 'somebody else');
    await expect(file.save(step('refused'))).rejects.toMatchObject({ code: 'NOT_SAVED' });
    await file.save(step('next'));
    expect(statSync(path).ino).not.toBe(ino);
    expect(linesOf(path)).toEqual([long, 'appended', 'refused', 'next']);
  });

  it('overwrites if its file is gone', async () => {
    const path = join(temporaryFolder(), fileId);
    const file = new SealedFile(path, fileId, key);
    await file.save(step('x'.repeat(200_000)));
    rmSync(path);
    await expect(file.save(step('refused'))).rejects.toMatchObject({ code: 'NOT_SAVED' });
    file.saveSync(step('last'));
    expect(linesOf(path).slice(1)).toEqual(['refused', 'last']);
  });

  it('knows its mark from its own saves alone, and not after a failure', async () => {
    const folder = join(temporaryFolder(), 'sessions');
    const file = new SealedFile(join(folder, fileId), fileId, key);
    expect(file.mark).toBeUndefined();
    mkdirSync(folder);
    await file.save(step('x'.repeat(200_000)));
    expect(file.mark).toMatchObject({ generation: 1n, frames: 1 });
    const saved = file.save(step('two'));
    await Promise.resolve();
    expect(file.mark).toBeUndefined();
    await saved;
    const { header, links } = openSealedFile(file.path, fileId, key);
    expect(file.mark).toEqual({ generation: header.generation, frames: 2, link: links[1] });
    rmSync(folder, { recursive: true });
    await expect(file.save(step('three'))).rejects.toMatchObject({ code: 'NOT_SAVED' });
    expect(file.mark).toBeUndefined();
    expect(() => file.saveSync(step('four'))).toThrow(expect.objectContaining({ code: 'NOT_SAVED' }));
    expect(file.mark).toBeUndefined();
    mkdirSync(folder);
    file.saveSync(step('five'));
    expect(file.mark).toMatchObject({ frames: 1 });
  });

  it('has no mark for a file that it only opened', async () => {
    const path = join(temporaryFolder(), fileId);
    const first = new SealedFile(path, fileId, key);
    await first.save(step('one'));
    const second = new SealedFile(path, fileId, key);
    second.adopt(openSealedFile(path, fileId, key), () => undefined);
    await second.fold();
    expect(second.mark).toBeUndefined();
    await second.save(step('two'));
    expect(second.mark).toMatchObject({ generation: 2n, frames: 1 });
  });

  it('overwrites a file that was rolled back, with a generation above both', async () => {
    const path = join(temporaryFolder(), fileId);
    const first = new SealedFile(path, fileId, key);
    await first.save(step('x'.repeat(200_000)));
    for (const [marked, next] of [
      [1n, 2n],
      [7n, 8n],
    ] as const) {
      const file = new SealedFile(path, fileId, key);
      file.adopt(openSealedFile(path, fileId, key), () => undefined, marked);
      await file.save(step('more'));
      expect(openSealedFile(path, fileId, key)).toMatchObject({ header: { generation: next }, laterFrames: 0 });
    }
  });

  it('appends in a final save if no save is in flight, and overwrites if one is', async () => {
    const path = join(temporaryFolder(), fileId);
    const file = new SealedFile(path, fileId, key);
    await file.save(step('x'.repeat(200_000)));
    const { ino } = statSync(path);
    file.saveSync(step('appended'));
    expect(statSync(path).ino).toBe(ino);
    const inFlight = file.save(step('in flight'));
    await Promise.resolve();
    await Promise.resolve();
    file.saveSync(step('last'));
    await inFlight;
    expect(statSync(path).ino).not.toBe(ino);
    expect(linesOf(path).slice(1)).toEqual(['appended', 'in flight', 'last']);
  });

  it('keeps the event loop free while it seals a large frame', async () => {
    const path = join(temporaryFolder(), fileId);
    const file = new SealedFile(path, fileId, key);
    const much = Array.from({ length: 40 }, () => randomBytes(75_000).toString('base64'));
    let turns = 0;
    let isOver = false;
    const count = (): void => {
      turns++;
      if (!isOver) setImmediate(count);
    };
    setImmediate(count);
    await file.save(step(much.join('\n')));
    isOver = true;
    // Three segments, compressed off the main thread; some three megabytes of them, sealed half a
    // megabyte at a time.
    expect(turns).toBeGreaterThan(6);
    expect(linesOf(path)).toEqual(much);
  });

  it.skipIf(process.platform !== 'linux')(
    'keeps one descriptor open while it appends, and none once it is folded',
    async () => {
      const path = join(temporaryFolder(), fileId);
      const file = new SealedFile(path, fileId, key);
      await file.save(step('x'.repeat(200_000)));
      const before = openFiles(path);
      await file.save(step('two'));
      await file.save(step('three'));
      expect(openFiles(path) - before).toBe(1);
      await file.fold();
      expect(openFiles(path)).toBe(before);
      expect(linesOf(path).slice(1)).toEqual(['two', 'three']);
    },
  );
});

/**
 * Counts the descriptors that this process has of the file at `path`, or of one that had that name.
 */
function openFiles(path: string): number {
  const links = readdirSync('/proc/self/fd').map((name) => readlink(join('/proc/self/fd', name)));
  return links.filter((target) => target?.startsWith(path)).length;
}

function readlink(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined; // the descriptor of the listing itself is closed by now
  }
}
