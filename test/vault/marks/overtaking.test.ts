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
/** Enough text that hardly shrinks to be sealed in several slices. */
let long: string;
/** Enough text for a fold to compress it in several pieces. */
let more: string;

beforeAll(() => {
  [long, more] = [7_000, 3_000].map((lines) =>
    Array.from({ length: lines }, () => randomBytes(750).toString('base64')).join('\n'),
  ) as [string, string];
});

/**
 * The progress of a fold: nothing of it is on disk, its temporary file exists, or it has been
 * renamed.
 */
type Phase = 'sealing' | 'writing' | 'renamed' | 'done';

describe('a fold of ten megabytes', () => {
  it('is overtaken at any point by a final save, which has everything and is not replaced', async () => {
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

  it('makes a concurrent step wait, which is saved when its promise resolves', async () => {
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

  it('is overtaken together with a waiting step by a final save, which has everything once', async () => {
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

  it('finishes if the final save fails, and the next save has the content of that one', async () => {
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

  it('leaves the file unchanged if it fails, and the waiting step has everything', async () => {
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

/**
 * Starts a fold of a file that was appended to, and waits until it has had some turns of the event
 * loop, or has come that far.
 */
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
  folding.catch(() => undefined); // tests that expect a failure await it
  const phase = (): Phase => {
    if (isDone) return 'done';
    if (statSync(path).ino !== ino) return 'renamed';
    return leftIn(path).length > 0 ? 'writing' : 'sealing';
  };
  for (let turn = 0; !isDone && moment !== turn && moment !== phase(); turn++) await nextTurn();
  return { file, folding, phase };
}

/**
 * Reads the last lines of a file and its mark, with a reader of its own; opening it verifies every
 * byte.
 */
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

/** Returns the temporary files next to it. */
function leftIn(path: string): string[] {
  return readdirSync(dirname(path)).filter((name) => name !== fileId);
}
