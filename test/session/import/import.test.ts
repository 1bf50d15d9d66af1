import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { aboutOf, renderExport } from '../../../src/cli/commands/export/export-text.ts';
import type { Event, NewEvent } from '../../../src/session/event/event.ts';
import { readImport } from '../../../src/session/import/import.ts';
import { renumber } from '../../../src/session/import/renumber.ts';
import type { Sessions } from '../../../src/session/sessions.ts';
import { begin, home, reply, user } from '../../support/vault.ts';

const UUID = '0f8fad5b-d9cb-469f-a165-70867728950e';
const header = { coffer: 1, type: 'session', uuid: UUID, id: '2025-07-04_12-30' };
const start = { id: 1, ts: 1, type: 'begin', uuid: UUID, directory: '/work' };
const hello = { id: 2, ts: 2, type: 'message', message: { role: 'user', content: 'hello' } };

describe('import', () => {
  it('restores the whole session, including name, tags, counts, tool calls and rewinds', async () => {
    await using sessions = await home().open();
    await using session = begin(sessions);
    const usage: NewEvent = {
      type: 'usage',
      model: 'demo/echo',
      usage: { inputTokens: 5, outputTokens: 7, cost: 0.25 },
    };
    const call: NewEvent = { type: 'tool-start', toolCallId: 'a', toolName: 'read' };
    await session.append(user('one'), reply('two'), usage, call);
    await session.append({
      type: 'compaction',
      summary: 'short',
      through: session.state.lastEvent,
      model: 'demo/echo',
    });
    const { lastEvent } = session.state;
    await session.append(user('three'), reply('four'), { type: 'rewind', to: lastEvent }, user('five'));
    await session.append(
      { type: 'name', name: 'a name' },
      { type: 'tags', tags: ['x', 'y'] },
      { type: 'pin', pinned: true },
    );
    await session.append({ type: 'permission', rule: 'write', decision: 'deny' });
    await session.close();
    const exported = await exportOf(sessions, 'last');
    const { id, messages } = await sessions.upkeep.import(exported.text, '/tmp/x.jsonl');
    const { state, row } = await sessions.read(await sessions.find(id));
    const {
      uuid,
      messageEvents,
      compaction,
      firstEvent,
      lastEvent: last,
      begun,
      updated,
      parent,
      imported,
      ...same
    } = exported.state;
    expect(messages).toBe(3);
    expect(state).toMatchObject(same);
    expect([imported, state.imported]).toEqual([false, true]);
    expect(state.compaction?.summary).toBe('short');
    expect(state.parent).toEqual({ uuid, id: exported.id, reason: 'imported from /tmp/x.jsonl' });
    expect(row).toMatchObject({
      kind: 'session',
      name: 'a name',
      tags: ['x', 'y'],
      pinned: true,
      cost: 0.25,
      status: 'completed',
    });
    expect(state.uuid).not.toBe(uuid);
    // The summary still replaces the same messages.
    const before = exported.state.messageEvents.filter((event) => event <= (compaction?.through ?? 0)).length;
    expect(state.messageEvents.filter((event) => event <= (state.compaction?.through ?? 0))).toHaveLength(before);
  });

  it('accepts the names and tags that append accepts, and the id of a snapshot with any name', async () => {
    await using sessions = await home().open();
    await using session = begin(sessions);
    const tags = [' a', 'a ', ...Array.from({ length: 100 }, (_, at) => `tag ${at}`)];
    await session.append(user('one'), { type: 'name', name: ' a name ' }, { type: 'tags', tags });
    const snapshot = await session.save('\u{1f600}'.repeat(100));
    for (const which of [session.uuid, snapshot.id]) {
      const { id } = await sessions.upkeep.import((await exportOf(sessions, which)).text, 'x');
      expect((await sessions.read(await sessions.find(id))).state).toMatchObject({ name: ' a name ', tags });
    }
  });

  it('keeps files that can not be sent to a model, and names them', async () => {
    await using sessions = await home().open();
    const file = { type: 'file', mediaType: 'image/png', data: 'eA==', filename: 'a.png' };
    const good = { type: 'file', mediaType: 'text/plain', data: 'eA==' };
    const message = { role: 'user', content: [{ type: 'text', text: 'look' }, good, file] };
    const looking = { id: 3, ts: 3, type: 'message', message };
    const { id, broken } = await sessions.upkeep.import(jsonl(header, start, hello, looking), 'x');
    const reason = 'it is not a PNG, JPEG, GIF or WebP image';
    expect(broken).toEqual([{ message: 2, name: 'a.png', reason }]);
    expect((await sessions.read(await sessions.find(id))).state.messages.at(-1)).toEqual(message);
  });

  it('revokes the grants in the file', async () => {
    await using sessions = await home().open();
    const allow = { id: 3, ts: 3, type: 'permission', rule: 'command', decision: 'allow' };
    const deny = { id: 4, ts: 3, type: 'permission', rule: 'write', decision: 'deny' };
    const { id, revoked } = await sessions.upkeep.import(jsonl(header, start, hello, allow, deny), 'x');
    expect(revoked).toEqual(['command']);
    expect((await sessions.read(await sessions.find(id))).state.permissions).toMatchObject([
      { rule: 'write', decision: 'deny' },
    ]);
  });

  it('revokes a grant that the file revoked only before a move', async () => {
    await using sessions = await home().open();
    const allow = { id: 2, ts: 3, type: 'permission', rule: 'command', decision: 'allow' };
    const move = { id: 3, ts: 3, type: 'move', directory: '/elsewhere' };
    const revoke = { id: 4, ts: 3, type: 'permission', rule: 'command', decision: 'revoke', directory: '/work' };
    const { id, revoked } = await sessions.upkeep.import(
      jsonl(header, start, allow, move, revoke, { ...hello, id: 5 }),
      'x',
    );
    expect(revoked).toEqual(['command']);
    const { state } = await sessions.read(await sessions.find(id));
    expect(state).toMatchObject({ directory: '/elsewhere', permissions: [] });
  });

  it('revokes a grant hidden in a line of an unknown event', async () => {
    await using sessions = await home().open();
    const kept = (event: object): object => ({ id: 3, ts: 3, type: 'unknown', line: JSON.stringify(event) });
    const allow = { id: 3, ts: 3, type: 'permission', rule: 'command', decision: 'allow', unsandboxed: true };
    for (const hidden of [kept(allow), kept(kept(allow)), kept(kept(kept(allow)))]) {
      const { id, revoked } = await sessions.upkeep.import(jsonl(header, start, hello, hidden), 'x');
      expect(revoked).toEqual(['command']);
      // Import the result of the first import again.
      const { id: again } = await sessions.upkeep.import((await exportOf(sessions, id)).text, 'y');
      for (const which of [id, again]) {
        expect((await sessions.read(await sessions.find(which))).state.permissions).toEqual([]);
      }
    }
    const name = { ...kept({ id: 3, ts: 3, type: 'name', name: 'a\u001bb' }), id: 3 };
    await expect(sessions.upkeep.import(jsonl(header, start, hello, name), 'x')).rejects.toMatchObject({
      code: 'IMPORT_INVALID',
    });
  });

  it('preserves fields and types of a newer version', async () => {
    await using sessions = await home().open();
    const newer = { id: 3, ts: 3, type: 'dream', of: { electric: 'sheep' } };
    const { id } = await sessions.upkeep.import(
      jsonl({ ...header, more: 1 }, start, { ...hello, mood: 'good' }, newer),
      'x',
    );
    const { events } = await sessions.read(await sessions.find(id));
    expect(events).toContainEqual({ ...newer, id: 4 });
    expect(events).toContainEqual({ ...hello, mood: 'good', id: 3 });
  });

  it('names the session after the snapshot it was exported from', async () => {
    await using sessions = await home().open();
    await using session = begin(sessions);
    await session.append(user('one'));
    const { id } = await session.save('fixing');
    const imported = await sessions.upkeep.import((await exportOf(sessions, id)).text, 'x');
    expect(await sessions.find(imported.id)).toMatchObject({ kind: 'session', name: 'fixing' });
  });

  it('counts the session as used now, so that an old one is not pruned at once', async () => {
    await using sessions = await home().open();
    const before = Date.now();
    const { id } = await sessions.upkeep.import(jsonl(header, start, hello), 'x');
    const row = await sessions.find(id);
    expect(row.updated).toBeGreaterThanOrEqual(before);
  });

  it('leaves _autosave where it points', async () => {
    await using sessions = await home().open();
    await using session = begin(sessions);
    await session.append(user('one'));
    await sessions.upkeep.import(jsonl(header, start, hello), 'x');
    expect((await sessions.list()).find(({ autosave }) => autosave)?.fileId).toBe(session.fileId);
  });
});

