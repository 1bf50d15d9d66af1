import { describe, expect, it } from 'vitest';
import { CofferError, type ErrorCode } from '../../src/errors.ts';
import type { Row } from '../../src/session/list/row.ts';
import { lastSession } from '../../src/session/list/select.ts';
import type { SeenReport } from '../../src/session/shapes.ts';
import { ago, clock, countMessages, describeSeen, showRows } from '../../src/terminal/output/rows.ts';
import { FakeTerminal } from './fake-terminal.ts';

function row(changes: Partial<Row>): Row {
  const id = `2025-07-04_12-3${changes.number ?? 0}`;
  return {
    ...{ number: 1, fileId: 'f'.repeat(32), label: id, autosave: false, kind: 'session', id, uuid: '', begun: 0 },
    ...{ updated: Date.now(), directory: '/', model: 'demo/echo', messages: 2 },
    ...{ inputTokens: null, outputTokens: null, cost: null, status: 'completed', firstEvent: 1, lastEvent: 1 },
    ...changes,
  };
}

describe('showRows', () => {
  it('prints exactly the labels to a pipe', async () => {
    const fake = new FakeTerminal();
    showRows(
      fake.terminal,
      [row({ label: '_autosave', title: 'secret' }), row({ number: 2, held: { pid: 1, since: 0 } })],
      '/resume',
    );
    await fake.terminal.flush();
    expect(fake.out).toBe(
      'saved sessions (2):\n  1) _autosave\n  2) 2025-07-04_12-32\nuse /resume <id or number> to restore\n',
    );
    expect(fake.err).toBe('');
  });

  it('adds details on a terminal, with control characters escaped', async () => {
    const fake = new FakeTerminal({ tty: true });
    const held = { pid: process.pid + 1, since: 0 };
    showRows(
      fake.terminal,
      [
        row({ title: 'so\u001b[2Jmething', name: 'mine', held }),
        row({ number: 10, held: { ...held, pid: process.pid } }),
      ],
      '/resume',
    );
    await fake.terminal.flush();
    expect(fake.out).toContain(
      `  \u001b[2m2 messages, demo/echo, just now, in use by process ${held.pid}, mine, so\\x1b[2Jmething\u001b[22m\n`,
    );
    expect(fake.out).toContain(
      ' 10) 2025-07-04_12-310  \u001b[2m2 messages, demo/echo, just now, this one\u001b[22m\n',
    );
  });

  it.each<[string, Partial<Row>, string]>([
    ['was interrupted', { status: 'interrupted' }, 'interrupted'],
    ['failed', { status: 'failed' }, 'failed'],
    ['is in use', { status: 'running', held: { pid: 0, since: 0 } }, 'in use'],
    ['is pinned', { pinned: true }, 'pinned'],
    ['is archived', { archived: true }, 'archived'],
    ['has tags', { tags: ['a', 'b'] }, '#a, #b'],
    ['is like any other', {}, ''],
  ])('marks a row that %s', async (_, changes, mark) => {
    const fake = new FakeTerminal({ tty: true });
    showRows(fake.terminal, [row(changes)], '/resume');
    await fake.terminal.flush();
    const marked = mark === '' ? '' : `, ${mark}`;
    expect(fake.out).toContain(`\u001b[2m2 messages, demo/echo, just now${marked}\u001b[22m\n`);
  });

  it('reports how many rows it leaves out, if any', async () => {
    const rows = [1, 2, 3].map((number) => row({ number }));
    const fake = new FakeTerminal();
    showRows(fake.terminal, rows, '/resume', undefined, { limit: 2, archived: 1, of: 9, all: '--all' });
    showRows(fake.terminal, rows, '/resume', undefined, { limit: 3, archived: 0, of: 9, all: '--all' });
    await fake.terminal.flush();
    expect(fake.out.match(/^saved sessions \(3\):$/gm)).toHaveLength(2);
    expect(fake.out.match(/^ {2}\d\)/gm)).toEqual(['  1)', '  2)', '  1)', '  2)', '  3)']);
    expect(fake.err).toBe('… 1 more; list them with --all\n1 archived not shown; include it with --all\n');
  });

  it('distinguishes no matches from no sessions', async () => {
    const fake = new FakeTerminal();
    showRows(fake.terminal, [], '/resume', undefined, { archived: 0, of: 3, all: '--all' });
    showRows(fake.terminal, [], '/resume', undefined, { archived: 0, of: 0, all: '--all' });
    await fake.terminal.flush();
    expect(fake.out).toBe('no saved session matches\nno saved sessions yet\n');
  });

  it('reports sessions that cannot be opened or lost a step', async () => {
    const fake = new FakeTerminal();
    const unreadable = new CofferError('UNAUTHENTIC', 'file ff: broken');
    showRows(fake.terminal, [row({ torn: 'step 3 is lost' }), row({ number: 2, unreadable })], '/resume');
    await fake.terminal.flush();
    expect(fake.err).toBe("1: step 3 is lost\n2 can't be opened: file ff: broken\n");
  });

  it('reports a session that was rolled back, in its row and below', async () => {
    const fake = new FakeTerminal({ tty: true });
    showRows(fake.terminal, [row({ rolledBack: 'an older copy was put back' })], '/resume');
    await fake.terminal.flush();
    expect(fake.out).toContain('just now, not as last seen');
    expect(fake.err).toBe('1: an older copy was put back\n');
  });

  it('reports problems with the rollback marks, even if there are no rows', async () => {
    const fake = new FakeTerminal();
    const fileId = 'a'.repeat(32);
    showRows(fake.terminal, [], '/resume', { state: 'good', removed: [fileId] });
    await fake.terminal.flush();
    expect(fake.out).toBe('no saved sessions yet\n');
    expect(fake.err).toMatch(new RegExp(`^${fileId} was removed by something other than coffer; .*\\n$`));
  });

  it('reports if there are no sessions', async () => {
    const fake = new FakeTerminal();
    showRows(fake.terminal, [], '/resume');
    await fake.terminal.flush();
    expect(fake.out).toBe('no saved sessions yet\n');
  });
});

