import { describe, expect, it } from 'vitest';
import { aboutOf, FORMATS, type Format, renderExport } from '../../../../src/cli/commands/export/export-text.ts';
import type { Event } from '../../../../src/session/event/event.ts';
import { emptyState, fold } from '../../../../src/session/state.ts';
import { escapeJson } from '../../../../src/terminal/output/escape.ts';

const UUID = '00000000-0000-4000-8000-000000000000';

function said(id: number, content: string): Event {
  return { id, ts: id, type: 'message', message: { role: 'user', content } };
}

function render(events: readonly Event[], format: Format): string[] {
  return [...renderExport({ about: aboutOf(fold(emptyState, events), { id: 'a' }), events }, format)];
}

const begin: Event = { id: 1, ts: 1, type: 'begin', uuid: UUID, directory: '/x' };

describe('renderExport', () => {
  it.each([
    ['no event', []],
    ['one', [begin]],
    ['some', [begin, said(2, 'a\nb\u009b'), { id: 3, ts: 3, type: 'hologram', beam: [[], {}, [{ a: '\n' }]] }]],
  ])('writes the JSON of %s as one object, as it would be written at once', (_, events) => {
    const about = aboutOf(fold(emptyState, events), { id: 'a' });
    expect(render(events, 'json').join('')).toBe(`${escapeJson({ ...about, events })}\n`);
  });

  it('shows in Markdown what was taken back, once, at its place', () => {
    const back = (id: number, to: number): Event => ({ id, ts: id, type: 'rewind', to });
    const events = [begin, said(2, 'two'), said(3, 'three'), back(4, 2), said(5, 'five'), back(6, 2), said(7, 'seven')];
    const text = render(events, 'markdown').join('');
    const words = text.match(/^(two|three|five|seven|# taken back)$/gm);
    expect(words).toEqual(['two', 'seven', '# taken back', 'three', 'five']);
    expect(text.endsWith('five\n')).toBe(true);
    expect(text).not.toContain('\n\n\n');
  });

  it('omits what was taken back if nothing was said in it', () => {
    const events: Event[] = [begin, said(2, 'two'), { id: 3, ts: 3, type: 'rewind', to: 2 }];
    expect(render(events, 'markdown').join('')).not.toContain('taken back');
  });

  it.each(FORMATS)('renders %s in pieces that end at line ends', (format) => {
    const events = [begin, ...Array.from({ length: 900 }, (_, at) => said(at + 2, 'word '.repeat(400)))];
    const pieces = render(events, format);
    expect(pieces.length).toBeGreaterThan(5);
    for (const piece of pieces) {
      expect(piece.length).toBeLessThan(400_000);
      expect(piece === '' || piece.endsWith('\n')).toBe(true);
    }
  });

  it('takes back ever and again without looking at all that stands', () => {
    const events: Event[] = [begin];
    for (let id = 2; id < 200_000; id += 2) {
      events.push(said(id, 'x'), { id: id + 1, ts: id, type: 'rewind', to: id - (id % 4 === 0 ? 1 : 0) });
    }
    const text = render(events, 'markdown').join('');
    expect(text.match(/^x$/gm)).toHaveLength(99_999);
  });
});
