import { copyFileSync, readFileSync, renameSync, truncateSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { VaultKey } from '../../../src/envelope/key.ts';
import { unpackSegment } from '../../../src/envelope/segment.ts';
import { type OpenedFile, openAppended, openSealedFile } from '../../../src/vault/file/open.ts';
import { SealedFile, type Step } from '../../../src/vault/file/sealed-file.ts';
import { temporaryFolder } from '../../support/vault.ts';

const key = VaultKey.generate();
const fileId = 'a'.repeat(32);

/** Returns a step with a summary and a line of `length` bytes that do not compress. */
function step(name: string, length = 10): Step {
  const text = Array.from({ length }, () => String.fromCharCode(97 + Math.floor(Math.random() * 26))).join('');
  return { lines: Buffer.from(`${name} ${text}\n`), summary: Buffer.from(`{"last":"${name}"}`) };
}

/** Creates a file of one large frame, opened, and a writer that appends to it. */
async function large(): Promise<{ path: string; file: SealedFile; before: OpenedFile }> {
  const path = `${temporaryFolder()}/${fileId}`;
  const file = new SealedFile(path, fileId, key);
  await file.save(step('first', 300_000));
  return { path, file, before: openSealedFile(path, fileId, key) };
}

function namesIn(opened: OpenedFile | undefined): string[] | undefined {
  const lines = opened?.segments.flatMap((segment) => unpackSegment(segment).toString().trimEnd().split('\n'));
  return lines?.map((line) => line.split(' ')[0] ?? '');
}

describe('openAppended', () => {
  it('opens only what was appended, again and again, with the same result as opening all of it', async () => {
    const { path, file, before } = await large();
    let last: OpenedFile = before;
    for (const name of ['second', 'third']) {
      await file.save(step(name));
      const appended = openAppended(path, fileId, last, key);
      expect(namesIn(appended)).toEqual([name]);
      const { segments: _, ...whole } = openSealedFile(path, fileId, key);
      expect(appended).toMatchObject(whole);
      last = appended!;
    }
    expect(namesIn(openAppended(path, fileId, last, key))).toEqual([]);
    expect(namesIn(openAppended(path, fileId, before, key))).toEqual(['second', 'third']);
  });

  it('does not read again what was opened: only opening all of it notices changes there', async () => {
    const { path, file, before } = await large();
    await file.save(step('second'));
    const bytes = readFileSync(path);
    bytes.fill(0, 200, before.end);
    writeFileSync(path, bytes);
    expect(namesIn(openAppended(path, fileId, before, key))).toEqual(['second']);
    expect(() => openSealedFile(path, fileId, key)).toThrow(expect.objectContaining({ code: 'UNAUTHENTIC' }));
  });

  it('tells a torn append from a whole one', async () => {
    const { path, file, before } = await large();
    await file.save(step('second'));
    await file.save(step('third'));
    truncateSync(path, readFileSync(path).length - 5);
    const appended = openAppended(path, fileId, before, key);
    expect(namesIn(appended)).toEqual(['second']);
    expect(appended?.torn).toMatchObject({ frame: 2, offset: appended?.end });
  });

  it.each<[string, (path: string, file: SealedFile, before: OpenedFile) => unknown]>([
    [
      'was replaced by a copy with the same bytes',
      (path) => {
        copyFileSync(path, `${path}.x`);
        renameSync(`${path}.x`, path);
      },
    ],
    ['was folded', (_, file) => file.fold()],
    ['was cut off before the end of what was opened', (path, _, before) => truncateSync(path, before.end - 1)],
    [
      'goes on with what was never sealed there',
      (path, _, before) => {
        const bytes = readFileSync(path);
        bytes[before.end + 70]! ^= 1;
        writeFileSync(path, bytes);
      },
    ],
    [
      'has a frame twice',
      (path, _, before) => {
        const bytes = readFileSync(path);
        writeFileSync(path, Buffer.concat([bytes, bytes.subarray(before.end)]));
      },
    ],
  ])('leaves a file alone that %s: all of it must be opened', async (_, change) => {
    const { path, file, before } = await large();
    await file.save(step('second'));
    expect(namesIn(openAppended(path, fileId, before, key))).toEqual(['second']);
    await change(path, file, before);
    expect(openAppended(path, fileId, before, key)).toBeUndefined();
  });

  it('rejects a file with the same inode and another generation', async () => {
    const { path, before } = await large();
    const other = new SealedFile(`${path}.other`, fileId, key);
    await other.save(step('first', 300_000));
    await other.rewrite(step('again', 300_000));
    await other.save(step('second'));
    writeFileSync(path, readFileSync(`${path}.other`));
    expect(openAppended(path, fileId, before, key)).toBeUndefined();
  });
});

describe('openSealedFile', () => {
  it('opens frames of every size, however much is read at once', async () => {
    const path = `${temporaryFolder()}/${fileId}`;
    const file = new SealedFile(path, fileId, key);
    const names: string[] = [];
    await file.save(step('large', 5_000_000));
    for (const length of [1, 900_000, 10, 1_100_000, 20_000, 70_000, 700_000]) {
      await file.save(step(`s${length}`, length));
      names.push(`s${length}`);
    }
    const opened = openSealedFile(path, fileId, key);
    expect(namesIn(opened)).toEqual(['large', ...names]);
    expect(opened.links).toHaveLength(8);
    expect(opened.end).toBe(readFileSync(path).length);
  });
});