describe('a broken export', () => {
  it.each([
    ['only the first line', jsonl(header), 'line 1: the file ends before the session begins'],
    ['a line that is not JSON', `${jsonl(header, start)}{"id":2,\n`, 'line 3: it is not JSON'],
    ['a line that was cut', jsonl(header, start, hello).slice(0, -9), 'line 3: it is not JSON'],
    ['an empty line', jsonl(header, start).concat('\n', jsonl(hello)), 'line 3: it is empty'],
    ['a line that is not an object', jsonl(header, start, 7), 'line 3: it is not a JSON object'],
    ['a repeated id', jsonl(header, start, { ...hello, id: 1 }), 'line 3: its id 1 must be above 1'],
    ['decreasing ids', jsonl(header, { ...start, id: 9 }, hello), 'line 3: its id 2 must be above 9'],
    ['an invalid id', jsonl(header, { ...start, id: 0 }), 'line 2: it is not a coffer event: id must be'],
    ['a message before it begins', jsonl(header, { ...hello, id: 1 }, { ...start, id: 2 }), 'line 2: a message before'],
    [
      'an invalid role',
      jsonl(header, start, { ...hello, message: { role: 'boss', content: '' } }),
      'line 3: it is not a coffer event: message.role must be',
    ],
    [
      'a name that is too long',
      jsonl(header, start, { id: 2, ts: 2, type: 'name', name: 'x'.repeat(101) }),
      'line 3: a name can have at most',
    ],
    [
      'a name with a terminal escape sequence',
      jsonl(header, start, { id: 2, ts: 2, type: 'name', name: 'a\u001b[2J' }),
      "line 3: a name can't contain control",
    ],
    [
      'too many tags',
      jsonl(header, start, { id: 2, ts: 2, type: 'tags', tags: Array(2000).fill('x') }),
      'line 3: tags must have at most 2800 bytes',
    ],
    [
      'values nested too deeply',
      jsonl(header, start, { ...hello, x: JSON.parse('['.repeat(1001) + ']'.repeat(1001)) }),
      'line 3: it is nested deeper than 1000',
    ],
    [
      'brackets that are never closed',
      `${jsonl(header, start)}${'['.repeat(1_000_000)}\n`,
      'line 3: it is nested deeper than 1000',
    ],
    ['an invalid time', jsonl(header, { ...start, ts: 9e15 }), 'line 2: it is not a coffer event: ts must be a time'],
    ['an invalid version', jsonl({ ...header, coffer: 0 }, start), "line 1: not the first line of coffer's JSONL"],
    ['events without a header', jsonl(start, hello), 'line 1: the first line, which describes the session, is missing'],
    ['a JSON array', '[\n{"mapping":{}}\n]\n', 'line 1: a JSON array, such as ChatGPT exports'],
    ['a JSON array in a line', '[{"mapping":{}}]', 'line 1: a JSON array, such as ChatGPT exports'],
    [
      "coffer's JSON",
      JSON.stringify({ uuid: UUID, events: [] }, undefined, 2),
      'line 1: a JSON object from coffer export --format json',
    ],
    [
      'a transcript of Claude Code',
      jsonl({ type: 'user', sessionId: 'x', uuid: UUID }),
      'line 1: a transcript of Claude Code',
    ],
    ['something else', jsonl({ hello: 1 }), "line 1: not the first line of coffer's JSONL"],
    ['Markdown', '# hello\n', 'line 1: it is not JSON'],
  ])('with %s is rejected with its line number, and nothing is imported', async (_, text, message) => {
    const place = home();
    await using sessions = await place.open();
    const refused = sessions.upkeep.import(text, 'x');
    await expect(refused).rejects.toMatchObject({ code: 'IMPORT_INVALID' });
    await expect(refused).rejects.toThrow(message);
    expect(await sessions.list()).toEqual([]);
  });

  it('of a newer version is rejected as such', () => {
    expect(() => readImport(jsonl({ ...header, coffer: 2 }))).toThrow(
      expect.objectContaining({ code: 'NEWER_VERSION' }),
    );
  });
});

