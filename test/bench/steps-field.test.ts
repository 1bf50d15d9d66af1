import { describe, expect, it } from 'vitest';
import { Opposed } from '../../bench/steps-field.ts';
import { Transcript } from '../../bench/transcript.ts';
import type { Event } from '../../src/session/event/event.ts';

describe('Opposed', () => {
  it('throws if a peer has fewer events than it received', async () => {
    const kept: Event[] = [];
    const forgetful = new Opposed('10kb', () => new Transcript(1), 1);
    forgetful.add(
      { id: 'forgetful', name: 'forgetful', rewrites: false, open: () => Promise.reject(new Error('open already')) },
      { step: (events) => void kept.push(...events.slice(1)), count: () => kept.length, close: () => undefined },
    );
    for (const task of forgetful.tasks()) await task.run();
    await expect(forgetful[Symbol.asyncDispose]()).rejects.toThrow('forgetful received 5 events and has 4');
  });
});
