import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Floor, type Kind, SteppedSession, turnOf } from '../../bench/steps-session.ts';
import { Transcript } from '../../bench/transcript.ts';
import { encodeEvents } from '../../src/session/event/event.ts';
import { home, temporaryFolder } from '../support/vault.ts';

describe('a session that steps are measured in', () => {
  it('has the exact bytes that each step wrote to disk', async () => {
    const at = home();
    await using sessions = await at.open();
    await using session = new SteppedSession(sessions, { from: 1, to: Number.POSITIVE_INFINITY }, new Transcript(1));
    const kinds = new Set<Kind>();
    let length = 0;
    for (let step = 0; step < 60; step++) {
      const { kind, time } = await session.step(16 * 1024);
      kinds.add(kind);
      expect(time).toBeGreaterThan(0);
      const path = at.path(at.files()[0] ?? '');
      const bytes = readFileSync(path);
      if (kind === 'appended') expect(session.written.equals(bytes.subarray(length))).toBe(true);
      if (kind === 'overwritten') expect(session.written.equals(bytes)).toBe(true);
      length = bytes.length;
    }
    expect(kinds).toEqual(new Set<Kind>(['overwritten', 'appended', 'folded']));
    expect(at.files()).toHaveLength(1);
  });

  it('restarts when it would outgrow its room, with any number of events', async () => {
    const at = home();
    await using sessions = await at.open();
    const room = { from: 4000, to: 9000 };
    await using small = new SteppedSession(sessions, room, new Transcript(1));
    for (let step = 0; step < 5; step++) await small.step(2048);
    expect(at.files()).toHaveLength(3);
    await using large = new SteppedSession(sessions, { from: 6_000_000, to: 7_000_000 }, new Transcript(1));
    expect(await large.step(2048)).toMatchObject({ kind: 'appended' });
  });

  it('takes steps of about the requested size', () => {
    const transcript = new Transcript(1);
    for (const bytes of [2048, 20 * 1024]) {
      let length = 0;
      for (let step = 0; step < 200; step++) {
        length += encodeEvents(turnOf(transcript, bytes).map((event) => ({ id: 1000, ts: 1.7e12, ...event }))).length;
      }
      expect(length / 200 / bytes).toBeGreaterThan(0.9);
      expect(length / 200 / bytes).toBeLessThan(1.1);
    }
  });
});

describe('the floor', () => {
  it('appends all bytes', () => {
    const path = join(temporaryFolder(), 'floor');
    using floor = new Floor(path);
    floor.append(Buffer.alloc(1000));
    expect(floor.append(Buffer.alloc(234))).toBeGreaterThan(0);
    expect(statSync(path).size).toBe(1234);
  });
});
