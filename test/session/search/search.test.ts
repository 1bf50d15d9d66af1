import { writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { NewEvent } from '../../../src/session/event/event.ts';
import type { Row } from '../../../src/session/list/row.ts';
import { type Match, type SearchHit, search, wantedText } from '../../../src/session/search/search.ts';
import { folded } from '../../../src/session/search/texts.ts';
import type { Sessions } from '../../../src/session/sessions.ts';
import { begin, home, reply, user } from '../../support/vault.ts';

describe('search', () => {
  it('searches messages, tool calls, summaries and errors, and names the role of each match', async () => {
    const sessions = await said(
      user('The needle in a prompt'),
      { type: 'message', message: { role: 'assistant', content: [{ type: 'reasoning', text: 'a needle? hm' }] } },
      call({ path: '/tmp/needle', deep: [{ deeper: { n: 7 } }, null, true] }),
      answer({ type: 'text', value: 'first line\nwith a needle\nlast line' }),
      { type: 'compaction', summary: 'needles were found', through: 1, model: 'demo/echo' },
      { type: 'error', code: 'FAILED', message: 'no more needles' },
      reply('nothing here'),
    );
    expect(await lines(sessions, 'NEEDLE')).toEqual([
      'user: The needle in a prompt',
      'assistant: a needle? hm',
      'assistant: /tmp/needle',
      'tool: with a needle',
      'summary: needles were found',
      'error: no more needles',
    ]);
    expect(await lines(sessions, '7')).toEqual(['assistant: 7']);
    expect(await lines(sessions, 'read_file')).toEqual(['assistant: read_file']);
  });

  it.each([
    ['a.c', 'abc a.c', 'user: abc a.c'],
    ['[broken(', 'a [broken( pattern', 'user: a [broken( pattern'],
    ['\\d+', 'use \\d+ here', 'user: use \\d+ here'],
    ['GRÜSSE', 'viele Grüsse', 'user: viele Grüsse'],
    ['grüße'.normalize('NFD'), 'viele Grüße'.normalize('NFC'), 'user: viele Grüße'],
    ['ὈΔΥΣΣΕΎΣ', 'ὁ Ὀδυσσεύς', 'user: ὁ Ὀδυσσεύς'],
    ['ΟΔΟΣ', 'ΟΔΟΣΗΜΑ', 'user: ΟΔΟΣΗΜΑ'],
    ['two\nlines', 'these two\nlines are one', 'user: these two\nlines are one'],
  ])('searches for %j literally', async (text, content, found) => {
    expect(await lines(await said(user(content)), text)).toEqual([found]);
  });

  it('does not treat a text as a pattern', async () => {
    expect(await lines(await said(user('abc')), 'a.c')).toEqual([]);
  });

  it('locates a match in its line, also after letters that folding makes longer', async () => {
    const [match] = await matches(await said(user('İİİ the needle')), 'Needle');
    expect(match?.line.slice(match.at, match.at + match.length)).toBe('needle');
  });

  it('reports a line once', async () => {
    expect(await lines(await said(user('one one one\none\r\ntwo')), 'one')).toEqual(['user: one one one', 'user: one']);
  });

  it('finds names and tags, also of snapshots', async () => {
    const sessions = await said(
      user('hello'),
      { type: 'name', name: 'the auth bug' },
      { type: 'tags', tags: ['authority'] },
    );
    expect(await lines(sessions, 'auth')).toEqual(['name: the auth bug', 'tag: authority']);
    const other = await said(user('hello'));
    const session = await other.resume((await other.list())[0]!);
    await session.save('kept');
    expect(await lines(other, 'kept')).toEqual(['name: kept']);
  });

  it('searches deeply nested input of a tool', async () => {
    let deep: unknown = 'needle';
    for (let level = 0; level < 900; level++) deep = [deep];
    expect(await lines(await said(call(deep)), 'needle')).toEqual(['assistant: needle']);
  });

  it('yields results as it finds them, one session at a time, including unreadable ones', async () => {
    const at = home();
    const sessions = await at.open();
    for (const word of ['one needle', 'hay', 'two needles', 'three needles']) {
      const session = begin(sessions);
      await session.append(user(word));
      await session.close();
    }
    const rows = await sessions.list();
    writeFileSync(at.path(rows[1]!.fileId), 'broken');
    const looked: number[] = [];
    const order: string[] = [];
    const reading: Pick<Sessions, 'scan'> = {
      scan: (row, onLines) => {
        order.push(`read ${rows.findIndex(({ fileId }) => fileId === row.fileId) + 1}`);
        return sessions.scan(row, onLines);
      },
    };
    for await (const found of search(reading, rows, wantedText('needle'), (done) => looked.push(done))) {
      order.push(
        'error' in found ? `${found.row.number}: ${found.error.code}` : `${found.row.number}: ${found.matches.length}`,
      );
    }
    expect(order).toEqual(['read 1', '1: 1', 'read 2', '2: UNAUTHENTIC', 'read 3', 'read 4', '4: 1']);
    expect(looked).toEqual([1, 2, 3, 4]);
  });

  it('does not read a row that is known to be unreadable', async () => {
    const at = home();
    const sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('needle'));
    await session.close();
    writeFileSync(at.path(session.fileId ?? ''), 'broken');
    const [row] = await sessions.list();
    const scan = (): never => expect.fail('it is read');
    for await (const found of search({ scan }, [row!], 'needle')) {
      expect(found).toMatchObject({ error: { code: 'UNAUTHENTIC' } });
    }
  });
});

describe('wantedText', () => {
  it.each(['', ' ', '\n\t'])('rejects %j', (text) => {
    expect(() => wantedText(text)).toThrow(expect.objectContaining({ code: 'USAGE' }));
  });

  it('keeps blanks around a word', () => {
    expect(wantedText(' A b ')).toBe(' a b ');
  });
});

describe('folded', () => {
  it('ignores case and the composition of accents', () => {
    expect(folded('É'.normalize('NFD'))).toBe(folded('é'.normalize('NFC')));
  });
});

async function said(...events: NewEvent[]): Promise<Sessions> {
  const sessions = await home().open();
  const session = begin(sessions);
  await session.append(...events);
  await session.close();
  return sessions;
}

async function all(sessions: Sessions, text: string): Promise<SearchHit[]> {
  const found: SearchHit[] = [];
  const rows: Row[] = await sessions.list();
  for await (const one of search(sessions, rows, wantedText(text))) found.push(one);
  return found;
}

async function matches(sessions: Sessions, text: string): Promise<Match[]> {
  return (await all(sessions, text)).flatMap((found) => ('matches' in found ? found.matches : []));
}

async function lines(sessions: Sessions, text: string): Promise<string[]> {
  return (await matches(sessions, text)).map(({ role, line }) => `${role}: ${line}`);
}

function call(input: unknown): NewEvent {
  const content = [{ type: 'tool-call' as const, toolCallId: 'c1', toolName: 'read_file', input }];
  return { type: 'message', message: { role: 'assistant', content } };
}

function answer(output: unknown): NewEvent {
  const content = [{ type: 'tool-result' as const, toolCallId: 'c1', toolName: 'read_file', output }];
  return { type: 'message', message: { role: 'tool', content } };
}
