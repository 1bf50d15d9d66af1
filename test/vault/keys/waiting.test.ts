import { describe, expect, it } from 'vitest';
import { MemoryKeyring } from '../../../src/keyring/memory.ts';
import type { Keyring, LookUp } from '../../../src/keyring/outcomes.ts';
import { sessionsOf } from '../../../src/session/open-vault.ts';
import { begin, temporaryFolder, user } from '../../support/vault.ts';

/**
 * Creates a vault with one session, and a keychain that answers look-ups only when it is released.
 */
async function heldUp(): Promise<{
  directory: string;
  keyring: Keyring;
  answer(found?: LookUp): void;
  asked(): number;
}> {
  const directory = temporaryFolder();
  const memory = new MemoryKeyring();
  {
    await using sessions = sessionsOf({ directory, keyring: memory, env: {} });
    await begin(sessions).append(user('before'));
  }
  let asked = 0;
  const gate = Promise.withResolvers<LookUp | undefined>();
  const keyring: Keyring = {
    backend: 'memory',
    probe: () => memory.probe(),
    provider: () => memory.provider(),
    set: (keyId, secret) => memory.set(keyId, secret),
    delete: (keyId) => memory.delete(keyId),
    async get(keyId) {
      asked += 1;
      return (await gate.promise) ?? memory.get(keyId);
    },
  };
  return { directory, keyring, answer: gate.resolve, asked: () => asked };
}

const SILENT: LookUp = { outcome: 'TIMEOUT', detail: 'the keychain does not answer' };

describe('a slow look-up of the key', () => {
  it('does not delay recording a step, which is saved once the key is there', async () => {
    const { directory, keyring, answer, asked } = await heldUp();
    await using sessions = sessionsOf({ directory, keyring, env: {} });
    expect(await sessions.keys.unlockSoon()).toMatchObject({ code: 'KEY_TIMEOUT' });
    expect(sessions.keys.status).toEqual({ state: 'awaited' });
    const session = begin(sessions);
    for (const words of ['one', 'two', 'three']) await session.record(user(words));
    expect(session.unsaved).toMatchObject({ messages: 3, error: { code: 'KEY_TIMEOUT' } });
    answer();
    while (session.unsaved !== undefined) await new Promise(setImmediate);
    expect(asked()).toBe(1);
    const row = await sessions.find('_autosave');
    expect((await sessions.read(row)).state.messageCount).toBe(3);
  });

  it('delays an append, a close, and reads', async () => {
    const { directory, keyring, answer } = await heldUp();
    await using sessions = sessionsOf({ directory, keyring, env: {} });
    const listed = sessions.list();
    const session = begin(sessions);
    const appended = session.append(user('one'));
    expect(await sessions.keys.unlockSoon()).toMatchObject({ code: 'KEY_TIMEOUT' });
    const other = begin(sessions);
    await other.record(user('two'));
    const closed = other.close();
    answer();
    await Promise.all([appended, closed]);
    expect(await listed).toHaveLength(1);
    expect(await sessions.list()).toHaveLength(3);
  });

  it('continues when waiting calls are stopped, and its key is then used', async () => {
    const { directory, keyring, answer, asked } = await heldUp();
    await using sessions = sessionsOf({ directory, keyring, env: {} });
    expect(sessions.keys.stopWaiting()).toBe(false);
    const listed = sessions.list();
    expect(sessions.keys.stopWaiting()).toBe(true);
    await expect(listed).rejects.toMatchObject({ code: 'KEY_TIMEOUT', message: /^stopped waiting/ });
    expect(sessions.keys.stopWaiting()).toBe(false);
    const again = sessions.list();
    answer();
    expect(await again).toHaveLength(1);
    expect(asked()).toBe(1);
  });

  it('that never ends is not waited for twice at the end, and the loss is reported', async () => {
    const { directory, keyring, answer, asked } = await heldUp();
    const sessions = sessionsOf({ directory, keyring, env: {} });
    const session = begin(sessions);
    const recorded = session.record(user('one'));
    answer(SILENT);
    await recorded;
    await expect(session.close()).rejects.toMatchObject({ code: 'KEY_TIMEOUT' });
    expect(session.unsaved).toMatchObject({ messages: 1, error: { code: 'KEY_TIMEOUT' } });
    expect(asked()).toBe(1);
  });

  it('reports its reason', async () => {
    const { directory, keyring, answer } = await heldUp();
    const waits: string[] = [];
    await using sessions = sessionsOf({ directory, keyring, env: {}, onWait: (wait) => waits.push(wait) });
    const unlocked = sessions.keys.unlock();
    await sessions.keys.unlockSoon();
    expect(waits).toEqual(['keychain']);
    answer();
    await unlocked;
  });
});
