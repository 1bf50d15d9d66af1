import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { eventsOf, Transcript } from '../../bench/transcript.ts';
import type { Session } from '../../src/session/session.ts';
import type { Sessions } from '../../src/session/sessions.ts';
import { begin, home, user } from '../support/vault.ts';

/** Reads the events of a snapshot. */
async function snapshotOf(sessions: Sessions, id: string): Promise<readonly unknown[]> {
  return (await sessions.read(await sessions.find(id))).events;
}

async function large(sessions: Sessions): Promise<Session> {
  const session = begin(sessions);
  await session.append(...eventsOf(new Transcript(5), 300_000));
  await session.append(user('appended'));
  return session;
}

describe('a snapshot', () => {
  it('contains all events of its session, including unsaved ones', async () => {
    const at = home();
    await using sessions = await at.open();
    await using session = await large(sessions);
    const unsaved = session.record(user('not there yet'));
    const { id } = await session.save('copy');
    const events = session.events.slice();
    await unsaved;
    await session.append(user('later'));
    expect(await snapshotOf(sessions, id)).toEqual(events);
  });

  it('contains all events of a resumed session in which a draft was replaced', async () => {
    const at = home();
    await using sessions = await at.open();
    const session = await large(sessions);
    const { id, fileId } = session;
    session.draft = { type: 'message', message: { role: 'assistant', content: 'half of' }, partial: true };
    await session.saveDraft();
    session.draft = undefined;
    await session.record({ type: 'message', message: { role: 'assistant', content: 'half of it, and the rest' } });
    await sessions.close();
    await using other = await at.open();
    await using resumed = await other.resume(await other.find(id ?? ''));
    expect(resumed.fileId).toBe(fileId);
    const taken = await resumed.save('again');
    expect(await snapshotOf(other, taken.id)).toEqual(resumed.events);
  });

  it('contains nothing that a concurrent redaction removes', async () => {
    const at = home();
    await using sessions = await at.open();
    await using session = await large(sessions);
    const kept = session.events.filter((event) => !JSON.stringify(event).includes('appended'));
    const rewriting = session.rewrite(kept);
    await Promise.resolve();
    const { id } = await session.save('while it goes on');
    await rewriting;
    expect(await snapshotOf(sessions, id)).toEqual(kept);
  });

  it('copies compressed segments unchanged', async () => {
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    await session.append(...eventsOf(new Transcript(5), 3_000_000));
    await session.close();
    await using resumed = await sessions.resume(await sessions.find('1'));
    const { id } = await resumed.save();
    const [own, copy] = [session.fileId ?? '', (await sessions.find(id)).fileId].map(
      (fileId) => readFileSync(join(at.directory, 'sessions', fileId)).length,
    );
    expect(copy).toBe(own);
  });
});
