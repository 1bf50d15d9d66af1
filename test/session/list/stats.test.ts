import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Event, NewEvent } from '../../../src/session/event/event.ts';
import { infoOf, readInfo } from '../../../src/session/list/info.ts';
import type { Row } from '../../../src/session/list/row.ts';
import { usageStats } from '../../../src/session/list/stats.ts';
import { addUsage, ownPart, unused, usedByModel } from '../../../src/session/list/usage.ts';
import type { Sessions } from '../../../src/session/sessions.ts';
import { emptyState, fold } from '../../../src/session/state.ts';
import { begin, home, reply, user } from '../../support/vault.ts';

afterEach(() => {
  vi.unstubAllEnvs();
});

describe('statsOf', () => {
  it('counts each session once, without its snapshots and what forks inherited from it', async () => {
    const at = home();
    const sessions = await at.open();
    const first = begin(sessions);
    await first.append(user('one'), reply('two'), usage('demo/a', 10, 5, 0.01));
    await first.save('kept');
    await first.close();
    const [row] = (await sessions.list()).filter(({ kind }) => kind === 'session');
    const forked = await sessions.fork(row!);
    await forked.append(user('three'), reply('four'), usage('demo/b', 1, null, null), {
      type: 'tool-start',
      toolCallId: 'c',
      toolName: 't',
    });
    await forked.close();
    const stats = await usageStats(sessions, await sessions.list(), { days: 30 });
    expect(stats).toMatchObject({ sessions: 2, snapshots: 1, unreadable: 0, messages: 4, tasks: 2, toolCalls: 1 });
    expect(stats.total).toEqual({
      requests: 2,
      inputTokens: 11,
      cachedTokens: null,
      outputTokens: 5,
      cost: 0.01,
      unknownTokens: 1,
      unknownCost: 1,
    });
    expect(stats.models.map(({ model, used }) => [model, used.cost])).toEqual([
      ['demo/a', 0.01],
      ['demo/b', null],
    ]);
    expect(stats.days).toMatchObject([{ messages: 4, used: { requests: 2 } }]);
  });

  it('reports unknown usage as null, never 0', async () => {
    const sessions = await home().open();
    const session = begin(sessions);
    await session.append(user('one'), reply('two'), usage('demo/a', null, null, null));
    await session.close();
    const { total } = await usageStats(sessions, await sessions.list(), { days: 30 });
    expect(total).toEqual({
      requests: 1,
      inputTokens: null,
      cachedTokens: null,
      outputTokens: null,
      cost: null,
      unknownTokens: 1,
      unknownCost: 1,
    });
  });

  it('counts local days, as many as asked for, across a change of clocks', async () => {
    vi.stubEnv('TZ', 'Europe/Berlin');
    const at = (day: number, hour: number): number => new Date(2025, 2, day, hour).getTime();
    const events = [at(28, 23), at(29, 0), at(30, 3), at(31, 12)].map((ts, index) => {
      return { ...said('x'), id: index + 1, ts };
    });
    const sessions = { directory: '/nowhere', read: async () => ({ events, state: fold(emptyState, events) }) };
    const row = { kind: 'session', number: 1 } as Row;
    const days = async (count: number): Promise<string[]> => {
      const stats = await usageStats(sessions as unknown as Sessions, [row], { days: count, now: at(31, 0) });
      return stats.days.map(({ date }) => date);
    };
    expect(await days(2)).toEqual(['2025-03-30', '2025-03-31']);
    expect(await days(1)).toEqual(['2025-03-31']);
    expect(await days(30)).toHaveLength(4);
  });

  it('reports unreadable sessions, counts the others, and reports progress', async () => {
    const at = home();
    const sessions = await at.open();
    for (const word of ['one', 'two', 'three']) {
      const session = begin(sessions);
      await session.append(user(word));
      await session.close();
    }
    const rows = await sessions.list();
    writeFileSync(at.path(rows[1]!.fileId), 'broken');
    const told: string[] = [];
    const done: string[] = [];
    const stats = await usageStats(sessions, await sessions.list(), {
      days: 30,
      onProgress: (count, total) => done.push(`${count}/${total}`),
      onUnreadable: (row, error) => told.push(`${row.number} ${error.code}`),
    });
    expect(stats).toMatchObject({ sessions: 2, unreadable: 1, messages: 2 });
    expect(told).toEqual(['3 UNAUTHENTIC']);
    expect(done).toEqual(['0/3', '1/3', '2/3']);
  });

  it('reports disk usage, which is 0 for an empty vault', async () => {
    const at = home();
    const sessions = await at.open();
    await using session = begin(sessions);
    await session.append(user('one'));
    const { files, bytes } = await usageStats(sessions, await sessions.list(), { days: 30 });
    const all = readdirSync(at.directory, { recursive: true }).map((name) =>
      statSync(join(at.directory, String(name))),
    );
    const plain = all.filter((stats) => stats.isFile());
    // `_autosave` is a link to a file that is counted already.
    expect(files).toBe(plain.length - 1);
    expect(bytes).toBeGreaterThan(4096);
    expect(await usageStats({ directory: join(at.directory, 'none') } as Sessions, [], { days: 30 })).toMatchObject({
      files: 0,
      bytes: 0,
      days: [],
    });
  });
});

