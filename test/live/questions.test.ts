import { describe, expect, it } from 'vitest';
import type { LiveEvent } from '../../src/live/live.ts';
import { Questions } from '../../src/live/questions.ts';

describe('the questions of a session', () => {
  it('are settled without an answer when they are withdrawn', async () => {
    const { questions, events } = at();
    const answer = questions.ask({ kind: 'agents', bytes: 1 }, undefined);
    questions.withdraw();
    expect(await answer).toBeUndefined();
    expect(questions.open).toEqual([]);
    expect(events.at(-1)).toEqual({ type: 'ask-over', ask: -1, answer: undefined });
    expect(() => questions.answer(-1, 'yes')).toThrow('this question is not open');
  });

  it('have keys of their own if no event recorded them', () => {
    const { questions } = at();
    void questions.ask({ kind: 'agents', bytes: 1 }, undefined);
    void questions.ask({ kind: 'agents', bytes: 1 }, undefined);
    expect(questions.open.map(({ ask }) => ask)).toEqual([-1, -2]);
  });

  it('are not asked once their signal is aborted', async () => {
    const { questions, events } = at();
    expect(await questions.ask({ kind: 'agents', bytes: 1 }, AbortSignal.abort())).toBeUndefined();
    expect(events).toEqual([]);
  });
});

function at(): { questions: Questions; events: LiveEvent[] } {
  const events: LiveEvent[] = [];
  return { questions: new Questions((event) => events.push(event)), events };
}
