import { describe, expect, it } from 'vitest';
import { archiving, naming, pinning, tagging, untagging } from '../../../src/session/change/marks.ts';
import { encodeSummary, summarize } from '../../../src/session/list/summary.ts';
import { emptyState, type State } from '../../../src/session/state.ts';

/** Maximum bytes of a summary: it must fit into the first chunk of a frame. */
const ROOM = 12 * 1024;

function state(parts: Partial<State> = {}): State {
  return { ...emptyState, ...parts };
}

describe('a name', () => {
  it('is trimmed, and recorded if it changes', () => {
    expect(naming('  fixing auth  ')(state())).toEqual({ type: 'name', name: 'fixing auth' });
    expect(naming('fixing auth')(state({ name: 'fixing auth' }))).toBeUndefined();
  });

  it.each([
    ['', 'at least one character'],
    ['   ', 'at least one character'],
    ['n'.repeat(101), 'this one has 101'],
    ['🦊'.repeat(101), 'this one has 101'],
    ['a\u0007b', 'contain control characters'],
    ['a\u202eb', 'contain control characters'],
    ['a\nb', 'contain control characters'],
  ])('is not %j', (name, problem) => {
    expect(() => naming(name)).toThrow(problem);
  });
});

describe('a mark', () => {
  it('is recorded only if it changes something', () => {
    expect(pinning(true)(state())).toEqual({ type: 'pin', pinned: true });
    expect(pinning(true)(state({ pinned: true }))).toBeUndefined();
    expect(pinning(false)(state({ pinned: true }))).toEqual({ type: 'pin', pinned: false });
    expect(archiving(true)(state())).toEqual({ type: 'archive', archived: true });
    expect(archiving(false)(state())).toBeUndefined();
  });
});

describe('tags', () => {
  it('are added, each once, in order', () => {
    expect(tagging(['work', 'auth', 'work'])(state({ tags: ['later'] }))).toEqual({
      type: 'tags',
      tags: ['auth', 'later', 'work'],
    });
    expect(tagging(['auth'])(state({ tags: ['auth'] }))).toBeUndefined();
  });

  it('are removed, but not ones that the session lacks', () => {
    const tagged = state({ tags: ['auth', 'work'] });
    expect(untagging(['auth'])(tagged)).toEqual({ type: 'tags', tags: ['work'] });
    expect(() => untagging(['later'])(tagged)).toThrow('no tag later to remove; it has auth, work');
    expect(() => untagging(['later'])(state())).toThrow('it has none');
  });

  it.each(['', 'Auth', 'two words', 'a/b', 'a\u0007', '🦊', 't'.repeat(41), '[redacted]'])('are not %j', (tag) => {
    expect(() => tagging(['fine', tag])).toThrow("can't be a tag");
  });

  it.each(['auth', 'größe', '日本', 'v2', 'a-b_c', 't'.repeat(40)])('may be %s', (tag) => {
    expect(tagging([tag])(state())).toEqual({ type: 'tags', tags: [tag] });
  });

  it('are at most 16', () => {
    const many = Array.from({ length: 16 }, (_, at) => `t${at}`).sort();
    expect(tagging(many)(state())).toEqual({ type: 'tags', tags: many });
    expect(() => tagging(['more'])(state({ tags: many }))).toThrow('this would make 17');
    expect(tagging(['t3'])(state({ tags: many }))).toBeUndefined();
  });

  it('fit into a summary in which everything else is as long as possible', () => {
    const letter = '𠀋';
    const tags = Array.from({ length: 16 }, (_, at) => `${at + 10}${letter.repeat(38)}`);
    expect(tagging(tags)(state())).toEqual({ type: 'tags', tags });
    const long = letter.repeat(5000);
    const full = state({
      tags,
      name: letter.repeat(100),
      title: letter.repeat(80),
      directory: long,
      branch: long,
      worktree: long,
      project: { first: 'f'.repeat(64), remote: long, path: long },
      model: long,
      parent: {
        uuid: 'u'.repeat(36),
        id: `2025-07-04_12-30_${letter.repeat(100)}-2`,
        reason: 'resumed from a snapshot',
      },
      pinned: true,
      archived: true,
    });
    const summary = summarize(full, {
      kind: 'session',
      id: '2025-07-04_12-30-99',
      uuid: 'u'.repeat(36),
      name: full.name,
    });
    expect(encodeSummary(summary).length).toBeLessThan(ROOM);
  });
});
