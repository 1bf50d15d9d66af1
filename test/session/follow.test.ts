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
  it('gives what is recorded, then what another one records, each event once', async () => {
    const { sessions, session, row } = await begun(home());
    const following = new Following(sessions, row);
    await following.until(lastOf(session));
    await session.append(reply('one'));
    await following.until(lastOf(session));
    await session.append(user('two'), reply('three'));
    await following.until(lastOf(session));
    expect(following.events).toEqual(session.events);
  });

  it('goes on past appends, folds, ends and who resumes it', async () => {
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

  it('gives each event once where every step is an append', async () => {
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

  it('reads only what was appended where the file grew, drafts and all, and all of it where it was put in its place', async () => {
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

  it('holds a part of a reply back until the whole is there', async () => {
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

  it('gives a part of a reply that stays one, once something comes after it', async () => {
    const { sessions, session, row } = await begun(home());
    const following = new Following(sessions, row);
    await session.append(part('cut sh'));
    await session.append(user('go on'));
    await following.until(lastOf(session));
    expect(following.events).toEqual(session.events);
  });

  it('gives a part of a reply whose writer was killed, and what comes after it has later ids', async () => {
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

  it('gives only what is new where the record was rewritten', async () => {
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

  it('goes on with the new key of a vault', async () => {
    const at = home();
    const { sessions, session, row } = await begun(at);
    await session.close();
    const following = new Following(await at.open(), row);
    await following.until(lastOf(session));
    await sessions.rotateKey({
      passphrase: async () => undefined,
      confirmCode: async () => undefined,
      onDropped: () => undefined,
    });
    const again = await (await at.open()).resume(await sessions.find(row.id));
    await again.append(user('under the new key'));
    await following.until(lastOf(again));
    expect(following.events).toEqual(again.events);
  });

  it('ends when the session is deleted, and says so', async () => {
    const { sessions, session, row } = await begun(home());
    await session.close();
    const following = new Following(sessions, row);
    await following.until(lastOf(session));
    await sessions.delete(row);
    await expect(following.done).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND', message: /was deleted/ });
  });

  it('ends when an older copy is put in its place', async () => {
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

  it('ends without an error when it is told to', async () => {
    const { sessions, session, row } = await begun(home());
    const following = new Following(sessions, row);
    await following.until(lastOf(session));
    following.abort();
    await following.done;
  });

  it('sees what the system tells at once', async () => {
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

  it('sees what nothing tells: it looks by itself now and then', async () => {
    const { sessions, session, row, at } = await begun(home());
    utimesSync(at.path(row.fileId), 0, 0);
    const following = new Following(sessions, row);
    await following.until(lastOf(session));
    // What is watched is another directory from here on.
    const folder = join(at.directory, 'sessions');
    renameSync(folder, `${folder}-before`);
    cpSync(`${folder}-before`, folder, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
    await session.append(reply('unwatched'));
    await following.until(lastOf(session));
    expect(following.events).toEqual(session.events);
  });

  it('reads a file again that did not verify while it was written, and gives up on one that stays so', async () => {
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

/** Follows until the test is over. */
class Following {
  readonly events: Event[] = [];
  readonly done: Promise<void>;
  readonly #abort = new AbortController();
  #wake: () => void = () => undefined;

  constructor(sessions: Followed, row: Row, options?: { pollMs: number }) {
    this.done = this.#run(sessions, row, options);
    this.done.catch(() => undefined); // whoever waits for something has it
    onTestFinished(() => this.#abort.abort());
  }

  get ids(): number[] {
    return this.events.map(({ id }) => id);
  }

  abort(): void {
    this.#abort.abort();
  }

  /** Resolves when the event with that id is there. */
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

/** A vault that tells what was read of it. */
class Watched implements Followed {
  /** How often all of it was read. */
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

  /** Resolves when a record with such an end was read a second time: what the first reading gave has been taken. */
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

/** Whether a file kept its place on the disk while something went on: it was appended to. */
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

/** Text that does not compress. */
function large(length = 40_000): string {
  return randomBytes(length / 2).toString('hex');
}