describe('describeSeen', () => {
  const unreadable = (code: ErrorCode): SeenReport => ({
    ...{ state: 'unreadable', removed: [], error: new CofferError(code, 'file seen: broken') },
  });

  it.each<[string, SeenReport | undefined, RegExp[]]>([
    ['is not known', undefined, []],
    ['is intact', { state: 'good', removed: [] }, []],
    ['has nothing to mark yet', { state: 'none', removed: [] }, []],
    [
      'is missing',
      { state: 'missing', removed: [] },
      [/^seen is missing; the next chat or snapshot recreates it, until/],
    ],
    ['is damaged', unreadable('UNAUTHENTIC'), [/^file seen: broken; the next save moves it to quarantine/]],
    [
      'needs another key',
      unreadable('KEY_OTHER'),
      [/^file seen: broken; it is left unchanged, and until it can be read coffer/],
    ],
    ['has marks of two removed files', { state: 'good', removed: ['a', 'b'] }, [/^a was removed/, /^b was removed/]],
  ])('describes a file that %s', (_, seen, lines) => {
    expect(describeSeen(seen)).toEqual(lines.map((line) => expect.stringMatching(line)));
  });
});

describe('lastSession', () => {
  it('is the newest readable session that is not in use and not a snapshot', () => {
    const newest = row({ number: 1, updated: 5, held: { pid: 1, since: 0 } });
    const snapshot = row({ number: 2, updated: 4, kind: 'snapshot' });
    const broken = row({ number: 5, updated: 6, unreadable: new CofferError('UNAUTHENTIC', 'broken') });
    const rows = [newest, snapshot, row({ number: 3, updated: 2 }), row({ number: 4, updated: 3 }), broken];
    expect(lastSession(rows)?.number).toBe(4);
    expect(lastSession([newest, snapshot, broken])).toBeUndefined();
  });
});

describe('ago', () => {
  it.each([
    [0, 'just now'],
    [59, 'just now'],
    [60, '1 minute ago'],
    [3599, '59 minutes ago'],
    [3600, '1 hour ago'],
    [86_400 * 2, '2 days ago'],
    [86_400 * 40, '1 month ago'],
    [86_400 * 800, '2 years ago'],
    [-10, 'just now'],
  ])('formats %i seconds as %s', (seconds, words) => {
    expect(ago(1_000_000_000_000 - seconds * 1000, 1_000_000_000_000)).toBe(words);
  });
});

describe('countMessages', () => {
  it('uses the singular for one', () => {
    expect([0, 1, 2].map(countMessages)).toEqual(['0 messages', '1 message', '2 messages']);
  });
});

describe('clock', () => {
  it('formats local time to the minute', () => {
    expect(clock(new Date(2025, 6, 4, 2, 5))).toBe('02:05');
  });
});
