import { describe, expect, it } from 'vitest';
import { copiesOf } from '../../../src/session/list/copies.ts';
import type { Row } from '../../../src/session/list/row.ts';
import type { Sessions } from '../../../src/session/sessions.ts';
import { begin, home, reply, user } from '../../support/vault.ts';

describe('copiesOf', () => {
  it('finds snapshots, forks and forks of deleted forks, and opens no session without a parent', async () => {
    await using sessions = await home().open();
    const say = async (text: string): Promise<Row> => {
      const session = begin(sessions);
      await session.append(user(text), reply('so be it'));
      await session.close();
      return rowOf(sessions, session.uuid);
    };
    const [asked, other] = [await say('asked'), await say('other')];
    for (const text of ['third', 'fourth']) await say(text);
    const fork = await forked(sessions, asked);
    const ofFork = await forked(sessions, fork);
    await forked(sessions, other);
    await sessions.snapshot(asked, 'before');
    await sessions.delete(fork);
    const all = await sessions.list();
    const opened: string[] = [];
    const read = (row: Row): ReturnType<Sessions['read']> => {
      opened.push(row.id);
      return sessions.read(row);
    };
    const copies = await copiesOf({ read }, [asked], all);
    const [ofAsked] = all.filter(({ kind }) => kind === 'snapshot');
    expect(copies.map(({ id }) => id).sort()).toEqual([ofFork.id, ofAsked?.id].sort());
    expect(opened).toHaveLength(3);
    expect((await copiesOf({ read }, [ofFork], all)).map(({ id }) => id).sort()).toEqual(
      [asked.id, ofAsked?.id].sort(),
    );
  });
});

async function forked(sessions: Sessions, row: Row): Promise<Row> {
  const session = await sessions.fork(row);
  await session.append(user('and now'), reply('the same'));
  await session.close();
  return rowOf(sessions, session.uuid);
}

async function rowOf(sessions: Sessions, uuid: string): Promise<Row> {
  const found = (await sessions.list()).find((row) => row.uuid === uuid);
  if (found === undefined) throw new RangeError('it is not listed');
  return found;
}