describe('usage', () => {
  it('sums known values and counts unknown ones', () => {
    const used = addUsage(addUsage(unused, { inputTokens: 1, outputTokens: 2, cost: null }), {
      inputTokens: 3,
      cachedTokens: 2,
      outputTokens: null,
      cost: 0,
    });
    const known = { requests: 2, inputTokens: 4, cachedTokens: 2, outputTokens: 2, cost: 0 };
    expect(used).toEqual({ ...known, unknownTokens: 1, unknownCost: 1 });
    expect(unused).toMatchObject({ inputTokens: null, cost: null });
  });

  it('is summed by model', () => {
    const events = [usage('a', 1, 1, null), usage('b', 2, 2, null), usage('a', 3, 3, null)].map(placed);
    expect([...usedByModel(events)].map(([model, { inputTokens }]) => [model, inputTokens])).toEqual([
      ['a', 4],
      ['b', 2],
    ]);
  });

  it('counts only events from the last begin on', () => {
    const events = [said('copied'), beginning(), said('own')].map(placed);
    expect(ownPart(events).map(({ id }) => id)).toEqual([2, 3]);
    expect(ownPart([said('only')].map(placed))).toHaveLength(1);
  });
});

describe('infoOf', () => {
  it('finds parent and children from either side, each once, and no snapshot as a child', async () => {
    const at = home();
    const sessions = await at.open();
    const parent = begin(sessions);
    await parent.append(user('one'), reply('two'), usage('demo/a', 1, 2, 0.5));
    const gone = 'b6682a87-0000-4000-8000-000000000000';
    await parent.append({ type: 'child', uuid: gone, reason: 'asked to' });
    await parent.close();
    const fork = await sessions.fork((await sessions.list())[0]!);
    await fork.append(user('three'), usage('demo/b', 3, 4, null));
    await fork.save('of the child');
    await fork.close();
    const rows = await sessions.list();
    const of = (uuid: string): Row => rows.find((row) => row.uuid === uuid)!;
    const info = await readInfo(sessions, of(parent.uuid), rows);
    expect(info.children.map(({ uuid, reason, row }) => [uuid, reason, row?.uuid])).toEqual([
      [gone, 'asked to', undefined],
      [fork.uuid, 'forked after prompt 1', fork.uuid],
    ]);
    expect(info.size).toBe(statSync(at.path(parent.fileId ?? '')).size);
    const child = await readInfo(sessions, of(fork.uuid), rows);
    expect(child.parent?.uuid).toBe(parent.uuid);
    expect(child.children).toEqual([]);
    expect(child.models.map(({ model }) => model)).toEqual(['demo/b']);
    expect(child.total).toMatchObject({ requests: 1, inputTokens: 3, cost: null });
  });

  it('describes a session that was never saved', async () => {
    const sessions = await home().open();
    const session = begin(sessions);
    const { state, events } = session;
    const info = infoOf(sessions, { row: undefined, state, events }, []);
    expect(info).toMatchObject({ row: undefined, models: [], total: { requests: 0 }, children: [], size: undefined });
  });
});

function usage(model: string, inputTokens: number | null, outputTokens: number | null, cost: number | null): NewEvent {
  return { type: 'usage', model, usage: { inputTokens, outputTokens, cost } };
}

function said(content: string): NewEvent {
  return user(content);
}

function beginning(): NewEvent {
  return { type: 'begin', uuid: 'b6682a87-0000-4000-8000-000000000000', directory: '/' };
}

function placed(event: NewEvent, index: number): Event {
  return { ...event, id: index + 1, ts: 1 } as Event;
}