describe('any changed export', () => {
  const good = jsonl(
    header,
    start,
    hello,
    { id: 3, ts: 3, type: 'tags', tags: ['a'] },
    { id: 4, ts: 3, type: 'rewind', to: 2 },
  );

  it('is either imported or rejected', () => {
    const change = fc.tuple(fc.nat(good.length), fc.nat(8), fc.string({ unit: 'binary', maxLength: 8 }));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), (changes) => {
        const text = changes.reduce((now, [at, cut, more]) => now.slice(0, at) + more + now.slice(at + cut), good);
        try {
          expect(readImport(text).events.length).toBeGreaterThan(0);
        } catch (error) {
          expect(error).toMatchObject({ code: expect.stringMatching(/^(IMPORT_INVALID|NEWER_VERSION)$/) });
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('renumber', () => {
  it('keeps references to the same event, or moves them to the last one before a lost event', () => {
    const events = [
      { id: 3, ts: 1, type: 'begin', uuid: UUID, directory: '/' },
      { type: 'begin', uuid: UUID, directory: '/' },
      { id: 7, ts: 1, type: 'message', message: { role: 'user', content: 'x' } },
      { id: 8, ts: 1, type: 'compaction', summary: '', through: 7, model: 'm' },
      { id: 9, ts: 1, type: 'rewind', to: 6 },
    ] as (Event | NewEvent)[];
    const moved = renumber(events, 5);
    expect(moved.map(({ id }) => id)).toEqual([1, 2, 3, 4, 5]);
    expect(moved[1]).toMatchObject({ ts: 5 });
    expect(moved[3]).toMatchObject({ through: 3 });
    expect(moved[4]).toMatchObject({ to: 1 });
  });
});

function jsonl(...lines: unknown[]): string {
  return lines.map((line) => `${JSON.stringify(line)}\n`).join('');
}

async function exportOf(sessions: Sessions, which: string) {
  const { row, events, state } = await sessions.read(await sessions.find(which));
  return { text: [...renderExport({ about: aboutOf(state, row), events }, 'jsonl')].join(''), state, id: row.id };
}
