import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_SUMMARY } from '../../../src/envelope/format.ts';
import { decodeSummary, encodeSummary, type Summary, summarize } from '../../../src/session/list/summary.ts';
import { emptyState } from '../../../src/session/state.ts';

const parent = { uuid: 'u', id: 'i', reason: 'r' };
const summary: Summary = summarize(
  { ...emptyState, title: 'hello', branch: 'main', directory: '/work', model: 'demo/echo', inputTokens: 3, cost: 0.5 },
  { kind: 'session', id: '2025-07-04_12-30', uuid: '00000000-0000-4000-8000-000000000000', name: 'a name' },
);

describe('decodeSummary', () => {
  it('decodes what was encoded, with and without optional fields', () => {
    expect(decodeSummary(encodeSummary(summary))).toEqual({ ...summary, parent: undefined });
    expect(decodeSummary(encodeSummary({ ...summary, parent }))).toEqual({ ...summary, parent });
    const { name: _name, title: _title, branch: _branch, parent: _parent, ...least } = summary;
    expect(decodeSummary(encodeSummary(least))).toEqual(least);
  });

  it('preserves fields of a newer version', () => {
    const newer = { ...JSON.parse(encodeSummary(summary).toString()), mood: 'good', parent: { ...parent, more: 1 } };
    expect(decodeSummary(Buffer.from(JSON.stringify(newer)))).toEqual(newer);
  });

  it.each<[string, unknown, unknown]>([
    ['name', null, undefined],
    ['title', 3, undefined],
    ['begun', -1, 0],
    ['updated', 1.5, 0],
    ['updated', 8.64e15 + 1, 0],
    ['directory', undefined, ''],
    ['branch', {}, undefined],
    ['model', [], ''],
    ['messages', '3', 0],
    ['inputTokens', undefined, null],
    ['outputTokens', -1, null],
    ['cost', '1', null],
    ['cost', -0.5, null],
    ['status', 'asleep', 'failed'],
    ['parent', null, undefined],
    ['parent', { uuid: 'u', id: 'i' }, undefined],
    ['tags', [1], undefined],
    ['firstEvent', true, 0],
    ['lastEvent', 2 ** 53, 0],
  ])('replaces an invalid %s, %j, with %j, and keeps the other fields', (name, value, mended) => {
    const bytes = Buffer.from(JSON.stringify({ ...summary, [name]: value }));
    const { [name as keyof Summary]: _, ...others } = decodeSummary(encodeSummary(summary));
    expect(decodeSummary(bytes)).toEqual(mended === undefined ? others : { ...others, [name]: mended });
    expect(decodeSummary(encodeSummary(decodeSummary(bytes)))).toEqual(decodeSummary(bytes));
  });

  it('reads an infinite number as unknown', () => {
    const text = JSON.stringify(summary).replace('"cost":0.5', '"cost":1e999');
    expect(decodeSummary(Buffer.from(text)).cost).toBeNull();
  });

  it.each([
    ['invalid JSON', '{'],
    ['an array', '[]'],
    ['invalid UTF-8', '\xff'],
    ['an unknown kind', JSON.stringify({ ...summary, kind: 'folder' })],
    ['an invalid id', JSON.stringify({ ...summary, id: 3 })],
    ['a missing UUID', JSON.stringify({ ...summary, uuid: null })],
  ])('rejects %s', (_, text) => {
    expect(() => decodeSummary(Buffer.from(text, 'latin1'))).toThrow(expect.objectContaining({ code: 'UNAUTHENTIC' }));
  });
});

describe('summarize', () => {
  it('always fits into the first chunk of a frame', () => {
    const long = fc.constantFrom('x', '\u0000', '"', 'é', '😀', '\ud800').map((letter) => letter.repeat(20_000));
    const state = fc.record({
      directory: long,
      branch: long,
      worktree: long,
      model: long,
      title: fc.constant('\u0000'.repeat(80)),
      tags: fc.array(long, { minLength: 1, maxLength: 200 }),
      project: fc.record({ first: long, remote: long, path: long }),
      parent: fc.record({ uuid: long, id: long, reason: long }),
    });
    fc.assert(
      fc.property(state, long, (said, name) => {
        const id = `2025-07-04_12-30_${'😀'.repeat(100)}-1000`;
        const uuid = '00000000-0000-4000-8000-000000000000';
        const encoded = encodeSummary(
          summarize({ ...emptyState, ...said, cost: Number.MIN_VALUE }, { kind: 'session', id, uuid, name }),
        );
        expect(encoded.length).toBeLessThanOrEqual(MAX_SUMMARY);
      }),
      { numRuns: 50 },
    );
  });

  it('keeps every name and all tags that coffer accepts', () => {
    const name = '😀'.repeat(100);
    const tags = Array.from({ length: 16 }, (_, at) => `${'𝒶'.repeat(38)}${String.fromCodePoint(0x61 + at)}`);
    expect(summarize({ ...emptyState, tags }, { kind: 'session', id: 'i', uuid: 'u', name })).toMatchObject({
      name,
      tags,
    });
  });
});
