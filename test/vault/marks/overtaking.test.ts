import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, renameSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { VaultKey } from '../../../src/envelope/key.ts';
import { unpackSegment } from '../../../src/envelope/segment.ts';
import { openSealedFile } from '../../../src/vault/file/open.ts';
import { SealedFile, type Step } from '../../../src/vault/file/sealed-file.ts';
import { temporaryFolder } from '../../support/vault.ts';

const fileId = 'f'.repeat(32);
const key = VaultKey.generate();
/** So much that hardly shrinks that it is sealed in several slices. */
let long: string;
/** So much that a fold compresses it in several pieces. */
let more: string;

beforeAll(() => {
  [long, more] = [7_000, 3_000].map((lines) =>
    Array.from({ length: lines }, () => randomBytes(750).toString('base64')).join('\n'),
  ) as [string, string];
});

/** Where a fold stands: nothing of it is on the disk, its temporary file is there, or it has the name. */
type Phase = 'sealing' | 'writing' | 'renamed' | 'done';

describe('a fold of ten megabytes', () => {
  it('is overtaken by a final save at any of its turns, which has everything and which nothing replaces', async () => {
    const phases = new Set<Phase>();
    for (const moment of [0, 1, 4, 13, 'writing', 400] as const) {
      const { file, folding, phase } = await foldUntil(moment);
      phases.add(phase());
      file.saveSync(step('last'));
      const { ino } = statSync(file.path);
      const overtaken = opened(file.path);
      expect(overtaken.lines.slice(-2)).toEqual(['appended', 'last']);
      await folding;
      expect(statSync(file.path).ino).toBe(ino);
      expect(opened(file.path)).toEqual(overtaken);
      expect(leftIn(file.path)).toEqual([]);
      expect(file.mark).toEqual(overtaken.mark);
    }
    expect([...phases]).toEqual(expect.arrayContaining(['sealing', 'writing']));
  });

  it('lets a step wait that is asked for meanwhile, which is there when its promise resolves', async () => {
    for (const turns of [0, 3, 200]) {
      const { file, folding } = await foldUntil(turns);
      const order: string[] = [];
      const saved = file.save(step('meanwhile')).then(() => {
        order.push('step');
        expect(opened(file.path).lines.slice(-2)).toEqual(['appended', 'meanwhile']);
      });
      await Promise.all([folding.then(() => order.push('fold')), saved]);
      expect(order).toEqual(['fold', 'step']);
      expect(file.mark).toEqual(opened(file.path).mark);
    }
  });

  it('and a step that waits for it are both overtaken by a final save, which has them all once', async () => {
    for (const turns of [0, 3, 200]) {
      const { file, folding } = await foldUntil(turns);
      const saved = file.save(step('meanwhile'));
      await nextTurn();
      file.saveSync(step('last'));
      const { ino } = statSync(file.path);
      await Promise.all([folding, saved]);
      expect(opened(file.path).lines.slice(-3)).toEqual(['appended', 'meanwhile', 'last']);
      expect(statSync(file.path).ino).toBe(ino);
      expect(file.mark).toEqual(opened(file.path).mark);
      expect(leftIn(file.path)).toEqual([]);
    }
  });

  it('comes to its end where the final save fails, and the next save has what that one had', async () => {
    for (const turns of [0, 1, 3]) {
      const { file, folding, phase } = await foldUntil(turns);
      expect(phase()).toBe('sealing');
      const folder = dirname(file.path);
      renameSync(folder, `${folder}.away`);
      expect(() => file.saveSync(step('refused'))).toThrow(expect.objectContaining({ code: 'NOT_SAVED' }));
      renameSync(`${folder}.away`, folder);
      await folding;
      const folded = opened(file.path);
      expect(folded.lines.slice(-1)).toEqual(['appended']);
      expect(file.mark).toEqual(folded.mark);
      await file.save(step('next'));
      const { lines, mark } = opened(file.path);
      expect(lines.slice(-3)).toEqual(['appended', 'refused', 'next']);
      expect(file.mark).toEqual(mark);
      expect(mark.generation).toBeGreaterThanOrEqual(folded.mark.generation);
    }
  });

  it('that fails leaves the file as it was, and the step that waited has everything', async () => {
    const { file, folding } = await foldUntil(1);
    const folder = dirname(file.path);
    renameSync(folder, `${folder}.away`);
    const failed = expect(folding).rejects.toMatchObject({ code: 'NOT_SAVED' });
    const saved = file.save(step('meanwhile'));
    const refused = expect(saved).rejects.toMatchObject({ code: 'NOT_SAVED' });
    await failed;
    await refused;
    renameSync(`${folder}.away`, folder);
    expect(opened(file.path).lines.slice(-1)).toEqual(['appended']);
    file.saveSync(step('last'));
    expect(opened(file.path).lines.slice(-3)).toEqual(['appended', 'meanwhile', 'last']);
  });
});

function step(line: string): Step {
  return { lines: Buffer.from(`${line}\n`), summary: Buffer.from('{}') };
}

/** A file that was appended to, whose fold has had so many turns, or has come so far. */
async function foldUntil(
  moment: number | Phase,
): Promise<{ file: SealedFile; folding: Promise<void>; phase: () => Phase }> {
  const path = join(temporaryFolder(), 'sessions', fileId);
  mkdirSync(dirname(path));
  const file = new SealedFile(path, fileId, key);
  await file.save(step(long));
  await file.save(step(more));
  await file.save(step('appended'));
  const { ino } = statSync(path);
  let isDone = false;
  const folding = file.fold().finally(() => {
    isDone = true;
  });
  folding.catch(() => undefined); // whoever expects it to fail says so
  const phase = (): Phase => {
    if (isDone) return 'done';
    if (statSync(path).ino !== ino) return 'renamed';
    return leftIn(path).length > 0 ? 'writing' : 'sealing';
  };
  for (let turn = 0; !isDone && moment !== turn && moment !== phase(); turn++) await nextTurn();
  return { file, folding, phase };
}

/** The last lines of a file and how far it has come, by a reader of its own; opening it verifies every byte. */
function opened(path: string): { lines: string[]; mark: { generation: bigint; frames: number; link: Buffer } } {
  const { header, links, chain, segments } = openSealedFile(path, fileId, key);
  const text = segments.map((segment) => unpackSegment(segment).toString()).join('');
  const start = `${long}\n${more}\n`;
  expect(text.startsWith(start)).toBe(true);
  const mark = { generation: header.generation, frames: links.length, link: chain.link };
  return {
    lines: text
      .slice(long.length + 1)
      .trimEnd()
      .split('\n'),
    mark,
  };
}

/** Temporary files beside it. */
function leftIn(path: string): string[] {
  return readdirSync(dirname(path)).filter((name) => name !== fileId);
}
