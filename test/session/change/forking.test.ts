import { describe, expect, it } from 'vitest';
import type { CofferError } from '../../../src/errors.ts';
import { forkOpen } from '../../../src/session/change/forking.ts';
import type { Row } from '../../../src/session/list/row.ts';
import type { Session } from '../../../src/session/session.ts';
import type { Sessions } from '../../../src/session/sessions.ts';
import { begin, type Home, home, reply, texts, user } from '../../support/vault.ts';

const REASON = 'forked after prompt 1';

/** Saves a session with one prompt, and leaves it open. */
async function begun(sessions: Sessions): Promise<Session> {
  const session = begin(sessions);
  await session.append(user('one'), reply('two'));
  return session;
}

/** Returns the `child` events of the only session with this UUID, as they are on disk. */
async function children(at: Home, uuid: string): Promise<unknown[]> {
  await using sessions = await at.open();
  const { events } = await sessions.read(await sessions.find(uuid));
  return events.filter(({ type }) => type === 'child').map(({ id: _id, ts: _ts, ...child }) => child);
}

function child({ uuid }: Session): object {
  return { type: 'child', uuid, reason: REASON };
}

describe('fork', () => {
  it('is saved, and then recorded in a closed parent', async () => {
    const at = home();
    const sessions = await at.open();
    const parent = await begun(sessions);
    await parent.close();
    const fork = await sessions.fork(await sessions.find(parent.uuid), { onUnnoted: fail });
    expect(at.files()).toContain(fork.fileId);
    expect(await children(at, parent.uuid)).toEqual([child(fork)]);
    const row = await sessions.find(parent.uuid);
    expect(row).toMatchObject({ status: 'completed', messages: 2 });
    await sessions.close();
  });

  it('is recorded in a parent that is open here', async () => {
    const at = home();
    const sessions = await at.open();
    const parent = await begun(sessions);
    const fork = await sessions.fork(await sessions.find(parent.uuid), { onUnnoted: fail });
    expect(parent.events.at(-1)).toMatchObject(child(fork));
    expect(await children(at, parent.uuid)).toEqual([child(fork)]);
    await parent.append(user('still open'));
    await sessions.close();
  });

  it('is recorded through the owner of an open parent', async () => {
    const at = home();
    await using sessions = await at.open();
    const parent = await begun(sessions);
    const { session, unnoted, ...counts } = await forkOpen(sessions, parent, { model: 'demo/eliza' }, (event) =>
      parent.record(event),
    );
    expect([unnoted, counts, session.state.model]).toEqual([undefined, { prompts: 1, of: 1 }, 'demo/eliza']);
    expect(at.files()).toContain(session.fileId);
    expect(await children(at, parent.uuid)).toEqual([child(session)]);
  });

  it('is not recorded in a parent that is in use elsewhere, and says why', async () => {
    const at = home();
    await using elsewhere = await at.open();
    const parent = await begun(elsewhere);
    await using sessions = await at.open();
    const [fork, reasons] = await forked(sessions, await sessions.find(parent.uuid));
    expect(reasons).toEqual([expect.objectContaining({ code: 'SESSION_IN_USE' })]);
    expect(fork.fileId).toBeUndefined();
    await fork.append(user('three'));
    expect(texts(fork)).toEqual(['one', 'two', 'three']);
    expect(await children(at, parent.uuid)).toEqual([]);
  });

  it('is not recorded in a snapshot, which never changes', async () => {
    const at = home();
    await using sessions = await at.open();
    const { id } = await (await begun(sessions)).save('kept');
    const [fork, reasons] = await forked(sessions, await sessions.find(id));
    expect(reasons).toEqual([expect.objectContaining({ code: 'FAILED' })]);
    expect(fork.state.parent).toMatchObject({ id, reason: 'resumed from a snapshot' });
  });

  it('is not recorded while it is not saved itself', async () => {
    const at = home();
    const first = await at.open();
    const { uuid } = await begun(first);
    await first.close();
    await using sessions = await at.open({ autosave: false });
    const [, reasons] = await forked(sessions, await sessions.find(uuid));
    expect(reasons).toEqual([expect.objectContaining({ code: 'NOT_SAVED' })]);
    expect(await children(at, uuid)).toEqual([]);
  });
});

async function forked(sessions: Sessions, row: Row): Promise<[Session, CofferError[]]> {
  const reasons: CofferError[] = [];
  const fork = await sessions.fork(row, { onUnnoted: (error) => reasons.push(error) });
  return [fork, reasons];
}

function fail(error: CofferError): never {
  throw error;
}
