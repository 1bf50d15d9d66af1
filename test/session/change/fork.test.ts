import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { eventsOf } from '../../../src/session/beginning.ts';
import { cutAfter, endOf, planFork, promptsOf, rewindOf } from '../../../src/session/change/fork.ts';
import type { Event, NewEvent } from '../../../src/session/event/event.ts';
import { emptyState, fold } from '../../../src/session/state.ts';
import { reply, user } from '../../support/vault.ts';

const parent = { uuid: 'parent', id: '2025-07-04_12-30' };

/** Returns a conversation of three prompts and their answers, followed by `more`. */
function conversation(...more: NewEvent[]): Event[] {
  const begun: NewEvent[] = [
    { type: 'begin', uuid: 'a', directory: '/work/project' },
    { type: 'model', model: 'demo/echo' },
  ];
  const said = ['one', 'two', 'three'].flatMap((word) => [user(word), reply(`echo: ${word}`)]);
  return [...begun, ...said, ...more].map((event, at): Event => ({ id: at + 1, ts: 1000 + at, ...event }));
}

function texts(events: readonly Event[]): unknown[] {
  return fold(emptyState, events).messages.map(({ content }) => content);
}

function plan(events: readonly Event[], prompts?: number): ReturnType<typeof planFork> {
  return planFork({ ...parent, events, state: fold(emptyState, events), isSnapshot: false }, prompts);
}

describe('a fork', () => {
  it('keeps the given number of prompts, with their answers', () => {
    const { beginning, prompts, of, reason } = plan(conversation(), 2);
    expect({ prompts, of, reason }).toEqual({ prompts: 2, of: 3, reason: 'forked after prompt 2' });
    expect(texts(beginning.after!.events)).toEqual(['one', 'echo: one', 'two', 'echo: two']);
    expect(beginning).toMatchObject({ directory: '/work/project', model: 'demo/echo' });
    expect(beginning.after!.parent).toEqual({ ...parent, reason });
  });

  it('keeps all prompts by default', () => {
    const { beginning, prompts } = plan(conversation());
    expect(prompts).toBe(3);
    expect(beginning.after!.events).toEqual(conversation());
  });

  it('keeps the current instructions and directory even if they were recorded after a rewound prompt', () => {
    const told = { type: 'instructions', source: 'system', text: 'Be brief.' } as const;
    const moved: NewEvent = { type: 'move', directory: '/elsewhere' };
    const [begun, ...said] = conversation(told, moved, { type: 'rewind', to: 6 }, { ...told, text: 'Be long.' });
    const from = { uuid: 'b', id: 'c', reason: 'imported from x.jsonl' };
    const events = [{ ...begun, parent: from } as Event, ...said];
    for (const prompts of [1, 2]) {
      const { beginning } = plan(events, prompts);
      expect(beginning.directory).toBe('/elsewhere');
      const { instructions, imported } = fold(emptyState, eventsOf(beginning));
      expect({ instructions, imported }).toEqual({
        instructions: [{ source: 'system', text: 'Be long.', path: undefined, offered: undefined }],
        imported: false,
      });
    }
  });

  it('keeps of any record what the rewinds leave, applied one by one', () => {
    const one = fc.oneof(
      fc.constant({ type: 'message', message: { role: 'user', content: 'x' } }),
      fc.constant({ type: 'permission', rule: 'a', decision: 'allow' }),
      fc.constant({ type: 'hologram' }),
      fc.record({ type: fc.constant('rewind'), to: fc.nat(40) }),
      fc.record({
        type: fc.constant('compaction'),
        summary: fc.constant(''),
        through: fc.nat(40),
        model: fc.constant(''),
      }),
    );
    const leave = (events: Event[], { to }: { to: number }): Event[] =>
      events.filter((event) => {
        if (event.id <= to || event.type === 'permission') return true;
        return event.type === 'compaction' && (event as { through: number }).through <= to;
      });
    fc.assert(
      fc.property(fc.array(one, { maxLength: 40 }), (recorded) => {
        let left: Event[] = [];
        const events = recorded.map((event, at) => ({ id: at + 1, ts: 0, ...event }) as Event);
        for (const event of events) {
          if (event.type === 'rewind') left = leave(left, event as unknown as { to: number });
          else left.push(event);
        }
        expect(cutAfter(events).events).toEqual(left);
      }),
      { numRuns: 500 },
    );
  });

  it('drops rewound messages but keeps permissions and summaries that outlast the rewind', () => {
    const events = conversation(
      { type: 'permission', rule: 'write', decision: 'deny' },
      { type: 'compaction', summary: 'one was said', through: 4, model: 'demo/echo' },
      { type: 'error', code: 'FAILED', message: 'three was too much' },
      { type: 'rewind', to: 6 },
      user('four'),
    );
    const { beginning } = plan(events);
    const copied = beginning.after!.events;
    expect(texts(copied)).toEqual(['one', 'echo: one', 'two', 'echo: two', 'four']);
    expect(JSON.stringify(copied)).not.toContain('three');
    const [state, before] = [fold(emptyState, copied), fold(emptyState, events)];
    expect(state.permissions).toMatchObject([{ rule: 'write', decision: 'deny' }]);
    expect(state.compaction).toEqual({ summary: 'one was said', through: 4 });
    expect(state.messages).toEqual(before.messages);
    expect(state.compaction).toEqual(before.compaction);
  });

  it.each([0, 4, -1, 1.5, Number.NaN])('rejects prompt %d, naming the range', (prompts) => {
    expect(() => plan(conversation(), prompts)).toThrow(
      `there is no prompt ${prompts} in this conversation; its prompts are numbered 1 to 3`,
    );
  });

  it('rejects a conversation without a prompt', () => {
    expect(() => plan(conversation().slice(0, 2))).toThrow('no prompt yet');
  });
});

