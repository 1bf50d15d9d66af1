import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { peers } from '../../bench/peers/all.ts';
import { Opposed } from '../../bench/steps-field.ts';
import { placed } from '../../bench/steps-session.ts';
import { eventsOf, Transcript } from '../../bench/transcript.ts';
import type { Event } from '../../src/session/event.ts';
import { temporaryFolder, user } from '../support/vault.ts';

const SECRET = 'a sentence that stands nowhere else';
const sealed = ['sqlcipher', 'json-gcm', 'conf', 'age'];

describe.each(peers)('$name', (peer) => {
  it('has on disk what it began with and every step, and seals it if it says so', async () => {
    const folder = temporaryFolder();
    const ids = { next: 1 };
    const open = await peer.open(folder, [...placed(eventsOf(new Transcript(1), 20_000), ids)]);
    const began = ids.next - 1;
    expect(await open.count()).toBe(began);
    for (let step = 0; step < 3; step++) await open.step([...placed([user(SECRET), user('b')], ids)]);
    expect(await open.count()).toBe(began + 6);
    await open.close();
    const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    const bytes = Buffer.concat(files.map(({ parentPath, name }) => readFileSync(join(parentPath, name))));
    expect(bytes.includes(SECRET)).toBe(!sealed.includes(peer.id));
  });
});

describe('what is measured of peers', () => {
  it('does not count where one has less than it was given', async () => {
    const kept: Event[] = [];
    const forgetful = new Opposed('10kb', () => new Transcript(1), 1);
    forgetful.add(
      { id: 'forgetful', name: 'forgetful', rewrites: false, open: () => Promise.reject(new Error('open already')) },
      { step: (events) => void kept.push(...events.slice(1)), count: () => kept.length, close: () => undefined },
    );
    for (const task of forgetful.tasks()) await task.run();
    await expect(forgetful[Symbol.asyncDispose]()).rejects.toThrow('forgetful was given 5 events and has 4');
  });
});
