import { randomBytes } from 'node:crypto';
import { copyFileSync, cpSync, renameSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { CofferError } from '../../src/errors.ts';
import type { Grown } from '../../src/session/event/decoding.ts';
import type { Event, NewEvent } from '../../src/session/event/event.ts';
import { type Followed, follow } from '../../src/session/follow.ts';
import type { Row } from '../../src/session/list/row.ts';
import type { Session } from '../../src/session/session.ts';
import type { Sessions } from '../../src/session/sessions.ts';
import { begin, crashed, type Home, home, reply, temporaryFolder, user } from '../support/vault.ts';

describe('follow', () => {
  it('yields recorded events, then those that another process records, each once', async () => {
    const { sessions, session, row } = await begun(home());
    const following = new Following(sessions, row);
    await following.until(lastOf(session));
    await session.append(reply('one'));
    await following.until(lastOf(session));
    await session.append(user('two'), reply('three'));
    await following.until(lastOf(session));
    expect(following.events).toEqual(session.events);
  });

  it('continues after appends, folds, the end of the session and its resumption', async () => {
    const at = home();
    const { sessions, session, row } = await begun(at);
    const following = new Following(await at.open(), row);
    for (let step = 0; step < 8; step++) await session.append(user(large()));
    await session.close();
    await following.until(lastOf(session));
    expect(following.events).toEqual(session.events);
    const second = await (await at.open()).resume(await sessions.find(row.id));
    for (let step = 0; step < 8; step++) await second.append(reply(large()));
    await following.until(lastOf(second));
    expect(following.events).toEqual(second.events);
    expect(following.ids).toEqual(second.events.map((_, index) => index + 1));
  });

  it('yields each event once if every step is an append', async () => {
    const { sessions, session, row } = await begun(home());
    await session.append(user(large(300_000)));
    await session.append(reply('folds'));
    const following = new Following(sessions, row);
    const { appended } = await grown(sessions, row, async () => {
      for (let step = 0; step < 5; step++) {
        await session.append(reply(`step ${step}`));
        await following.until(lastOf(session));
      }
    });
    expect(appended).toBe(true);
    expect(following.events).toEqual(session.events);
  });

  it('reads only the appended part if the file grew, and all of it if the file was replaced', async () => {
    const { sessions, session, row } = await begun(home());
    await session.append(user(large(300_000)));
    await session.append(reply('folds'));
    const seen = new Watched(sessions);
    const following = new Following(seen, row);
    await following.until(lastOf(session));
    const { appended } = await grown(sessions, row, async () => {
      for (let step = 0; step < 5; step++) {
        session.draft = part(`step ${step}`);
        await session.saveDraft();
        await seen.readTwice((event) => event?.['partial'] === true && JSON.stringify(event).includes(`step ${step}`));
        session.draft = undefined;
        await session.append(reply(`step ${step}, and more`));
        await following.until(lastOf(session));
      }
    });
    expect(appended).toBe(true);
    expect(seen.wholes).toBe(1);
    expect(following.events).toEqual(session.events);
    await session.rewrite(session.events);
    await session.append(user('after'));
    await following.until(lastOf(session));
    expect(seen.wholes).toBe(2);
    expect(following.events).toEqual(session.events);
  });

  it('holds back a partial reply until the whole reply is recorded', async () => {
    const { sessions, session, row } = await begun(home());
    const seen = new Watched(sessions);
    const following = new Following(seen, row);
    session.draft = part('so f');
    await session.saveDraft();
    await seen.readTwice((event) => event?.['partial'] === true);
    session.draft = undefined;
    await session.append(reply('so far, so good'));
    await following.until(lastOf(session));
    expect(following.events).toEqual(session.events);
    expect(following.events.filter((event) => 'partial' in event)).toEqual([]);
  });

  it('yields a partial reply once another event follows it', async () => {
    const { sessions, session, row } = await begun(home());
    const following = new Following(sessions, row);
    await session.append(part('cut sh'));
    await session.append(user('go on'));
    await following.until(lastOf(session));
    expect(following.events).toEqual(session.events);
  });

  it('yields a partial reply whose writer was killed, and later events with higher ids', async () => {
    const at = home();
    const { session } = await begun(at);
    session.draft = part('so f');
    await session.saveDraft();
    const left = crashed(at);
    const sessions = await left.open();
    const [row] = await sessions.list();
    expect(row).toMatchObject({ status: 'interrupted' });
    const following = new Following(sessions, row!);
    await following.until(lastOf(session) + 1);
    expect(following.events.at(-1)).toMatchObject({ type: 'message', partial: true });
    const resumed = await (await left.open()).resume(row!);
    await resumed.append(user('go on'));
    await following.until(lastOf(resumed));
    expect(following.events).toEqual(resumed.events);
    expect(following.events).toContainEqual(
      expect.objectContaining({ type: 'status', status: 'failed', reason: 'interrupted' }),
    );
  });

  it('yields only new events after the record was rewritten', async () => {
    const { sessions, session, row } = await begun(home());
    const following = new Following(sessions, row);
    await following.until(lastOf(session));
    const before = [...session.events];
    await session.rewrite(
      session.events.map((event) => (event.type === 'message' ? { ...event, ...user('[gone]') } : event)),
    );
    await session.append(reply('after'));
    await following.until(lastOf(session));
    expect(following.events).toEqual([...before, session.events.at(-1)]);
  });

  it('continues with the new key after a rotation', async () => {
    const at = home();
    const { sessions, session, row } = await begun(at);
    await session.close();
    const following = new Following(await at.open(), row);
    await following.until(lastOf(session));
    await sessions.keys.rotate({
      passphrase: async () => undefined,
      confirmCode: async () => undefined,
      onDropped: () => undefined,
    });
    const again = await (await at.open()).resume(await sessions.find(row.id));
    await again.append(user('under the new key'));
    await following.until(lastOf(again));
    expect(following.events).toEqual(again.events);
  });

  it('throws when the session is deleted', async () => {
    const { sessions, session, row } = await begun(home());
    await session.close();
    const following = new Following(sessions, row);
    await following.until(lastOf(session));
    await sessions.delete(row);
    await expect(following.done).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND', message: /was deleted/ });
  });

  it('throws when an older copy replaces the session', async () => {
    const at = home();
    const { sessions, session, row } = await begun(at);
    const copy = join(temporaryFolder(), 'copy');
    copyFileSync(at.path(row.fileId), copy);
    await session.append(reply('newer'));
    const following = new Following(sessions, row);
    await following.until(lastOf(session));
    await session.close();
    copyFileSync(copy, at.path(row.fileId));
    await expect(following.done).rejects.toMatchObject({ code: 'ROLLED_BACK' });
  });

  it('returns when it is aborted', async () => {
    const { sessions, session, row } = await begun(home());
    const following = new Following(sessions, row);
    await following.until(lastOf(session));
    following.abort();
    await following.done;
  });

  it('sees a change as soon as the system reports it', async () => {
    const { sessions, session, row, at } = await begun(home());
    const seen = new Watched(sessions);
    const following = new Following(seen, row, { pollMs: 3_600_000 });
    await following.until(lastOf(session));
    utimesSync(at.path(row.fileId), 0, 0);
    await seen.readTwice((event) => event?.['id'] === lastOf(session));
    await session.append(reply('told'));
    await following.until(lastOf(session));
    expect(following.events).toEqual(session.events);
  });

  it('sees a change that the system does not report by polling', async () => {
    const { sessions, session, row, at } = await begun(home());
    utimesSync(at.path(row.fileId), 0, 0);
    const following = new Following(sessions, row);
    await following.until(lastOf(session));
    // From here on, another directory is watched.
    const folder = join(at.directory, 'sessions');
    renameSync(folder, `${folder}-before`);
    cpSync(`${folder}-before`, folder, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
    await session.append(reply('unwatched'));
    await following.until(lastOf(session));
    expect(following.events).toEqual(session.events);
  });

  it('rereads a file that did not verify while it was written, and throws if it never verifies', async () => {
    const at = home();
    const { sessions, session, row } = await begun(at);
    let broken = 1;
    const readOn: Followed['readOn'] = async (asked, before) => {
      if (broken-- <= 0) return sessions.readOn(asked, before);
      utimesSync(at.path(row.fileId), new Date(), new Date());
      throw new CofferError('UNAUTHENTIC', 'half written');
    };
    const flaky: Followed = { directory: at.directory, list: () => sessions.list(), readOn };
    const following = new Following(flaky, row);
    await following.until(lastOf(session));
    expect(following.events).toEqual(session.events);
    const never: Followed = { ...flaky, readOn: () => Promise.reject(new CofferError('UNAUTHENTIC', 'broken')) };
    await expect(new Following(never, row).done).rejects.toMatchObject({ code: 'UNAUTHENTIC' });
  });
});

/** Follows a session until the test ends. */
class Following {
  readonly events: Event[] = [];
  readonly done: Promise<void>;
  readonly #abort = new AbortController();
  #wake: () => void = () => undefined;

  constructor(sessions: Followed, row: Row, options?: { pollMs: number }) {
    this.done = this.#run(sessions, row, options);
    this.done.catch(() => undefined); // `until` reports the error
    onTestFinished(() => this.#abort.abort());
  }

  get ids(): number[] {
    return this.events.map(({ id }) => id);
  }

  abort(): void {
    this.#abort.abort();
  }

  /** Resolves when the event with that id was yielded. */
  async until(id: number): Promise<void> {
    while ((this.events.at(-1)?.id ?? 0) < id) {
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      await Promise.race([woken, this.done.then(() => Promise.reject(new Error(`ended before event ${id}`)))]);
    }
  }

  async #run(sessions: Followed, row: Row, options?: { pollMs: number }): Promise<void> {
    for await (const event of follow(sessions, row, this.#abort.signal, options)) {
      this.events.push(event);
      this.#wake();
    }
  }
}

/** A vault that records what was read from it. */
class Watched implements Followed {
  /** How often a whole session was read. */
  wholes = 0;
  readonly #sessions: Sessions;
  readonly #tails: (Event | undefined)[] = [];
  #wake: () => void = () => undefined;

  constructor(sessions: Sessions) {
    this.#sessions = sessions;
  }

  get directory(): string {
    return this.#sessions.directory;
  }

  list(): Promise<Row[]> {
    return this.#sessions.list();
  }

  async readOn(row: Row, before?: Grown): Promise<Grown> {
    const recorded = await this.#sessions.readOn(row, before);
    this.wholes += Number(recorded.whole);
    this.#tails.push(recorded.events.at(-1) ?? this.#tails.at(-1));
    this.#wake();
    return recorded;
  }

  /**
   * Resolves when a record with such a last event was read a second time: the result of the first
   * read has been consumed by then.
   */
  async readTwice(isSuch: (event: Record<string, unknown> | undefined) => boolean): Promise<void> {
    while (this.#tails.filter((tail) => isSuch(tail as Record<string, unknown> | undefined)).length < 2) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

async function begun(at: Home): Promise<{ sessions: Sessions; session: Session; row: Row; at: Home }> {
  const sessions = await at.open();
  const session = begin(await at.open());
  await session.append(user('hello'));
  const [row] = await sessions.list();
  return { sessions, session, row: row!, at };
}

/** Tells whether a file was appended to, and not replaced, while `work` ran. */
async function grown(sessions: Sessions, row: Row, work: () => Promise<void>): Promise<{ appended: boolean }> {
  const path = join(sessions.directory, 'sessions', row.fileId);
  const before = statSync(path);
  await work();
  const after = statSync(path);
  return { appended: before.ino === after.ino && after.size > before.size };
}

function lastOf(session: Session): number {
  return session.state.lastEvent;
}

function part(content: string): NewEvent {
  return { ...reply(content), partial: true } as NewEvent;
}

/** Returns text that does not compress. */
function large(length = 40_000): string {
  return randomBytes(length / 2).toString('hex');
}