describe('a rewind', () => {
  it('removes the last prompt and its answer by default', () => {
    const state = fold(emptyState, conversation());
    expect(rewindOf(state)).toEqual({ event: { type: 'rewind', to: 6 }, prompts: 2, of: 3, cut: 2 });
    expect(state.messages).toHaveLength(6);
  });

  it('removes everything if 0 prompts are kept', () => {
    const events = conversation();
    const { event, cut } = rewindOf(fold(emptyState, events), 0);
    expect(cut).toBe(6);
    expect(texts([...events, { id: 9, ts: 9, ...event! }])).toEqual([]);
  });

  it('counts the prompts of the current conversation', () => {
    const events = conversation({ type: 'rewind', to: 6 }, user('four'), reply('echo: four'));
    const state = fold(emptyState, events);
    expect(promptsOf(state).map(({ number, text }) => `${number} ${text}`)).toEqual(['1 one', '2 two', '3 four']);
    const again = fold(emptyState, [...events, { id: 20, ts: 20, ...rewindOf(state, 2).event! }]);
    expect(again.messages.map(({ content }) => content)).toEqual(['one', 'echo: one', 'two', 'echo: two']);
    expect(cutAfter([...events, { id: 20, ts: 20, ...rewindOf(state, 1).event! }]).events.at(-1)?.id).toBe(4);
  });

  it('changes nothing if all prompts are kept', () => {
    expect(rewindOf(fold(emptyState, conversation()), 3)).toEqual({ event: undefined, prompts: 3, of: 3, cut: 0 });
  });

  it('rejects a number of prompts out of range', () => {
    const state = fold(emptyState, conversation());
    for (const prompts of [4, -1, 0.5, Number.NaN]) expect(() => rewindOf(state, prompts)).toThrow('numbered 1 to 3');
    expect(() => rewindOf(fold(emptyState, []))).toThrow('nothing to rewind');
    expect(() => endOf(fold(emptyState, []), 1)).toThrow('it has no prompt yet');
  });
});
