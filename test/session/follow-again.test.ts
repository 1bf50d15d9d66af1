import { utimesSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Grown } from '../../src/session/event/decoding.ts';
import type { Event } from '../../src/session/event/event.ts';
import { type Followed, follow } from '../../src/session/follow.ts';
import { begin, home, user } from '../support/vault.ts';

describe('follow', () => {
  it('drops a partial reply that it held back if a replaced file lacks it', async () => {
    const at = home();
    const sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('hello'));
    const [row] = await sessions.list();
    const ended = new AbortController();
    const first: Event = { id: 1, ts: 0, type: 'message', message: { role: 'user', content: 'hello' } };
    const part: Event = {
      id: 2,
      ts: 0,
      type: 'message',
      message: { role: 'assistant', content: 'so f' },
      partial: true,
    };
    const { to } = await sessions.readOn(row!);
    let reads = 0;
    const readOn = async (): Promise<Grown> => {
      reads++;
      utimesSync(at.path(row!.fileId), new Date(), new Date());
      if (reads > 3) ended.abort();
      return { events: reads === 1 ? [first, part] : [first], whole: true, to };
    };
    const list: Followed['list'] = async () => [{ ...row!, held: reads === 1 ? { pid: 1 } : undefined } as never];
    const given: Event[] = [];
    const followed: Followed = { directory: at.directory, list, readOn };
    for await (const event of follow(followed, row!, ended.signal, { pollMs: 10 })) given.push(event);
    expect(reads).toBeGreaterThan(3);
    expect(given).toEqual([first]);
    await sessions.close();
  });
});
