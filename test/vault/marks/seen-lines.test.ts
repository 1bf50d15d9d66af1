import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { packSegment } from '../../../src/envelope/segment.ts';
import type { RollbackMark } from '../../../src/vault/file/sealed-file.ts';
import { isLater, MarkLines, packMarks } from '../../../src/vault/marks/seen-lines.ts';

const mark: fc.Arbitrary<RollbackMark> = fc.record({
  generation: fc.oneof(fc.bigInt(1n, 5n), fc.bigInt(2n ** 64n - 3n, 2n ** 64n - 1n)),
  frames: fc.integer({ min: 1, max: 3 }),
  link: fc.nat(3).map((seed) => createHash('sha256').update(String(seed)).digest()),
});
const fileId = fc.nat(80).map((seed) => createHash('md5').update(String(seed)).digest('hex'));
const marks = fc.array(fc.tuple(fileId, mark), { maxLength: 80 }).map((entries) => new Map(entries));
const changes = fc
  .array(fc.tuple(fileId, fc.option(mark, { nil: undefined })), { maxLength: 60 })
  .map((entries) => new Map(entries));

describe('the lines of seen', () => {
  it('change with the marks, in any number of segments', () => {
    fc.assert(
      fc.property(marks, fc.nat(80), changes, fc.boolean(), (before, cut, changes, isTaken) => {
        const parts = [[...before].slice(0, cut), [...before].slice(cut)].filter((part) => part.length > 0);
        const lines = new MarkLines(parts.flatMap((part) => packMarks(new Map(part))));
        if (isTaken) expect(lines.marks).toEqual(before);
        const wanted = changed(before, changes);
        const segments = lines.changed(changes);
        expect(segments === undefined).toBe(wanted === undefined);
        expect(new MarkLines(segments ?? []).marks).toEqual(wanted ?? new Map());
        for (const [fileId, mark] of before) expect(lines.find(fileId)).toEqual(mark);
      }),
    );
  });

  it('keep segments in which nothing changes', () => {
    const many = new Map(Array.from({ length: 20_000 }, (_, number) => [idOf(number), markOf(1n)]));
    const segments = packMarks(many);
    const changed = new MarkLines(segments).changed(new Map([[idOf(3), markOf(2n)]]))!;
    expect(segments.length).toBe(3);
    expect(changed[0]).toBe(segments[1]);
    expect(new MarkLines(changed).marks).toEqual(new Map([...many, [idOf(3), markOf(2n)]]));
  });

  it('use the latest mark of a file that has several', () => {
    const [old, late] = [markOf(1n), markOf(2n)].map((mark) => packMarks(new Map([[idOf(1), mark]]))) as [[], []];
    for (const segments of [
      [...old, ...late],
      [...late, ...old],
    ]) {
      expect(new MarkLines(segments).find(idOf(1))).toEqual(markOf(2n));
      expect(new MarkLines(segments).marks.get(idOf(1))).toEqual(markOf(2n));
      const raised = new MarkLines(segments).changed(new Map([[idOf(1), markOf(3n)]]))!;
      expect(new MarkLines(raised).marks).toEqual(new Map([[idOf(1), markOf(3n)]]));
    }
  });

  it('can be read and changed with the fields in another order', () => {
    const [fileId, link] = [idOf(1), 'c'.repeat(64)];
    const line = `${JSON.stringify({ link, frames: 1, generation: '1', file: fileId, more: 1 })}\n`;
    const segments = [packSegment(Buffer.from(line))];
    expect(new MarkLines(segments).find(fileId)).toEqual({ generation: 1n, frames: 1, link: Buffer.from(link, 'hex') });
    const raised = new MarkLines(segments).changed(new Map([[fileId, markOf(3n)]]))!;
    expect(new MarkLines(raised).marks).toEqual(new Map([[fileId, markOf(3n)]]));
    const dropped = new MarkLines(segments).changed(new Map([[fileId, undefined]]))!;
    expect(new MarkLines(dropped).marks).toEqual(new Map());
  });
});

/** Applies changes to marks; returns undefined if nothing changes. */
function changed(
  before: ReadonlyMap<string, RollbackMark>,
  changes: ReadonlyMap<string, RollbackMark | undefined>,
): Map<string, RollbackMark> | undefined {
  const after = new Map(before);
  let isChanged = false;
  for (const [fileId, mark] of changes) {
    if (mark ? !isLater(mark, before.get(fileId)) : !before.has(fileId)) continue;
    isChanged = true;
    if (mark) after.set(fileId, mark);
    else after.delete(fileId);
  }
  return isChanged ? after : undefined;
}

function idOf(number: number): string {
  return createHash('md5').update(`file ${number}`).digest('hex');
}

function markOf(generation: bigint): RollbackMark {
  return { generation, frames: 1, link: Buffer.alloc(32, 7) };
}
