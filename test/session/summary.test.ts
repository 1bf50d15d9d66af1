import { describe, expect, it } from 'vitest';
import { emptyState } from '../../src/session/state.ts';
import { decodeSummary, encodeSummary, type Summary, summarize } from '../../src/session/summary.ts';

const parent = { uuid: 'u', id: 'i', reason: 'r' };
const summary: Summary = summarize(
  { ...emptyState, title: 'hello', branch: 'main', directory: '/work', model: 'demo/echo', inputTokens: 3, cost: 0.5 },
  { kind: 'session', id: '2025-07-04_12-30', uuid: '00000000-0000-4000-8000-000000000000', name: 'a name' },
);

describe('decodeSummary', () => {
  it('gives back what was encoded, with and without what may be missing', () => {
    expect(decodeSummary(encodeSummary(summary))).toEqual({ ...summary, parent: undefined });
    expect(decodeSummary(encodeSummary({ ...summary, parent }))).toEqual({ ...summary, parent });
    const { name: _name, title: _title, branch: _branch, parent: _parent, ...least } = summary;
    expect(decodeSummary(encodeSummary(least))).toEqual(least);
  });

  it('keeps what a newer version wrote', () => {
    const newer = { ...JSON.parse(encodeSummary(summary).toString()), mood: 'good', parent: { ...parent, more: 1 } };
    expect(decodeSummary(Buffer.from(JSON.stringify(newer)))).toEqual(newer);
  });

  it.each([
    ['kind', 'folder'],
    ['id', 3],
    ['uuid', null],
    ['name', null],
    ['title', 3],
    ['begun', -1],
    ['updated', 1.5],
    ['directory', undefined],
    ['branch', {}],
    ['model', []],
    ['messages', '3'],
    ['inputTokens', undefined],
    ['outputTokens', -1],
    ['cost', '1'],
    ['status', 'asleep'],
    ['parent', null],
    ['parent', { uuid: 'u', id: 'i' }],
    ['firstEvent', true],
    ['lastEvent', 2 ** 53],
  ])('does not believe another %s: %j', (name, value) => {
    const bytes = Buffer.from(JSON.stringify({ ...summary, [name]: value }));
    expect(() => decodeSummary(bytes)).toThrow(expect.objectContaining({ code: 'UNAUTHENTIC' }));
  });

  it.each([
    ['no JSON', '{'],
    ['no object', '[]'],
    ['no UTF-8', '\xff'],
    ['a number beyond all', JSON.stringify(summary).replace('"cost":0.5', '"cost":1e999')],
  ])('does not believe %s', (_, text) => {
    expect(() => decodeSummary(Buffer.from(text, 'latin1'))).toThrow(expect.objectContaining({ code: 'UNAUTHENTIC' }));
  });
});
